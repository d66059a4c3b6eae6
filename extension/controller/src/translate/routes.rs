//! Attachment of HTTPRoutes to listeners (Gateway API, `ParentReference` and `AllowedRoutes`).

use super::backends;
use super::condition::{Refusal, Verdict};
use super::hostname::intersect;
use super::model::{GatewayPlan, Gateways, ParentPlan, RoutePlan, complete, parent, parent_set};
use super::namespaces;
use super::rules;
use crate::world::{HttpRoute, Key, Listener, Object, ParentRef, World};
use alb_api::messages::reason;
use alb_config::proto::{self, weighted_backend::Target};
use std::collections::{BTreeMap, BTreeSet};

/// A rule as the proxies of a load balancer see it: load balancer, resource name, content.
pub(super) type Resource = (String, String, proto::RouteRule);

/// What becomes of a route.
pub(super) fn plan(
    world: &World,
    gateways: &Gateways,
    key: &Key,
    object: &Object<HttpRoute>,
) -> (RoutePlan, Vec<Resource>) {
    let spec = &object.spec;
    let support = rules::support(spec);
    let references = spec.parent_refs.iter().map(|reference| complete(reference, &key.namespace));
    let (mut parents, mut named): (Vec<ParentPlan>, BTreeSet<Key>) = (Vec::new(), BTreeSet::new());
    let mut named_sets = BTreeSet::new();
    for reference in references {
        let gateway = match (parent(&reference), parent_set(&reference)) {
            (Some(of), _) => {
                named.insert(of.clone());
                gateways.get(&of)
            }
            (None, Some(set)) => {
                named_sets.insert(set.clone());
                gateways.of_listener_set(&set)
            }
            (None, None) => None,
        };
        let Some(gateway) = gateway else { continue };
        if parents.iter().any(|parent| parent.reference == reference) {
            continue;
        }
        let accepted = match &support.accepted {
            Err(refusal) => Err(refusal.clone()),
            Ok(()) => listeners(world, key, spec, &reference, gateway),
        };
        parents.push(ParentPlan { reference, gateway: gateway.key.clone(), accepted });
    }
    let refs = || spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    let permitted = refs().filter_map(|reference| backends::service(world, &key.namespace, reference).ok());
    let namespaces = refs().filter_map(|reference| reference.namespace.clone());
    let mut plan = RoutePlan {
        key: key.clone(),
        resolved_refs: Ok(()),
        partially_invalid: support.partially_invalid.clone(),
        rules: Vec::new(),
        load_balancers: BTreeSet::new(),
        backends: BTreeSet::new(),
        services: permitted.collect(),
        namespaces: namespaces.filter(|namespace| *namespace != key.namespace).collect(),
        named,
        named_sets,
        attached: attached(&parents, gateways),
        parents,
    };
    if plan.parents.is_empty() {
        return (plan, Vec::new());
    }
    let mut resolve = |reference: &_| {
        let resolved = backends::resolve(world, &key.namespace, reference);
        if let (Ok(()), Err(refusal)) = (&plan.resolved_refs, &resolved) {
            plan.resolved_refs = Err(refusal.clone());
        }
        resolved
    };
    let rules = rules::resources(key, object, &support, &mut resolve);
    plan.rules = rules.iter().map(|(name, _)| name.clone()).collect();
    let mut resources = Vec::new();
    for (load_balancer, listeners) in served_listeners(&plan.parents, gateways) {
        for (name, rule) in &rules {
            let rule = proto::RouteRule { listeners: listeners.clone(), ..rule.clone() };
            #[cfg(feature = "faults")]
            let rule = crate::faults::rule(rule, world);
            for backend in &rule.backends {
                if let Some(Target::Backend(name)) = &backend.target {
                    plan.backends.insert(name.clone());
                }
            }
            resources.push((load_balancer.clone(), name.clone(), rule));
        }
        plan.load_balancers.insert(load_balancer);
    }
    (plan, resources)
}

/// The listeners that carry a route's traffic, by load balancer.
fn served_listeners(
    parents: &[ParentPlan],
    gateways: &Gateways,
) -> BTreeMap<String, Vec<proto::ListenerRef>> {
    let mut listeners: BTreeMap<String, Vec<proto::ListenerRef>> = BTreeMap::new();
    for parent in parents {
        let (Ok(indices), Some(gateway)) = (&parent.accepted, gateways.get(&parent.gateway)) else {
            continue;
        };
        let Some((load_balancer, frontend)) = gateway.place() else { continue };
        let of_load_balancer = listeners.entry(load_balancer.id.clone()).or_default();
        for plan in indices.iter().filter_map(|index| gateway.listeners.get(*index)) {
            let reference = proto::ListenerRef { frontend: frontend.resource_name(), listener: plan.id() };
            if gateway.is_served(plan) && !of_load_balancer.contains(&reference) {
                of_load_balancer.push(reference);
            }
        }
    }
    listeners.retain(|_, listeners| !listeners.is_empty());
    listeners
}

fn attached(parents: &[ParentPlan], gateways: &Gateways) -> BTreeSet<(Key, String)> {
    let of_parent = |parent: &ParentPlan| -> Vec<(Key, String)> {
        let gateway = gateways.get(&parent.gateway);
        let listeners = parent.accepted.iter().flatten();
        let plans = listeners.filter_map(|index| gateway?.listeners.get(*index));
        plans.map(|plan| (parent.gateway.clone(), plan.id())).collect()
    };
    parents.iter().flat_map(of_parent).collect()
}

fn listeners(
    world: &World,
    route: &Key,
    spec: &HttpRoute,
    reference: &ParentRef,
    gateway: &GatewayPlan,
) -> Verdict<Vec<usize>> {
    let mut chosen: Vec<usize> = Vec::new();
    let set = parent_set(reference);
    for (index, plan) in gateway.listeners.iter().enumerate().filter(|(_, plan)| plan.set == set) {
        let section = reference.section_name.as_ref().is_none_or(|name| *name == plan.listener.name);
        if section && reference.port.is_none_or(|port| port == plan.listener.port) {
            chosen.push(index);
        }
    }
    if chosen.is_empty() {
        let message = match &set {
            None => format!("Gateway {} has no listener that the parentRef selects", gateway.key),
            Some(set) => {
                format!("ListenerSet {set} has no listener at its Gateway that the parentRef selects")
            }
        };
        return Err(Refusal::new(reason::NO_MATCHING_PARENT, message));
    }
    chosen.retain(|index| {
        gateway.listeners.get(*index).is_some_and(|plan| {
            plan.serves_http_routes
                && admits(world, &route.namespace, plan.namespace(&gateway.key), &plan.listener)
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

fn admits(world: &World, route: &str, owner: &str, listener: &Listener) -> bool {
    let namespaces = listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    namespaces::admits(world, namespaces, "Same", (route, owner))
}
