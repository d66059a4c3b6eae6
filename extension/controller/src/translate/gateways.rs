//! Gateways of our class: their association with a load balancer, and their listeners.

use super::condition::{Refusal, Verdict};
use super::frontends::Frontend;
use super::load_balancers::{LoadBalancer, Origin};
use crate::world::{Gateway, Key, Listener, Object, World};
use alb_api::messages::reason;
use alb_api::{frontend, names};
use names::annotation::{ALB_ID, ALB_NAME, ALB_NAMESPACE};
use std::collections::BTreeMap;

/// A Gateway and what becomes of it.
pub(super) struct GatewayPlan<'a> {
    pub(super) key: &'a Key,
    pub(super) object: &'a Object<Gateway>,
    /// Its load balancer and the name of its frontend; an error refuses the Gateway as a whole.
    pub(super) association: Verdict<Association<'a>>,
    /// Its frontend, once assigned; an error leaves the Gateway accepted and not programmed.
    pub(super) frontend: Verdict<Frontend>,
    pub(super) listeners: Vec<ListenerPlan<'a>>,
}

/// Where a Gateway belongs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Association<'a> {
    pub(super) load_balancer: &'a LoadBalancer,
    pub(super) frontend_name: String,
    /// Whether the load balancer has this frontend. A managed one makes it.
    pub(super) exists: bool,
}

/// A listener and what becomes of it.
pub(super) struct ListenerPlan<'a> {
    pub(super) listener: &'a Listener,
    pub(super) accepted: Verdict,
    /// The Conflicted condition, when it applies.
    pub(super) conflicted: Option<Refusal>,
    pub(super) resolved_refs: Verdict,
    /// Whether HTTPRoutes may attach.
    pub(super) serves_http_routes: bool,
    /// Port on the proxies; 0 until assigned.
    pub(super) bind_port: u16,
    pub(super) attached_routes: u32,
}

impl GatewayPlan<'_> {
    /// Whether this listener carries traffic.
    pub(super) fn is_served(&self, listener: &ListenerPlan<'_>) -> bool {
        self.association.is_ok() && self.frontend.is_ok() && listener.accepted.is_ok()
    }

    /// `Accepted` of the Gateway: its own verdict, and whether any of its listeners is good.
    pub(super) fn accepted(&self) -> Verdict<Vec<&str>> {
        if let Err(refusal) = &self.association {
            return Err(refusal.clone());
        }
        let bad: Vec<&str> = self
            .listeners
            .iter()
            .filter(|listener| listener.accepted.is_err() || listener.resolved_refs.is_err())
            .map(|listener| listener.listener.name.as_str())
            .collect();
        if self.listeners.iter().any(|listener| listener.accepted.is_ok()) {
            Ok(bad)
        } else {
            let message = format!("No listener is valid: {}", bad.join(", "));
            Err(Refusal::new(reason::LISTENERS_NOT_VALID, message))
        }
    }
}

/// All Gateways of our classes, the oldest first.
pub(super) fn collect<'a>(world: &'a World, load_balancers: &'a [LoadBalancer]) -> Vec<GatewayPlan<'a>> {
    let ours = |class: &str| {
        let class = world.gateway_classes.get(&Key::new("", class));
        class.is_some_and(|class| class.spec.controller_name == names::CONTROLLER_NAME)
    };
    let mut gateways: Vec<GatewayPlan<'a>> = world
        .gateways
        .iter()
        .filter(|(_, object)| ours(&object.spec.gateway_class_name) && !object.meta.deleting)
        .map(|(key, object)| GatewayPlan {
            key,
            object,
            association: associate(key, object, load_balancers),
            frontend: Err(Refusal::new(reason::INVALID, "The Gateway is not accepted")),
            listeners: listeners(&object.spec),
        })
        .collect();
    gateways.sort_by_key(|gateway| (gateway.object.meta.created, gateway.key));
    gateways
}

fn associate<'a>(
    key: &Key,
    gateway: &Object<Gateway>,
    load_balancers: &'a [LoadBalancer],
) -> Verdict<Association<'a>> {
    #[cfg(feature = "faults")]
    if crate::faults::fault("annotations-not-read") {
        return Err(Refusal::new(reason::INVALID_PARAMETERS, "The Gateway has no annotations"));
    }
    let annotation = |name: &str| gateway.meta.annotations.get(name).map(String::as_str);
    let invalid = |message: String| Refusal::new(reason::INVALID_PARAMETERS, message);
    match (annotation(ALB_ID), annotation(ALB_NAMESPACE), annotation(ALB_NAME)) {
        (Some(id), None, None) => bring_your_own(id, gateway, load_balancers),
        (None, Some(namespace), Some(name)) => {
            managed(&Key::new(namespace, name), key, gateway, load_balancers)
        }
        (Some(_), _, _) => Err(invalid(format!(
            "The annotations {ALB_ID} (bring your own) and {ALB_NAMESPACE}, {ALB_NAME} (ALB managed) exclude each \
             other"
        ))),
        (None, None, None) => Err(invalid(format!(
            "The Gateway names no Application Gateway for Containers resource: set the annotations \
             {ALB_NAMESPACE} and {ALB_NAME} (ALB managed), or {ALB_ID} (bring your own)"
        ))),
        (None, None, Some(_)) => Err(invalid(format!("The annotation {ALB_NAMESPACE} is missing"))),
        (None, Some(_), None) => Err(invalid(format!("The annotation {ALB_NAME} is missing"))),
    }
}

fn managed<'a>(
    wanted: &Key,
    key: &Key,
    gateway: &Object<Gateway>,
    load_balancers: &'a [LoadBalancer],
) -> Verdict<Association<'a>> {
    if let Some(address) = gateway.spec.addresses.first() {
        let kind = address.r#type.as_deref().unwrap_or("IPAddress");
        let message = format!("An address (type {kind}) cannot be chosen in an ALB managed deployment");
        return Err(Refusal::new(reason::UNSUPPORTED_ADDRESS, message));
    }
    let load_balancer = load_balancers
        .iter()
        .find(|lb| matches!(&lb.origin, Origin::Managed(key) if key == wanted))
        .ok_or_else(|| {
            let message = format!("ApplicationLoadBalancer {wanted} does not exist");
            Refusal::new(reason::INVALID_PARAMETERS, message)
        })?;
    let frontend_name = frontend::managed_frontend_name(&load_balancer.id, &key.namespace, &key.name);
    #[cfg(feature = "faults")]
    let frontend_name = crate::faults::frontend_name(frontend_name);
    Ok(Association { load_balancer, frontend_name, exists: true })
}

fn bring_your_own<'a>(
    id: &str,
    gateway: &Object<Gateway>,
    load_balancers: &'a [LoadBalancer],
) -> Verdict<Association<'a>> {
    let found = load_balancers.iter().find_map(|lb| match &lb.origin {
        Origin::Brought(frontends) if lb.resource_id.eq_ignore_ascii_case(id) => Some((lb, frontends)),
        _ => None,
    });
    #[cfg(feature = "faults")]
    let found = found.or_else(|| {
        load_balancers.iter().find_map(|lb| match &lb.origin {
            Origin::Brought(frontends) if crate::faults::fault("any-alb-id") => Some((lb, frontends)),
            _ => None,
        })
    });
    let Some((load_balancer, frontends)) = found else {
        let message = format!("Application Gateway for Containers resource {id} does not exist");
        return Err(Refusal::new(reason::INVALID_PARAMETERS, message));
    };
    let expected = names::FRONTEND_ADDRESS_TYPE;
    let address = match gateway.spec.addresses.as_slice() {
        [address] => address,
        other => {
            let message = format!("Exactly one address of type {expected} is needed, {} given", other.len());
            return Err(Refusal::new(reason::UNSUPPORTED_ADDRESS, message));
        }
    };
    match address.r#type.as_deref() {
        Some(kind) if kind == expected => Ok(Association {
            load_balancer,
            frontend_name: address.value.clone(),
            exists: frontends.contains(&address.value),
        }),
        other => {
            let other = other.unwrap_or("IPAddress");
            let message = format!("Addresses of type {other} are not supported: use {expected}");
            Err(Refusal::new(reason::UNSUPPORTED_ADDRESS, message))
        }
    }
}

fn listeners(gateway: &Gateway) -> Vec<ListenerPlan<'_>> {
    let mut by_port: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
    for listener in &gateway.listeners {
        by_port.entry(listener.port).or_default().push(listener);
    }
    gateway
        .listeners
        .iter()
        .map(|listener| {
            let others = by_port.get(&listener.port).map(Vec::as_slice).unwrap_or_default();
            let conflicted = conflict(listener, others);
            let (serves_http_routes, resolved_refs) = kinds(listener);
            ListenerPlan {
                listener,
                accepted: match &conflicted {
                    Some(conflict) => Err(conflict.clone()),
                    None => protocol(listener),
                },
                conflicted,
                resolved_refs,
                serves_http_routes,
                bind_port: 0,
                attached_routes: 0,
            }
        })
        .collect()
}

fn protocol(listener: &Listener) -> Verdict {
    if listener.protocol == "HTTP" {
        return Ok(());
    }
    let message = format!("Protocol {} is not supported: only HTTP is", listener.protocol);
    Err(Refusal::new(reason::UNSUPPORTED_PROTOCOL, message))
}

/// Gateway API, "Distinct Listeners": none of the listeners in a conflict is accepted.
fn conflict(listener: &Listener, on_same_port: &[&Listener]) -> Option<Refusal> {
    let hostname = |listener: &Listener| listener.hostname.clone().unwrap_or_default().to_ascii_lowercase();
    let others = || on_same_port.iter().filter(|other| !std::ptr::eq(**other, listener));
    if let Some(other) = others().find(|other| other.protocol != listener.protocol) {
        let message = format!("Listener {} uses port {} with another protocol", other.name, listener.port);
        return Some(Refusal::new(reason::PROTOCOL_CONFLICT, message));
    }
    let other = others().find(|other| hostname(other) == hostname(listener))?;
    let message = format!("Listener {} has the same port and hostname", other.name);
    Some(Refusal::new(reason::HOSTNAME_CONFLICT, message))
}

fn kinds(listener: &Listener) -> (bool, Verdict) {
    let kinds = listener.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
    let is_http_route = |kind: &crate::world::RouteKind| {
        kind.kind == "HTTPRoute"
            && kind.group.as_deref().unwrap_or(super::routes::GROUP) == super::routes::GROUP
    };
    let Some(other) = kinds.iter().find(|kind| !is_http_route(kind)) else { return (true, Ok(())) };
    let message = format!("Routes of kind {} are not supported: only HTTPRoute is", other.kind);
    (kinds.iter().any(is_http_route), Err(Refusal::new(reason::INVALID_ROUTE_KINDS, message)))
}
