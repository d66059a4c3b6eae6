//! Attachment of HTTPRoutes, GRPCRoutes and TLSRoutes to listeners (Gateway API, `ParentReference` and `AllowedRoutes`).

use super::backends;
use super::condition::{Refusal, Verdict};
use super::contention::{Candidate, Contention};
use super::hostname::intersect;
use super::model::{
    GatewayPlan, Gateways, ParentPlan, RouteId, RoutePlan, complete, kind_of_route, parent, parent_set, route,
};
use super::namespaces;
use super::route_policies::Given;
use super::rules;
use crate::world::{HttpRoute, Key, Listener, Object, ParentRef, Watched, World};
use alb_api::messages::reason;
use alb_config::{Kind, capability, proto};
use std::collections::{BTreeMap, BTreeSet};

/// A rule as the proxies of a load balancer see it: load balancer, resource name, content.
pub(super) type Resource = (String, String, Kind);

/// What becomes of a route.
pub(super) fn plan(
    world: &World,
    gateways: &Gateways,
    contention: &Contention,
    given: &Given,
    id: &RouteId,
    object: &Object<HttpRoute>,
) -> (RoutePlan, Vec<Resource>) {
    let (spec, key) = (&object.spec, &id.1);
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
                let gateway = gateways.of_listener_set(&set);
                named.extend(gateway.map(|gateway| gateway.key.clone()));
                gateway
            }
            (None, None) => None,
        };
        let Some(gateway) = gateway else { continue };
        if parents.iter().any(|parent| parent.reference == reference) {
            continue;
        }
        let accepted = match &support.accepted {
            Err(refusal) => Err(refusal.clone()),
            Ok(()) => listeners(world, id, spec, &reference, gateway)
                .and_then(|listeners| left(listeners, id, gateway, contention)),
        };
        parents.push(ParentPlan { reference, gateway: gateway.key.clone(), accepted });
    }
    let refs = || spec.rules.iter().flat_map(rules::references);
    let permitted = refs().filter_map(|reference| backends::service(world, id, reference).ok());
    let namespaces = refs().filter_map(|reference| reference.namespace.clone());
    let mut plan = RoutePlan {
        id: id.clone(),
        resolved_refs: Ok(()),
        ambient: None,
        partially_invalid: support.partially_invalid.clone(),
        rules: Vec::new(),
        needs: BTreeSet::new(),
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
    let mut namespaces = plan.services.iter().map(|service| &service.namespace);
    plan.ambient = namespaces.find(|namespace| world.is_ambient_only(namespace)).cloned();
    let mut resolve = |reference: &_| {
        let resolved = backends::resolve(world, id, reference);
        if let (Ok(()), Err(refusal)) = (&plan.resolved_refs, &resolved) {
            plan.resolved_refs = Err(refusal.clone());
        }
        resolved
    };
    let rules = rules::resources(id, object, &support, given, &mut resolve);
    plan.rules = rules.iter().map(|(name, _)| name.clone()).collect();
    let is_grpc = id.0 == Watched::GrpcRoute;
    plan.needs.extend(is_grpc.then_some(capability::GRPC_ROUTES));
    let is_filtered = rules.iter().any(|(_, rule)| rule.filtered.is_some());
    plan.needs.extend(is_filtered.then_some(capability::ROUTE_FILTERS));
    plan.needs.extend(given.affinity.as_ref().map(|_| capability::SESSION_AFFINITY));
    let mut resources = Vec::new();
    for (load_balancer, listeners) in served_listeners(&plan.parents, gateways) {
        for (name, rule) in &rules {
            let rule = proto::RouteRule { listeners: listeners.clone(), ..rule.clone() };
            #[cfg(feature = "faults")]
            let rule = crate::faults::rule(rule, world);
            plan.backends.extend(rules::backends(&rule).cloned());
            let rule = match id.0 {
                Watched::GrpcRoute => Kind::GrpcRouteRule(rule),
                Watched::TlsRoute => Kind::TlsRoute(stream(rule)),
                _ => Kind::RouteRule(rule),
            };
            resources.push((load_balancer.clone(), name.clone(), rule));
        }
        plan.load_balancers.insert(load_balancer);
    }
    (plan, resources)
}

/// The rule of a TLSRoute as the proxies see it.
fn stream(rule: proto::RouteRule) -> proto::TlsRoute {
    let proto::RouteRule { route, created, listeners, hostnames, backends, .. } = rule;
    proto::TlsRoute { route, created, listeners, hostnames, backends }
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

/// The Gateways that a route names, itself or by their ListenerSets.
pub(super) fn named<'a>(
    gateways: &'a Gateways,
    id: &'a RouteId,
    object: &'a Object<HttpRoute>,
) -> impl Iterator<Item = Key> + 'a {
    let references = object.spec.parent_refs.iter().map(|reference| complete(reference, &id.1.namespace));
    references.filter_map(move |reference| {
        parent(&reference).or_else(|| {
            let set = parent_set(&reference)?;
            gateways.of_listener_set(&set).map(|gateway| gateway.key.clone())
        })
    })
}

/// A route that would be accepted by listeners of a Gateway if there were no others; none if it would not.
pub(super) fn candidate<'a>(
    world: &'a World,
    gateway: &'a GatewayPlan,
    id: &RouteId,
) -> Option<Candidate<'a>> {
    let object = route(world, id)?;
    rules::support(&object.spec).accepted.ok()?;
    let references = object.spec.parent_refs.iter().map(|reference| complete(reference, &id.1.namespace));
    let is_of_gateway = |reference: &ParentRef| match parent_set(reference) {
        Some(set) => gateway.sets.iter().any(|other| other.key == set),
        None => parent(reference).as_ref() == Some(&gateway.key),
    };
    let of_gateway = references.filter(is_of_gateway);
    let accepted =
        of_gateway.filter_map(|reference| listeners(world, id, &object.spec, &reference, gateway).ok());
    let listeners: BTreeMap<usize, &str> = accepted
        .flatten()
        .filter_map(|index| {
            let listener = &gateway.listeners.get(index)?.listener;
            Some((index, listener.hostname.as_deref().unwrap_or_default()))
        })
        .collect();
    let (id, created, hostnames) = (id.clone(), object.meta.created, object.spec.hostnames.as_slice());
    (!listeners.is_empty()).then_some(Candidate { id, created, hostnames, listeners })
}

/// The listeners that a route has not lost to an older one of the other kind.
fn left(
    listeners: Vec<usize>,
    id: &RouteId,
    gateway: &GatewayPlan,
    contention: &Contention,
) -> Verdict<Vec<usize>> {
    let winner = |index: &usize| contention.winner(&gateway.key, id, *index);
    let left: Vec<usize> = listeners.iter().filter(|index| winner(index).is_none()).copied().collect();
    match listeners.iter().find_map(winner) {
        Some(winner) if left.is_empty() => {
            let winner = format!("{} {}", kind_of_route(winner), winner.1);
            let message =
                format!("{winner}, which takes precedence, has a hostname in common with the route");
            Err(Refusal::new(reason::HOSTNAME_CONFLICT, message))
        }
        _ => Ok(left),
    }
}

fn listeners(
    world: &World,
    id: &RouteId,
    spec: &HttpRoute,
    reference: &ParentRef,
    gateway: &GatewayPlan,
) -> Verdict<Vec<usize>> {
    let route = &id.1;
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
            plan.serves(id.0) && admits(world, &route.namespace, plan.namespace(&gateway.key), &plan.listener)
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
