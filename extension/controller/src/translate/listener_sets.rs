//! ListenerSets: which of them a Gateway takes, and what becomes of each (Gateway API, ListenerSet).

use super::condition::{Condition, Refusal, Settling, Verdict};
use super::listener_status::{ListenerSetStatus, ListenerStatus};
use super::model::{GROUP, GatewayPlan, ListenerPlan, ListenerSetPlan};
use super::namespaces::admits;
use super::progress::Provisional;
use crate::world::{Gateway, Key, ListenerSet, ParentGateway, World};
use alb_api::messages::{self, condition, reason};
use std::collections::BTreeMap;

/// What is said of a ListenerSet that works.
const ACCEPTED: &str = "The ListenerSet is accepted";

/// All ListenerSets, by the Gateway that they name: the oldest first, then by name.
pub(super) fn by_gateway(world: &World) -> BTreeMap<Key, Vec<ListenerSetPlan>> {
    let mut all: BTreeMap<Key, Vec<ListenerSetPlan>> = BTreeMap::new();
    for (key, object) in world.listener_sets.iter().filter(|(_, object)| !object.meta.deleting) {
        if let Some(gateway) = gateway_of(key, &object.spec) {
            let plan = ListenerSetPlan { key: key.clone(), object: object.clone(), allowed: Ok(()) };
            all.entry(gateway).or_default().push(plan);
        }
    }
    for sets in all.values_mut() {
        sets.sort_by(|a, b| (a.object.meta.created, &a.key).cmp(&(b.object.meta.created, &b.key)));
    }
    all
}

/// The Gateway that a ListenerSet names, if it names one.
pub(super) fn gateway_of(key: &Key, set: &ListenerSet) -> Option<Key> {
    let ParentGateway { group, kind, name, namespace } = &set.parent_ref;
    let is_gateway =
        group.as_deref().unwrap_or(GROUP) == GROUP && kind.as_deref().unwrap_or("Gateway") == "Gateway";
    is_gateway.then(|| Key::new(namespace.as_ref().unwrap_or(&key.namespace), name))
}

/// Says of each whether the Gateway takes it.
pub(super) fn judge(world: &World, key: &Key, gateway: &Gateway, sets: &mut [ListenerSetPlan]) {
    let namespaces = gateway.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    for set in sets {
        let of = set.key.namespace.as_str();
        if !admits(world, namespaces, "None", (of, &key.namespace)) {
            let message = format!("Gateway {key} takes no ListenerSets of namespace {of}");
            set.allowed = Err(Refusal::new(reason::NOT_ALLOWED, message));
        }
    }
}

/// Whether a ListenerSet is accepted, and which of its listeners are not valid.
pub(super) fn accepted<'a>(gateway: &'a GatewayPlan, set: &'a ListenerSetPlan) -> Verdict<Vec<&'a str>> {
    set.allowed.clone()?;
    if let Err(refusal) = gateway.accepted() {
        let message = format!("Gateway {} is not accepted: {}", gateway.key, refusal.message);
        return Err(Refusal::new(reason::PARENT_NOT_ACCEPTED, message));
    }
    let (mut good, mut bad) = (0, Vec::new());
    for plan in gateway.listeners_of(Some(&set.key)) {
        match plan.is_servable() {
            true => good += 1,
            false => bad.push(plan.listener.name.as_str()),
        }
    }
    if good > 0 {
        return Ok(bad);
    }
    let message = format!("No listener is valid: {}", bad.join(", "));
    Err(Refusal::new(reason::LISTENERS_NOT_VALID, message))
}

/// How many ListenerSets have attached to a Gateway.
pub(super) fn attached(gateway: &GatewayPlan) -> usize {
    gateway.sets.iter().filter(|set| accepted(gateway, set).is_ok()).count()
}

/// Status of a ListenerSet, given that of each of its listeners.
pub(super) fn status(
    gateway: &GatewayPlan,
    set: &ListenerSetPlan,
    (programmed, settling): &Provisional,
    listener: impl Fn(&ListenerPlan) -> ListenerStatus,
) -> ListenerSetStatus {
    let accepted = accepted(gateway, set);
    // What refuses it keeps it from being programmed, by the same name.
    let programmed = match &accepted {
        Err(refusal) => Err(refusal.clone()),
        Ok(_) => programmed.clone().map_err(|refusal| {
            let message = format!("Gateway {} is not programmed: {}", gateway.key, refusal.message);
            // What passes by itself is no fault of the Gateway's.
            let is_pending = refusal.reason == reason::PENDING;
            Refusal::new(if is_pending { reason::PENDING } else { reason::PARENT_NOT_PROGRAMMED }, message)
        }),
    };
    let accepted = match &accepted {
        Ok(bad) if !bad.is_empty() => {
            let message = format!("Listeners that are not valid: {}", bad.join(", "));
            Condition::met(condition::ACCEPTED, reason::LISTENERS_NOT_VALID, message)
        }
        verdict => Condition::of(condition::ACCEPTED, verdict, reason::ACCEPTED, ACCEPTED),
    };
    let programmed =
        Condition::of(condition::PROGRAMMED, &programmed, reason::PROGRAMMED, messages::PROGRAMMED);
    let listeners = gateway.listeners_of(Some(&set.key)).map(listener);
    ListenerSetStatus {
        conditions: vec![accepted, programmed],
        listeners: listeners.collect(),
        settling: if set.allowed.is_ok() { *settling } else { Settling::No },
    }
}
