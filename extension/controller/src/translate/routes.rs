//! Attachment of HTTPRoutes to listeners (Gateway API, `ParentReference` and `AllowedRoutes`).

use super::backends::Backends;
use super::condition::{Refusal, Verdict};
use super::gateways::GatewayPlan;
use super::hostname::intersect;
use super::rules;
use crate::world::{HttpRoute, Key, Listener, NamespaceSelector, Object, ParentRef, World};
use alb_api::messages::reason;
use std::collections::BTreeMap;

/// API group of the Gateway API.
pub(super) const GROUP: &str = "gateway.networking.k8s.io";

/// A route and what becomes of it.
pub(super) struct RoutePlan<'a> {
    pub(super) key: &'a Key,
    pub(super) object: &'a Object<HttpRoute>,
    /// Its parents among our Gateways, in the order of the specification.
    pub(super) parents: Vec<ParentPlan>,
    /// Whether all of its references resolve: the same for every parent.
    pub(super) resolved_refs: Verdict,
    /// The rules' backends, in order: names of Backend resources, or why there is none.
    pub(super) backends: Vec<Vec<Verdict<String>>>,
}

/// One parent of a route.
pub(super) struct ParentPlan {
    /// As published in the status: everything filled in (R41).
    pub(super) reference: ParentRef,
    /// Index of the Gateway.
    pub(super) gateway: usize,
    /// The listeners it attaches to, by index.
    pub(super) accepted: Verdict<Vec<usize>>,
}

/// Attaches all routes and counts them at their listeners.
pub(super) fn attach<'a>(
    world: &'a World,
    backends: &Backends<'_>,
    gateways: &mut [GatewayPlan<'_>],
) -> Vec<RoutePlan<'a>> {
    let index: BTreeMap<Key, usize> =
        gateways.iter().enumerate().map(|(index, gateway)| (gateway.key.clone(), index)).collect();
    let mut routes = Vec::with_capacity(world.routes.len());
    for (key, object) in world.routes.iter().filter(|(_, object)| !object.meta.deleting) {
        let supported = rules::supported(&object.spec);
        let mut parents: Vec<ParentPlan> = Vec::new();
        for reference in &object.spec.parent_refs {
            let reference = complete(reference, &key.namespace);
            let Some(&gateway) = parent(&reference).and_then(|parent| index.get(&parent)) else { continue };
            if parents.iter().any(|parent| parent.reference == reference) {
                continue;
            }
            let accepted = match (&supported, gateways.get(gateway)) {
                (_, None) => continue,
                (Err(refusal), _) => Err(refusal.clone()),
                (Ok(()), Some(plan)) => listeners(world, key, &object.spec, &reference, plan),
            };
            parents.push(ParentPlan { reference, gateway, accepted });
        }
        count(&parents, gateways);
        let resolved: Vec<Vec<Verdict<String>>> = if parents.is_empty() {
            Vec::new()
        } else {
            let rules = object.spec.rules.iter();
            rules
                .map(|rule| rule.backend_refs.iter().map(|r| backends.resolve(&key.namespace, r)).collect())
                .collect()
        };
        let problem = resolved.iter().flatten().find_map(|verdict| verdict.as_ref().err().cloned());
        let resolved_refs = problem.map_or(Ok(()), Err);
        routes.push(RoutePlan { key, object, parents, resolved_refs, backends: resolved });
    }
    routes
}

fn count(parents: &[ParentPlan], gateways: &mut [GatewayPlan<'_>]) {
    let mut attached: Vec<(usize, usize)> = parents
        .iter()
        .filter_map(|parent| Some((parent.gateway, parent.accepted.as_ref().ok()?)))
        .flat_map(|(gateway, listeners)| listeners.iter().map(move |listener| (gateway, *listener)))
        .collect();
    attached.sort_unstable();
    attached.dedup();
    for (gateway, listener) in attached {
        if let Some(listener) =
            gateways.get_mut(gateway).and_then(|gateway| gateway.listeners.get_mut(listener))
        {
            listener.attached_routes += 1;
        }
    }
}

/// Fills in what a reference leaves to its defaults.
pub(crate) fn complete(reference: &ParentRef, namespace: &str) -> ParentRef {
    ParentRef {
        group: Some(reference.group.clone().unwrap_or_else(|| GROUP.to_owned())),
        kind: Some(reference.kind.clone().unwrap_or_else(|| "Gateway".to_owned())),
        namespace: Some(reference.namespace.clone().unwrap_or_else(|| namespace.to_owned())),
        ..reference.clone()
    }
}

/// The Gateway that a complete reference names, if it names one.
fn parent(reference: &ParentRef) -> Option<Key> {
    let is_gateway =
        reference.group.as_deref() == Some(GROUP) && reference.kind.as_deref() == Some("Gateway");
    is_gateway.then(|| Key::new(reference.namespace.clone().unwrap_or_default(), &reference.name))
}

fn listeners(
    world: &World,
    route: &Key,
    spec: &HttpRoute,
    reference: &ParentRef,
    gateway: &GatewayPlan<'_>,
) -> Verdict<Vec<usize>> {
    let mut chosen: Vec<usize> = Vec::new();
    for (index, plan) in gateway.listeners.iter().enumerate() {
        let section = reference.section_name.as_ref().is_none_or(|name| *name == plan.listener.name);
        if section && reference.port.is_none_or(|port| port == plan.listener.port) {
            chosen.push(index);
        }
    }
    if chosen.is_empty() {
        let message = format!("Gateway {} has no listener that the parentRef selects", gateway.key);
        return Err(Refusal::new(reason::NO_MATCHING_PARENT, message));
    }
    chosen.retain(|index| {
        gateway.listeners.get(*index).is_some_and(|plan| {
            plan.serves_http_routes && admits(world, &route.namespace, &gateway.key.namespace, plan.listener)
        })
    });
    if chosen.is_empty() {
        let message =
            format!("No listener of Gateway {} admits routes of namespace {}", gateway.key, route.namespace);
        return Err(Refusal::new(reason::NOT_ALLOWED_BY_LISTENERS, message));
    }
    chosen.retain(|index| {
        gateway.listeners.get(*index).is_some_and(|plan| {
            let hostname = plan.listener.hostname.as_deref().unwrap_or_default();
            spec.hostnames.is_empty() || spec.hostnames.iter().any(|other| intersect(hostname, other))
        })
    });
    if chosen.is_empty() {
        let message = format!("No listener of Gateway {} shares a hostname with the route", gateway.key);
        return Err(Refusal::new(reason::NO_MATCHING_LISTENER_HOSTNAME, message));
    }
    Ok(chosen)
}

fn admits(world: &World, route: &str, gateway: &str, listener: &Listener) -> bool {
    let namespaces = listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    match namespaces.and_then(|namespaces| namespaces.from.as_deref()).unwrap_or("Same") {
        "All" => true,
        "Same" => route == gateway,
        "Selector" => {
            let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
            match (selector, world.namespace_labels(route)) {
                (Some(selector), Some(labels)) => selects(selector, labels),
                _ => false,
            }
        }
        _ => false,
    }
}

fn selects(selector: &NamespaceSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            match expression.operator.as_str() {
                "In" => value.is_some_and(|value| expression.values.contains(value)),
                "NotIn" => value.is_none_or(|value| !expression.values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
