//! Status of every object of ours, in the order and the words of the document (R26 to R41).

use super::condition::{Condition, Refusal, Settling, Verdict};
use super::listener_status::{ListenerSetStatus, ListenerStatus};
use super::model::{
    Certificates, Frontend, GatewayPlan, Gateways, ListenerPlan, ListenerSetPlan, LoadBalancer, Origin,
    ParentPlan, RoutePlan,
};
use super::progress::{Evidence, Provisional};
use super::{classes, client_certificate, client_validation, listener_sets};
use crate::world::{Key, ParentRef, Watched, World};
use alb_api::messages::{self, condition, reason};
use alb_api::{frontend, names};
use alb_config::capability;
use serde::Serialize;
use std::collections::BTreeMap;

/// Why a listener that is accepted is not programmed; its condition ResolvedRefs says more.
pub(super) const NO_CERTIFICATE: &str = "The listener has no certificate that can be used";

/// Status of all objects of ours.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statuses {
    /// GatewayClasses with our controller name.
    pub gateway_classes: BTreeMap<Key, Vec<Condition>>,
    /// ApplicationLoadBalancers.
    pub load_balancers: BTreeMap<Key, Vec<Condition>>,
    /// Gateways of our classes.
    pub gateways: BTreeMap<Key, GatewayStatus>,
    /// ListenerSets of our Gateways.
    pub listener_sets: BTreeMap<Key, ListenerSetStatus>,
    /// HTTPRoutes. One that no longer has a parent of ours loses our entries.
    pub routes: BTreeMap<Key, RouteStatus>,
    /// GRPCRoutes, likewise.
    pub grpc_routes: BTreeMap<Key, RouteStatus>,
    /// TLSRoutes, likewise.
    pub tls_routes: BTreeMap<Key, RouteStatus>,
    /// Policies of our own group, by kind.
    pub own_policies: BTreeMap<Watched, BTreeMap<Key, Vec<Condition>>>,
    /// BackendTLSPolicies. One that concerns none of our Gateways loses our entries.
    pub backend_tls_policies: BTreeMap<Key, PolicyStatus>,
}

impl Statuses {
    /// Of routes of a kind: HTTPRoutes, unless it is another.
    pub fn of_routes(&self, kind: Watched) -> &BTreeMap<Key, RouteStatus> {
        match kind {
            Watched::GrpcRoute => &self.grpc_routes,
            Watched::TlsRoute => &self.tls_routes,
            _ => &self.routes,
        }
    }

    /// The same, to be changed.
    pub(super) fn of_routes_mut(&mut self, kind: Watched) -> &mut BTreeMap<Key, RouteStatus> {
        match kind {
            Watched::GrpcRoute => &mut self.grpc_routes,
            Watched::TlsRoute => &mut self.tls_routes,
            _ => &mut self.routes,
        }
    }
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
    /// ListenerSets that have attached.
    #[serde(skip_serializing_if = "is_zero")]
    pub attached_listener_sets: usize,
    /// Whether to wait a moment before it is written.
    pub settling: Settling,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
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

/// Conditions of a GatewayClass, if it is ours.
pub(super) fn gateway_class(world: &World, key: &Key) -> Option<Vec<Condition>> {
    let class = world.gateway_classes.get(key)?;
    if class.spec.controller_name != names::CONTROLLER_NAME || class.meta.deleting {
        return None;
    }
    let parameters = classes::parameters(world, &key.name);
    let message = messages::GATEWAY_CLASS_ACCEPTED;
    Some(vec![Condition::of(condition::ACCEPTED, &parameters, reason::ACCEPTED, message)])
}

/// Conditions of an ApplicationLoadBalancer, if that is where a load balancer comes from.
pub(super) fn load_balancer(lb: &LoadBalancer, evidence: &Evidence<'_>) -> Option<(Key, Vec<Condition>)> {
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

/// Conditions of a WebApplicationFirewallPolicy: there is no such thing here.
pub(super) fn firewall_policy() -> Vec<Condition> {
    let refusal = Refusal::new(reason::INVALID_FIREWALL_POLICY, messages::NO_FIREWALL);
    vec![Condition::unmet(condition::ACCEPTED, &refusal)]
}

/// Whether a Gateway works as it should.
pub(super) fn gateway_programmed(gateway: &GatewayPlan, evidence: &Evidence<'_>) -> Provisional {
    let refuse = |reason, message: String| (Err(Refusal::new(reason, message)), Settling::No);
    let association = match (gateway.accepted(), &gateway.association) {
        (Ok(_), Ok(association)) => association,
        _ => return refuse(reason::INVALID, "The Gateway is not accepted".to_owned()),
    };
    match &gateway.frontend {
        Err(refusal) => (Err(refusal.clone()), Settling::No),
        Ok(Frontend { addresses: Err(refusal), .. }) => (Err(refusal.clone()), Settling::No),
        Ok(Frontend { name, addresses: Ok(addresses), .. }) if addresses.is_empty() => {
            let service = Key::new(names::DATA_PLANE_NAMESPACE, name);
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
            (Ok(()), _) if gateway.is_for_tls_only() => {
                evidence.terminates_tls(&association.load_balancer.id)
            }
            (Ok(()), settling) => match gateway.client_certificate.as_ref().map(|one| &one.secret) {
                Some(Ok(secret)) => {
                    evidence.programmed(&association.load_balancer.id, &Certificates::resource_name(secret))
                }
                _ => (Ok(()), settling),
            },
            provisional => provisional,
        },
    }
}

/// Status of a Gateway to which so many routes are attached, by listener, and of the ListenerSets that name it.
pub(super) fn gateway(
    gateway: &GatewayPlan,
    (programmed, settling): &Provisional,
    attached: impl Fn(&str) -> u32,
    evidence: &Evidence<'_>,
) -> (GatewayStatus, BTreeMap<Key, ListenerSetStatus>) {
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
    let tls = |plan: &ListenerPlan| match &gateway.association {
        Ok(association) => tls_programmed(&association.load_balancer.id, plan, evidence).0,
        Err(_) => Ok(()),
    };
    let addresses = gateway.frontend.as_ref().ok().and_then(|frontend| frontend.addresses.as_ref().ok());
    let mut conditions = vec![accepted, programmed_condition(programmed)];
    if let Some(certificate) = &gateway.client_certificate {
        let unresolved = gateway.listeners_of(None).filter(|plan| plan.resolved_refs.is_err());
        let unresolved: Vec<&str> = unresolved.map(|plan| plan.listener.name.as_str()).collect();
        let verdict = client_certificate::resolved_refs(certificate, &unresolved);
        let (reason, message) = (reason::RESOLVED_REFS, messages::RESOLVED_REFS);
        conditions.push(Condition::of(condition::RESOLVED_REFS, &verdict, reason, message));
    }
    if client_validation::is_insecure(&gateway.object.spec) {
        let message = "Clients of some port need no valid certificate";
        let (mode, reason) = (condition::INSECURE_FRONTEND_VALIDATION_MODE, reason::CONFIGURATION_CHANGED);
        conditions.push(Condition::met(mode, reason, message));
    }
    let of_listener = |plan: &ListenerPlan| listener(plan, attached(&plan.id()), programmed, tls);
    let of_set = |set: &ListenerSetPlan| {
        let provisional = (programmed.clone(), *settling);
        (set.key.clone(), listener_sets::status(gateway, set, &provisional, of_listener))
    };
    let status = GatewayStatus {
        addresses: addresses.cloned().unwrap_or_default(),
        conditions,
        listeners: gateway.listeners_of(None).map(of_listener).collect(),
        attached_listener_sets: listener_sets::attached(gateway),
        settling: *settling,
    };
    (status, gateway.sets.iter().map(of_set).collect())
}

fn programmed_condition(verdict: &Verdict) -> Condition {
    Condition::of(condition::PROGRAMMED, verdict, reason::PROGRAMMED, messages::PROGRAMMED)
}

/// Whether the proxies have the certificates of a listener, if it needs any, and use them.
fn tls_programmed(load_balancer: &str, plan: &ListenerPlan, evidence: &Evidence<'_>) -> Provisional {
    if plan.tls.is_none() {
        return (Ok(()), Settling::No);
    }
    let behind = |secret| {
        let provisional = evidence.programmed(load_balancer, &Certificates::resource_name(secret));
        provisional.0.is_err().then_some(provisional)
    };
    if !plan.tls_policy.is_empty()
        && let Some(provisional) = evidence.lacks(load_balancer, capability::TLS_POLICIES)
    {
        return provisional;
    }
    let able = evidence.terminates_tls(load_balancer);
    match able.0 {
        Err(_) => able,
        Ok(()) => {
            let certificates = plan.certificates.iter();
            certificates.flat_map(|all| &all.secrets).find_map(behind).unwrap_or(able)
        }
    }
}

fn listener(
    plan: &ListenerPlan,
    attached_routes: u32,
    gateway: &Verdict,
    tls: impl Fn(&ListenerPlan) -> Verdict,
) -> ListenerStatus {
    let (resolved, accepted) = (&plan.resolved_refs, &plan.accepted);
    let programmed = match accepted {
        // Of a conflict a ListenerSet's owner sees the other half only here.
        Err(refusal) if plan.set.is_some() && plan.conflicted.is_some() => Err(refusal.clone()),
        Err(_) => Err(Refusal::new(reason::INVALID, "The listener is not accepted")),
        Ok(()) if !plan.is_servable() => Err(Refusal::new(reason::INVALID, NO_CERTIFICATE)),
        Ok(()) => gateway.clone().map_err(|refusal| Refusal {
            // AddressNotAssigned and its like are reasons of Gateways only.
            reason: if refusal.reason == reason::INVALID { reason::INVALID } else { reason::PENDING },
            ..refusal
        }),
    };
    let programmed = programmed.and_then(|()| tls(plan));
    let mut conditions = vec![
        Condition::of(condition::RESOLVED_REFS, resolved, reason::RESOLVED_REFS, messages::RESOLVED_REFS),
        Condition::of(condition::ACCEPTED, accepted, reason::ACCEPTED, messages::LISTENER_ACCEPTED),
        programmed_condition(&programmed),
    ];
    if let Some(conflict) = &plan.conflicted {
        conditions.push(Condition::met(condition::CONFLICTED, conflict.reason, conflict.message.clone()));
    }
    ListenerStatus {
        name: plan.listener.name.clone(),
        attached_routes,
        conditions,
        serves_http_routes: plan.serves_http_routes,
        serves_grpc_routes: plan.serves_grpc_routes,
        serves_tls_routes: plan.serves_tls_routes,
    }
}

/// Status of a route. `programmed` says how far a Gateway has come.
pub(super) fn route<'a>(
    route: &RoutePlan,
    gateways: &Gateways,
    programmed: impl Fn(&Key) -> Option<&'a Provisional>,
    evidence: &Evidence<'_>,
) -> RouteStatus {
    let mut status = RouteStatus::default();
    for parent in &route.parents {
        let (Some(gateway), Some(of_gateway)) = (gateways.get(&parent.gateway), programmed(&parent.gateway))
        else {
            continue;
        };
        let (programmed, settling) = route_programmed(route, parent, gateway, of_gateway, evidence);
        status.settling = status.settling.max(settling);
        let (resolved, accepted) = (&route.resolved_refs, &parent.accepted);
        let ambient = route.ambient.as_deref().map(messages::ambient_unsupported);
        let resolved_message = ambient.as_deref().unwrap_or(messages::RESOLVED_REFS);
        let mut conditions = vec![
            Condition::of(condition::RESOLVED_REFS, resolved, reason::RESOLVED_REFS, resolved_message),
            Condition::of(condition::ACCEPTED, accepted, reason::ACCEPTED, messages::ROUTE_ACCEPTED),
            programmed_condition(&programmed),
        ];
        if let (Ok(_), Some(dropped)) = (accepted, &route.partially_invalid) {
            conditions.push(Condition::met(
                condition::PARTIALLY_INVALID,
                dropped.reason,
                dropped.message.clone(),
            ));
        }
        status.parents.push(ParentStatus { parent: parent.reference.clone(), conditions });
    }
    status
}

fn route_programmed(
    route: &RoutePlan,
    parent: &ParentPlan,
    gateway: &GatewayPlan,
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
    let served: Vec<&ListenerPlan> = listeners
        .iter()
        .filter_map(|index| gateway.listeners.get(*index))
        .filter(|plan| gateway.is_served(plan))
        .collect();
    let Some((load_balancer, _)) = gateway.place().filter(|_| !served.is_empty()) else {
        return (Err(pending("its listener is not accepted")), Settling::No);
    };
    let load_balancer = load_balancer.id.as_str();
    // One listener that answers is enough.
    let of_tls = served.iter().map(|plan| tls_programmed(load_balancer, plan, evidence));
    let of_tls: Vec<Provisional> = of_tls.collect();
    if let Some((Err(refusal), settling)) = of_tls.first()
        && of_tls.iter().all(|(verdict, _)| verdict.is_err())
    {
        return (Err(pending(&refusal.message)), *settling);
    }
    if let Some(provisional) = route.needs.iter().find_map(|need| evidence.lacks(load_balancer, need)) {
        return provisional;
    }
    let refused_backend =
        || route.backends.iter().filter_map(|name| evidence.refused(load_balancer, name)).next();
    let rules = route.rules.iter().map(|rule| evidence.programmed(load_balancer, rule));
    let behind = rules.into_iter().find(|(verdict, _)| verdict.is_err());
    behind.unwrap_or_else(|| (refused_backend().map_or(Ok(()), Err), Settling::No))
}
