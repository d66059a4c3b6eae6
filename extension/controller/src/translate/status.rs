//! Status of every object of ours, in the order and the words of the document (R26 to R41).

use super::condition::{Condition, Refusal, Settling, Verdict};
use super::gateways::{GatewayPlan, ListenerPlan};
use super::load_balancers::{LoadBalancer, Origin};
use super::progress::{Evidence, Provisional};
use super::routes::{ParentPlan, RoutePlan};
use super::rules;
use crate::world::{Key, ParentRef, World};
use alb_api::messages::{self, condition, reason};
use alb_api::{frontend, names};
use serde::Serialize;
use std::collections::BTreeMap;

/// Status of all objects of ours.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statuses {
    /// GatewayClasses with our controller name.
    pub gateway_classes: BTreeMap<Key, Vec<Condition>>,
    /// ApplicationLoadBalancers.
    pub load_balancers: BTreeMap<Key, Vec<Condition>>,
    /// Gateways of our classes.
    pub gateways: BTreeMap<Key, GatewayStatus>,
    /// HTTPRoutes. One that no longer has a parent of ours loses our entries.
    pub routes: BTreeMap<Key, RouteStatus>,
    /// BackendTLSPolicies, likewise.
    pub backend_tls_policies: BTreeMap<Key, PolicyStatus>,
}

/// Status of a Gateway.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct GatewayStatus {
    /// Hostnames that lead to it.
    pub addresses: Vec<String>,
    /// Conditions of the Gateway.
    pub conditions: Vec<Condition>,
    /// Listeners, in the order of the specification.
    pub listeners: Vec<ListenerStatus>,
    /// Whether to wait a moment before it is written.
    pub settling: Settling,
}

/// Status of a listener.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ListenerStatus {
    /// Name, the same as in the specification (R34).
    pub name: String,
    /// Attached routes (R33).
    pub attached_routes: u32,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Whether `supportedKinds` holds HTTPRoute (R35) or nothing.
    pub serves_http_routes: bool,
}

/// Status of a route: only our part of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RouteStatus {
    /// One entry for each parent of ours.
    pub parents: Vec<ParentStatus>,
    /// Whether to wait a moment before it is written.
    pub settling: Settling,
}

/// Status of a policy: only our part of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PolicyStatus {
    /// One entry for each Gateway of ours that it concerns.
    pub ancestors: Vec<ParentStatus>,
    /// Gateways that it concerns and that the status has no room for.
    pub unlisted: usize,
}

/// Status of a route at one parent, or of a policy at one ancestor.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ParentStatus {
    /// The parent, with everything filled in (R41).
    pub parent: ParentRef,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

pub(super) fn collect(
    world: &World,
    load_balancers: &[LoadBalancer],
    gateways: &[GatewayPlan<'_>],
    routes: &[RoutePlan<'_>],
    backend_tls_policies: BTreeMap<Key, PolicyStatus>,
    evidence: &Evidence<'_>,
) -> Statuses {
    let classes = world
        .gateway_classes
        .iter()
        .filter(|(_, class)| class.spec.controller_name == names::CONTROLLER_NAME && !class.meta.deleting);
    let class_accepted =
        || Condition::met(condition::ACCEPTED, reason::ACCEPTED, messages::GATEWAY_CLASS_ACCEPTED);
    let programmed: Vec<Provisional> =
        gateways.iter().map(|gateway| gateway_programmed(gateway, evidence)).collect();
    Statuses {
        gateway_classes: classes.map(|(key, _)| (key.clone(), vec![class_accepted()])).collect(),
        load_balancers: load_balancers.iter().filter_map(|lb| load_balancer(lb, evidence)).collect(),
        gateways: gateways
            .iter()
            .zip(&programmed)
            .map(|(gateway, programmed)| (gateway.key.clone(), gateway_status(gateway, programmed)))
            .collect(),
        // Of what goes away with its namespace there is nothing more to be said.
        routes: routes
            .iter()
            .filter(|route| !world.is_terminating(&route.key.namespace))
            .map(|route| (route.key.clone(), route_status(route, gateways, &programmed, evidence)))
            .collect(),
        backend_tls_policies,
    }
}

fn load_balancer(lb: &LoadBalancer, evidence: &Evidence<'_>) -> Option<(Key, Vec<Condition>)> {
    let Origin::Managed(key) = &lb.origin else { return None };
    let deployment = if evidence.ready_replicas(&lb.id) > 0 {
        Condition::met(condition::DEPLOYMENT, reason::READY, messages::load_balancer_ready(&lb.resource_id))
    } else {
        let message = messages::load_balancer_in_progress(&frontend::traffic_controller_name(&lb.id));
        Condition::met(condition::DEPLOYMENT, reason::IN_PROGRESS, message)
    };
    let accepted = Condition::met(condition::ACCEPTED, reason::ACCEPTED, messages::LOAD_BALANCER_ACCEPTED);
    Some((key.clone(), vec![accepted, deployment]))
}

fn gateway_programmed(gateway: &GatewayPlan<'_>, evidence: &Evidence<'_>) -> Provisional {
    let refuse = |reason, message: String| (Err(Refusal::new(reason, message)), Settling::No);
    let association = match (gateway.accepted(), &gateway.association) {
        (Ok(_), Ok(association)) => association,
        _ => return refuse(reason::INVALID, "The Gateway is not accepted".to_owned()),
    };
    match &gateway.frontend {
        Err(refusal) => (Err(refusal.clone()), Settling::No),
        Ok(frontend) if !frontend.has_address => {
            let service = Key::new(names::DATA_PLANE_NAMESPACE, &frontend.name);
            refuse(
                reason::ADDRESS_NOT_ASSIGNED,
                format!("Service {service} of the frontend has no address yet"),
            )
        }
        Ok(frontend) => match evidence.programmed(&association.load_balancer.id, &frontend.resource_name()) {
            // A proxy may have acknowledged before it is Ready: until then the Service does not lead to it.
            (Ok(()), _) if evidence.ready_replicas(&association.load_balancer.id) == 0 => {
                refuse(reason::PENDING, "No proxy is Ready yet".to_owned())
            }
            provisional => provisional,
        },
    }
}

fn gateway_status(gateway: &GatewayPlan<'_>, (programmed, settling): &Provisional) -> GatewayStatus {
    let accepted = match gateway.accepted() {
        Err(refusal) => Condition::unmet(condition::ACCEPTED, &refusal),
        Ok(bad) if bad.is_empty() => {
            Condition::met(condition::ACCEPTED, reason::ACCEPTED, messages::GATEWAY_ACCEPTED)
        }
        Ok(bad) => {
            let message = format!("Listeners that are not valid: {}", bad.join(", "));
            Condition::met(condition::ACCEPTED, reason::LISTENERS_NOT_VALID, message)
        }
    };
    let address = gateway.frontend.as_ref().ok().filter(|frontend| frontend.has_address);
    GatewayStatus {
        addresses: address.map(|frontend| frontend.fqdn.clone()).into_iter().collect(),
        conditions: vec![accepted, programmed_condition(programmed)],
        listeners: gateway.listeners.iter().map(|listener| listener_status(listener, programmed)).collect(),
        settling: *settling,
    }
}

fn programmed_condition(verdict: &Verdict) -> Condition {
    Condition::of(condition::PROGRAMMED, verdict, reason::PROGRAMMED, messages::PROGRAMMED)
}

fn listener_status(listener: &ListenerPlan<'_>, gateway: &Verdict) -> ListenerStatus {
    let programmed = match &listener.accepted {
        Err(_) => Err(Refusal::new(reason::INVALID, "The listener is not accepted")),
        Ok(()) => gateway.clone().map_err(|refusal| Refusal {
            // AddressNotAssigned and its like are reasons of Gateways only.
            reason: if refusal.reason == reason::INVALID { reason::INVALID } else { reason::PENDING },
            ..refusal
        }),
    };
    let (resolved, accepted) = (&listener.resolved_refs, &listener.accepted);
    let mut conditions = vec![
        Condition::of(condition::RESOLVED_REFS, resolved, reason::RESOLVED_REFS, messages::RESOLVED_REFS),
        Condition::of(condition::ACCEPTED, accepted, reason::ACCEPTED, messages::LISTENER_ACCEPTED),
        programmed_condition(&programmed),
    ];
    if let Some(conflict) = &listener.conflicted {
        conditions.push(Condition::met(condition::CONFLICTED, conflict.reason, conflict.message.clone()));
    }
    ListenerStatus {
        name: listener.listener.name.clone(),
        attached_routes: listener.attached_routes,
        conditions,
        serves_http_routes: listener.serves_http_routes,
    }
}

fn route_status(
    route: &RoutePlan<'_>,
    gateways: &[GatewayPlan<'_>],
    programmed: &[Provisional],
    evidence: &Evidence<'_>,
) -> RouteStatus {
    let mut status = RouteStatus::default();
    for parent in &route.parents {
        let (Some(gateway), Some(of_gateway)) =
            (gateways.get(parent.gateway), programmed.get(parent.gateway))
        else {
            continue;
        };
        let (programmed, settling) = route_programmed(route, parent, gateway, of_gateway, evidence);
        status.settling = status.settling.max(settling);
        let (resolved, accepted) = (&route.resolved_refs, &parent.accepted);
        status.parents.push(ParentStatus {
            parent: parent.reference.clone(),
            conditions: vec![
                Condition::of(
                    condition::RESOLVED_REFS,
                    resolved,
                    reason::RESOLVED_REFS,
                    messages::RESOLVED_REFS,
                ),
                Condition::of(condition::ACCEPTED, accepted, reason::ACCEPTED, messages::ROUTE_ACCEPTED),
                programmed_condition(&programmed),
            ],
        });
    }
    status
}

fn route_programmed(
    route: &RoutePlan<'_>,
    parent: &ParentPlan,
    gateway: &GatewayPlan<'_>,
    (of_gateway, settling): &Provisional,
    evidence: &Evidence<'_>,
) -> Provisional {
    let refuse = |reason, message: String| (Err(Refusal::new(reason, message)), Settling::No);
    let Ok(listeners) = &parent.accepted else {
        return refuse(reason::INVALID, "The route is not accepted".to_owned());
    };
    let pending = |message: &str| {
        Refusal::new(reason::PENDING, format!("Gateway {} is not programmed: {message}", gateway.key))
    };
    if let Err(refusal) = of_gateway {
        return (Err(pending(&refusal.message)), *settling);
    }
    let served = |index: &usize| gateway.listeners.get(*index).is_some_and(|plan| gateway.is_served(plan));
    let Some(association) = gateway.association.as_ref().ok().filter(|_| listeners.iter().any(served)) else {
        return (Err(pending("its listener is not accepted")), Settling::No);
    };
    let load_balancer = association.load_balancer.id.as_str();
    let refused_backend = || {
        let backends = route.backends.iter().flatten().filter_map(|backend| backend.as_ref().ok());
        backends.filter_map(|name| evidence.refused(load_balancer, name)).next()
    };
    (0..route.backends.len())
        .map(|index| evidence.programmed(load_balancer, &rules::name(route, index)))
        .find(|(verdict, _)| verdict.is_err())
        .unwrap_or_else(|| (refused_backend().map_or(Ok(()), Err), Settling::No))
}
