//! Desired status merged into the status as it stands.
//!
//! A condition keeps its `lastTransitionTime` for as long as its status is the same. Conditions of types that are not
//! ours, and entries of other controllers, are kept where they are: two controllers that each put the other's entries
//! elsewhere would write for ever.

use crate::translate::{
    Condition, GatewayStatus, ListenerSetStatus, ListenerStatus, ParentStatus, PolicyStatus, RouteStatus,
    Settling, complete,
};
use crate::world::{BackendTlsPolicy, Gateway, GatewayClass, HttpRoute, ListenerSet, Object, ParentRef};
use alb_api::features;
use alb_api::messages::{condition, reason};
#[cfg(not(feature = "faults"))]
use alb_api::names;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Condition types that are ours alone to set on the objects we answer for.
const OURS: [&str; 7] = [
    condition::ACCEPTED,
    condition::PROGRAMMED,
    condition::RESOLVED_REFS,
    condition::CONFLICTED,
    condition::DEPLOYMENT,
    condition::PARTIALLY_INVALID,
    condition::INSECURE_FRONTEND_VALIDATION_MODE,
];

#[cfg(feature = "faults")]
use crate::faults::{address_type, controller_name, parent as reference_to};

/// The type of a Gateway's address.
#[cfg(not(feature = "faults"))]
const fn address_type() -> &'static str {
    names::HOSTNAME_ADDRESS_TYPE
}

/// Whose entries are ours.
#[cfg(not(feature = "faults"))]
const fn controller_name() -> &'static str {
    names::CONTROLLER_NAME
}

/// A parent as the status names it.
#[cfg(not(feature = "faults"))]
const fn reference_to(parent: &ParentRef) -> &ParentRef {
    parent
}

/// What a status should be.
#[derive(Debug, PartialEq)]
pub(super) struct Merged {
    /// As it is to be written.
    pub(super) status: Value,
    /// Whether it may wait.
    pub(super) settling: Settling,
}

/// Status of a GatewayClass. `None` when it is as it should be.
pub(super) fn gateway_class(
    object: &Object<GatewayClass>,
    desired: &[Condition],
    now: Timestamp,
) -> Option<Merged> {
    let current = array(&object.status, "conditions");
    let merged = conditions(current, desired, object.meta.generation, now);
    let features: Vec<Value> = features::SUPPORTED.iter().map(|name| json!({"name": name})).collect();
    if merged == current && features == array(&object.status, "supportedFeatures") {
        return None;
    }
    let status = json!({"conditions": merged, "supportedFeatures": features});
    Some(Merged { status, settling: Settling::No })
}

/// Status of an ApplicationLoadBalancer, or of whatever else has conditions and nothing more. `None` when it is as it should be.
pub(super) fn of_conditions<T>(object: &Object<T>, desired: &[Condition], now: Timestamp) -> Option<Merged> {
    let current = array(&object.status, "conditions");
    let merged = conditions(current, desired, object.meta.generation, now);
    let settling = match steadied(current, &merged) == current {
        true => Settling::Connection,
        false => Settling::No,
    };
    let status = json!({"conditions": merged});
    (merged != current).then_some(Merged { status, settling })
}

/// Status of a Gateway. `None` when it is as it should be.
pub(super) fn gateway(object: &Object<Gateway>, desired: &GatewayStatus, now: Timestamp) -> Option<Merged> {
    let generation = object.meta.generation;
    let type_of = |address: &String| match address.parse::<IpAddr>() {
        Ok(_) => "IPAddress",
        Err(_) => address_type(),
    };
    let addresses: Vec<Value> =
        desired.addresses.iter().map(|address| json!({"type": type_of(address), "value": address})).collect();
    let own = array(&object.status, "conditions");
    let merged = conditions(own, &desired.conditions, generation, now);
    let current = array(&object.status, "listeners");
    let listeners = of_listeners(current, &desired.listeners, generation, now);
    let mut settling = desired.settling;
    // Absent means none.
    let sets = object.status.get("attachedListenerSets").and_then(Value::as_u64).unwrap_or_default();
    if addresses == array(&object.status, "addresses") && sets == desired.attached_listener_sets as u64 {
        settling = settled((own, &merged), (current, &listeners), settling)?;
    }
    // A merge patch takes null as "remove": an empty list would be kept as such.
    let addresses = if addresses.is_empty() { Value::Null } else { Value::Array(addresses) };
    let mut status = json!({"addresses": addresses, "conditions": merged, "listeners": listeners});
    if sets != desired.attached_listener_sets as u64 {
        status["attachedListenerSets"] = desired.attached_listener_sets.into();
    }
    Some(Merged { status, settling })
}

/// Status of a ListenerSet. `None` when it is as it should be.
pub(super) fn listener_set(
    object: &Object<ListenerSet>,
    desired: &ListenerSetStatus,
    now: Timestamp,
) -> Option<Merged> {
    let generation = object.meta.generation;
    let own = array(&object.status, "conditions");
    let merged = conditions(own, &desired.conditions, generation, now);
    let current = array(&object.status, "listeners");
    let listeners = of_listeners(current, &desired.listeners, generation, now);
    let settling = settled((own, &merged), (current, &listeners), desired.settling)?;
    Some(Merged { status: json!({"conditions": merged, "listeners": listeners}), settling })
}

/// What to wait for before conditions and listeners, each as they stand and as they should be, are written: `settling`, or
/// something that is told by how they differ. `None` when they do not.
fn settled(
    (own, merged): (&[Value], &[Value]),
    (current, listeners): (&[Value], &[Value]),
    settling: Settling,
) -> Option<Settling> {
    if merged == own && listeners == current {
        return None;
    }
    if merged == own && differ_in_attached_routes_only(listeners, current) {
        return Some(settling.max(Settling::AttachedRoutes));
    }
    let passes = steadied(own, merged) == own && steadied_entries(current, listeners) == current;
    Some(if passes { Settling::Connection } else { settling })
}

/// Status of listeners, in their order.
fn of_listeners(
    current: &[Value],
    desired: &[ListenerStatus],
    generation: i64,
    now: Timestamp,
) -> Vec<Value> {
    let of_listener = |listener: &ListenerStatus| {
        let current = current.iter().find(|other| other["name"] == listener.name.as_str());
        let current = current.map(|current| array(current, "conditions")).unwrap_or_default();
        let kinds = [
            (listener.serves_http_routes, "HTTPRoute"),
            (listener.serves_grpc_routes, "GRPCRoute"),
            (listener.serves_tls_routes, "TLSRoute"),
        ];
        let kinds: Vec<Value> = kinds
            .into_iter()
            .filter(|(serves, _)| *serves)
            .map(|(_, kind)| json!({"group": "gateway.networking.k8s.io", "kind": kind}))
            .collect();
        json!({
            "name": listener.name,
            "attachedRoutes": listener.attached_routes,
            "supportedKinds": kinds,
            "conditions": conditions(current, &listener.conditions, generation, now),
        })
    };
    desired.iter().map(of_listener).collect()
}

/// Conditions as they should be, but for those that were true of the same specification and are pending now: these as they
/// stand. Proxies that restart, or connect to a new leader, are no news unless it lasts.
fn steadied(current: &[Value], wanted: &[Value]) -> Vec<Value> {
    let steady = |wanted: &Value| {
        let before = current.iter().find(|other| other["type"] == wanted["type"])?;
        let was_true =
            before["status"] == "True" && before["observedGeneration"] == wanted["observedGeneration"];
        let waits = (wanted["status"] == "False" && wanted["reason"] == reason::PENDING)
            || (before["reason"] == reason::READY && wanted["reason"] == reason::IN_PROGRESS);
        (was_true && waits).then(|| before.clone())
    };
    wanted.iter().map(|wanted| steady(wanted).unwrap_or_else(|| wanted.clone())).collect()
}

/// The same for the conditions of entries that stand at the same places.
fn steadied_entries(current: &[Value], wanted: &[Value]) -> Vec<Value> {
    let entries = wanted.iter().enumerate().map(|(index, wanted)| {
        let current = current.get(index).map(|entry| array(entry, "conditions")).unwrap_or_default();
        let mut entry = wanted.clone();
        entry["conditions"] = Value::Array(steadied(current, array(wanted, "conditions")));
        entry
    });
    entries.collect()
}

fn differ_in_attached_routes_only(listeners: &[Value], others: &[Value]) -> bool {
    listeners.len() == others.len()
        && listeners.iter().zip(others).all(|(listener, other)| {
            let mut listener = listener.clone();
            listener["attachedRoutes"] = other["attachedRoutes"].clone();
            listener == *other
        })
}

/// Status of a route: our entries among those of other controllers, and whether there were none of ours. `None` when they
/// are as they should be.
pub(super) fn route(
    object: &Object<HttpRoute>,
    desired: &RouteStatus,
    namespace: &str,
    now: Timestamp,
) -> Option<(Merged, bool)> {
    let entries = entries(object, PARENTS, &desired.parents, namespace, now)?;
    let current = array(&object.status, PARENTS.name);
    let is_new = !current.iter().any(|entry| entry["controllerName"] == controller_name());
    let settling = match steadied_entries(current, &entries) == current {
        true => Settling::Connection,
        false => desired.settling,
    };
    Some((Merged { status: json!({"parents": entries}), settling }, is_new))
}

/// Status of a policy: our entries among those of other controllers. `None` when they are as they should be.
pub(super) fn policy(
    object: &Object<BackendTlsPolicy>,
    desired: &PolicyStatus,
    namespace: &str,
    now: Timestamp,
) -> Option<Merged> {
    let ancestors = entries(object, ANCESTORS, &desired.ancestors, namespace, now)?;
    Some(Merged { status: json!({"ancestors": ancestors}), settling: Settling::No })
}

/// A list of a status, each entry of which is some controller's word on the object at one Gateway.
#[derive(Clone, Copy)]
struct List {
    name: &'static str,
    /// The field that names the Gateway.
    reference: &'static str,
    /// Whether entries of ours that are new stand ahead of what is there.
    new_first: bool,
}

const PARENTS: List = List { name: "parents", reference: "parentRef", new_first: false };
/// Other controllers write of policies at Gateways that are not theirs (Istio's does), and who asks about a Gateway alone, as the
/// conformance suite does, takes the first entry that names it.
const ANCESTORS: List = List { name: "ancestors", reference: "ancestorRef", new_first: true };

/// A list with our entries as they should be among those of others; `None` when they are.
fn entries<T>(
    object: &Object<T>,
    List { name, reference, new_first }: List,
    desired: &[ParentStatus],
    namespace: &str,
    now: Timestamp,
) -> Option<Vec<Value>> {
    let current = array(&object.status, name);
    if stands(current, reference, desired, object.meta.generation) {
        return None;
    }
    let mut missing: Vec<_> = desired.iter().collect();
    let mut entries: Vec<Value> = Vec::new();
    let entry = |wanted: &ParentStatus, current: &[Value]| {
        json!({
            reference: reference_to(&wanted.parent),
            "controllerName": controller_name(),
            "conditions": conditions(current, &wanted.conditions, object.meta.generation, now),
        })
    };
    for existing in current {
        if existing["controllerName"] != controller_name() {
            entries.push(existing.clone());
            continue;
        }
        let known = ParentRef::deserialize(&existing[reference]).unwrap_or_default();
        let known = complete(&known, namespace);
        // Ours, and no longer wanted, or a duplicate: dropped.
        let Some(position) = missing.iter().position(|wanted| wanted.parent == known) else { continue };
        entries.push(entry(missing.remove(position), array(existing, "conditions")));
    }
    let place = if new_first { 0 } else { entries.len() };
    entries.splice(place..place, missing.into_iter().map(|wanted| entry(wanted, &[])));
    (entries != current).then_some(entries)
}

/// Whether our entries are plainly as they should be. Most are, most of the time, and building them anew to find out takes
/// several times as long. False says nothing: the same can be written in several ways.
fn stands(current: &[Value], reference: &str, desired: &[ParentStatus], generation: i64) -> bool {
    let mut ours = current.iter().filter(|entry| entry["controllerName"] == controller_name());
    desired.iter().all(|wanted| {
        ours.next().is_some_and(|entry| {
            conditions_stand(array(entry, "conditions"), &wanted.conditions, generation)
                && ParentRef::deserialize(&entry[reference]).is_ok_and(|parent| parent == wanted.parent)
        })
    }) && ours.next().is_none()
}

/// The same for the conditions of one entry.
fn conditions_stand(current: &[Value], desired: &[Condition], generation: i64) -> bool {
    current.len() == desired.len()
        && current.iter().zip(desired).all(|(current, wanted)| {
            current["type"] == wanted.r#type
                && current["status"] == wanted.status
                && current["reason"] == wanted.reason
                && current["message"] == wanted.message
                && current["observedGeneration"] == generation
                && current["lastTransitionTime"].is_string()
        })
}

fn conditions(current: &[Value], desired: &[Condition], generation: i64, now: Timestamp) -> Vec<Value> {
    #[cfg(feature = "faults")]
    let generation = crate::faults::generation(generation);
    let of_type = |r#type: &str| current.iter().find(|other| other["type"] == r#type);
    let ours = desired.iter().map(|condition| {
        let since = of_type(condition.r#type)
            .filter(|current| current["status"] == condition.status)
            .and_then(|current| current["lastTransitionTime"].as_str())
            .map_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), str::to_owned);
        json!({
            "type": condition.r#type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": since,
        })
    });
    let others = current.iter().filter(|other| !other["type"].as_str().is_some_and(|t| OURS.contains(&t)));
    ours.chain(others.cloned()).collect()
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Meta;

    fn accepted(status: &'static str, message: &str) -> Condition {
        Condition { r#type: "Accepted", status, reason: "Accepted", message: message.to_owned() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
        let first = conditions(&[], &[accepted("True", "a")], 1, at(0));
        let reworded = conditions(&first, &[accepted("True", "b")], 2, at(60));
        assert_eq!(reworded[0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        assert_eq!(reworded[0]["observedGeneration"], 2);
        let turned = conditions(&reworded, &[accepted("False", "b")], 2, at(120));
        assert_eq!(turned[0]["lastTransitionTime"], "1970-01-01T00:02:00Z");
    }

    #[test]
    fn conditions_of_others_stay() {
        let other = json!({"type": "example.com/Audited", "status": "True"});
        let merged = conditions(std::slice::from_ref(&other), &[accepted("True", "")], 1, at(0));
        assert_eq!(merged[1], other);
    }

    #[test]
    fn a_gateway_of_which_only_the_number_of_routes_differs_may_wait() {
        let desired = |attached_routes, message: &str| GatewayStatus {
            conditions: vec![accepted("True", message)],
            listeners: vec![ListenerStatus {
                name: "http".to_owned(),
                attached_routes,
                ..ListenerStatus::default()
            }],
            ..GatewayStatus::default()
        };
        let Merged { status, settling } = gateway(&Object::default(), &desired(1, "a"), at(0)).unwrap();
        assert_eq!(settling, Settling::No, "the first status");
        let object = Object::<Gateway> { status, ..Object::default() };
        assert_eq!(gateway(&object, &desired(1, "a"), at(1)), None);
        let settling = |desired| gateway(&object, &desired, at(1)).unwrap().settling;
        assert_eq!(settling(desired(2, "a")), Settling::AttachedRoutes);
        assert_eq!(settling(desired(2, "b")), Settling::No, "a condition, too");
    }

    #[test]
    fn entries_are_as_they_should_be_only_if_everything_but_the_time_is() {
        let parent = complete(&ParentRef { name: "a".into(), ..ParentRef::default() }, "ns");
        let wanted = ParentStatus { parent: parent.clone(), conditions: vec![accepted("True", "m")] };
        let desired = RouteStatus { parents: vec![wanted], ..RouteStatus::default() };
        let meta = Meta { generation: 3, ..Meta::default() };
        let status =
            route(&Object { meta: meta.clone(), ..Object::default() }, &desired, "ns", at(0)).unwrap();
        assert!(status.1, "nothing has been said yet");
        let status = status.0.status;
        let written = |path: &str, value: Value| {
            let mut status = status.clone();
            *status.pointer_mut(path).unwrap() = value;
            let object = Object { meta: meta.clone(), status, ..Object::default() };
            route(&object, &desired, "ns", at(60)).map(|(merged, _)| merged.status)
        };
        assert_eq!(written("/parents/0/parentRef/name", json!("a")), None);
        assert_eq!(
            written("/parents/0/parentRef/group", Value::Null),
            Some(status.clone()),
            "in other words"
        );
        for (path, value) in [
            ("/parents/0/parentRef/name", json!("b")),
            ("/parents/0/controllerName", json!("other.example/controller")),
            ("/parents/0/conditions/0/type", json!("Programmed")),
            ("/parents/0/conditions/0/status", json!("False")),
            ("/parents/0/conditions/0/reason", json!("Pending")),
            ("/parents/0/conditions/0/message", json!("n")),
            ("/parents/0/conditions/0/observedGeneration", json!(2)),
            ("/parents/0/conditions/0/lastTransitionTime", Value::Null),
            ("/parents/0/conditions", json!([])),
            ("/parents", json!([])),
        ] {
            assert!(written(path, value).is_some(), "{path}");
        }
        let twice = json!({"parents": [status["parents"][0], status["parents"][0]]});
        let object = Object { meta, status: twice, ..Object::default() };
        let (merged, is_new) = route(&object, &desired, "ns", at(60)).unwrap();
        assert_eq!(merged.status, status, "a duplicate goes");
        assert!(!is_new);
    }

    #[test]
    fn entries_of_other_controllers_stay_where_they_are() {
        let theirs =
            |name: &str| json!({"parentRef": {"name": name}, "controllerName": "other.example/controller"});
        let parent = |name: &str| complete(&ParentRef { name: name.into(), ..ParentRef::default() }, "ns");
        let ours = |name: &str| json!({"parentRef": parent(name), "controllerName": names::CONTROLLER_NAME, "conditions": []});
        let object = Object::<HttpRoute> {
            status: json!({"parents": [theirs("a"), ours("stale"), ours("kept"), theirs("b")]}),
            ..Object::default()
        };
        let wanted = |name: &str| ParentStatus { parent: parent(name), conditions: vec![] };
        let desired = RouteStatus { parents: vec![wanted("new"), wanted("kept")], ..RouteStatus::default() };
        let patch = route(&object, &desired, "ns", at(0)).unwrap().0.status;
        let names: Vec<&str> = patch["parents"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|p| p["parentRef"]["name"].as_str())
            .collect();
        assert_eq!(names, ["a", "kept", "b", "new"]);
    }

    /// A route, and a Gateway, that were programmed and are pending now; what else changes is said at once.
    #[test]
    fn what_was_programmed_is_not_at_once_said_to_be_pending() {
        let parent = complete(&ParentRef { name: "a".into(), ..ParentRef::default() }, "ns");
        let programmed = |status, reason| Condition {
            r#type: condition::PROGRAMMED,
            status,
            reason,
            message: reason.to_owned(),
        };
        let (yes, pending, invalid) = (
            programmed("True", reason::PROGRAMMED),
            programmed("False", reason::PENDING),
            programmed("False", reason::INVALID),
        );
        let all = |programmed: &Condition, accepted_message: &str| {
            vec![accepted("True", accepted_message), programmed.clone()]
        };
        let of_route = |conditions| RouteStatus {
            parents: vec![ParentStatus { parent: parent.clone(), conditions }],
            settling: Settling::Acknowledgement,
        };
        let meta = |generation| Meta { generation, ..Meta::default() };
        let first = Object { meta: meta(1), ..Object::default() };
        let written = route(&first, &of_route(all(&yes, "a")), "ns", at(0)).unwrap().0.status;
        let settling = |generation, conditions| {
            let object = Object { meta: meta(generation), status: written.clone(), ..Object::default() };
            route(&object, &of_route(conditions), "ns", at(60)).unwrap().0.settling
        };
        assert_eq!(settling(1, all(&pending, "a")), Settling::Connection);
        assert_eq!(settling(2, all(&pending, "a")), Settling::Acknowledgement, "another specification");
        assert_eq!(settling(1, all(&pending, "b")), Settling::Acknowledgement, "that is not all");
        assert_eq!(settling(1, all(&invalid, "a")), Settling::Acknowledgement, "it will not pass");

        let of_gateway = |programmed: &Condition, attached_routes| GatewayStatus {
            conditions: all(programmed, "a"),
            listeners: vec![ListenerStatus {
                name: "http".to_owned(),
                attached_routes,
                conditions: all(programmed, "a"),
                ..ListenerStatus::default()
            }],
            ..GatewayStatus::default()
        };
        let first = Object { meta: meta(1), ..Object::default() };
        let status = gateway(&first, &of_gateway(&yes, 1), at(0)).unwrap().status;
        let object = Object::<Gateway> { meta: meta(1), status, ..Object::default() };
        let settling = |desired| gateway(&object, &desired, at(60)).unwrap().settling;
        assert_eq!(settling(of_gateway(&pending, 1)), Settling::Connection);
        assert_eq!(settling(of_gateway(&pending, 2)), Settling::No);
        assert_eq!(settling(of_gateway(&invalid, 1)), Settling::No);

        let deployment = |reason| Condition { r#type: "Deployment", ..programmed("True", reason) };
        let first = Object::<()> { meta: meta(1), ..Object::default() };
        let status = of_conditions(&first, &[deployment(reason::READY)], at(0)).unwrap().status;
        let object = Object::<crate::world::LoadBalancer> { meta: meta(1), status, ..Object::default() };
        let merged = of_conditions(&object, &[deployment(reason::IN_PROGRESS)], at(60)).unwrap();
        assert_eq!(merged.settling, Settling::Connection);
    }
}
