//! ALB Controller's faults on purpose (see `alb_runtime::faults`): each function stands beside what it spoils.

use crate::plan;
use crate::translate::{Condition, GatewayStatus, RouteStatus, Statuses};
use crate::world::{ParentRef, Watched, World};
use alb_api::messages::condition::{ACCEPTED, PROGRAMMED, RESOLVED_REFS};
use alb_api::names;
use alb_config::proto::{RouteRule, WeightedBackend, weighted_backend::Target};
use alb_runtime::faults::{acted, acts, is};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) use alb_runtime::faults::{acts as fault, begin};

/// Which fault the proxies are to have.
const OF_PROXIES: &str = "ALB_PROXY_FAULT";
/// A name that nobody looks up.
const NOWHERE: &str = "fe-00000000.alb.internal";

/// What proxies are told besides everything else.
pub(crate) fn environment() -> Option<Value> {
    let name = std::env::var(OF_PROXIES).ok().filter(|name| !name.is_empty())?;
    Some(json!({"name": alb_runtime::faults::VARIABLE, "value": name}))
}

/// Whose conditions they are.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Gateway,
    Listener,
    Route,
}

/// Faults in messages: name, object, type of the condition.
const MESSAGES: [(&str, Of, &str); 8] = [
    ("message-of-gateway-accepted", Of::Gateway, ACCEPTED),
    ("message-of-gateway-programmed", Of::Gateway, PROGRAMMED),
    ("message-of-listener-resolved-refs", Of::Listener, RESOLVED_REFS),
    ("message-of-listener-accepted", Of::Listener, ACCEPTED),
    ("message-of-listener-programmed", Of::Listener, PROGRAMMED),
    ("message-of-route-resolved-refs", Of::Route, RESOLVED_REFS),
    ("message-of-route-accepted", Of::Route, ACCEPTED),
    ("message-of-route-programmed", Of::Route, PROGRAMMED),
];

/// Faults in reasons, likewise.
const REASONS: [(&str, Of, &str); 8] = [
    ("reason-of-gateway-accepted", Of::Gateway, ACCEPTED),
    ("reason-of-gateway-programmed", Of::Gateway, PROGRAMMED),
    ("reason-of-listener-resolved-refs", Of::Listener, RESOLVED_REFS),
    ("reason-of-listener-accepted", Of::Listener, ACCEPTED),
    ("reason-of-listener-programmed", Of::Listener, PROGRAMMED),
    ("reason-of-route-resolved-refs", Of::Route, RESOLVED_REFS),
    ("reason-of-route-accepted", Of::Route, ACCEPTED),
    ("reason-of-route-programmed", Of::Route, PROGRAMMED),
];

fn conditions(of: Of, all: &mut [Condition]) {
    for condition in all.iter_mut().filter(|condition| condition.status == "True") {
        let concerned = |(name, object, kind): &(&'static str, Of, &str)| {
            (*object == of && *kind == condition.r#type && is(name)).then_some(*name)
        };
        if let Some(name) = MESSAGES.iter().find_map(concerned) {
            acted(name);
            condition.message.push('.');
        }
        if let Some(name) = REASONS.iter().find_map(concerned) {
            acted(name);
            condition.reason = "Succeeded";
        }
    }
}

/// Status of a Gateway, wrong in one field.
pub(crate) fn gateway(mut gateway: GatewayStatus, others: &Statuses) -> GatewayStatus {
    conditions(Of::Gateway, &mut gateway.conditions);
    for address in &mut gateway.addresses {
        if acts("address-of-another") {
            let mut known = others.gateways.values().flat_map(|gateway| &gateway.addresses);
            let another = known.find(|other| *other != address).cloned();
            *address = another.unwrap_or_else(|| NOWHERE.to_owned());
        }
    }
    for listener in &mut gateway.listeners {
        conditions(Of::Listener, &mut listener.conditions);
        if acts("one-route-more") {
            listener.attached_routes += 1;
        }
        if listener.attached_routes > 0 && acts("one-route-less") {
            listener.attached_routes -= 1;
        }
        if acts("listener-of-another-name") {
            listener.name.insert_str(0, "gateway-01-");
        }
        if acts("no-supported-kinds") {
            listener.serves_http_routes = false;
            listener.serves_grpc_routes = false;
            listener.serves_tls_routes = false;
        }
    }
    gateway
}

/// Status of a route, wrong in one field.
pub(crate) fn route(mut route: RouteStatus) -> RouteStatus {
    for parent in &mut route.parents {
        conditions(Of::Route, &mut parent.conditions);
    }
    route
}

/// The generation that conditions are said to be about.
pub(crate) fn generation(generation: i64) -> i64 {
    if generation > 1 && acts("stale-generation") { generation - 1 } else { generation }
}

/// What routes' statuses call this controller.
pub(crate) fn controller_name() -> &'static str {
    if acts("controller-of-another-name") {
        "alb.networking.azure.io/controller"
    } else {
        names::CONTROLLER_NAME
    }
}

/// The type of a Gateway's address.
pub(crate) fn address_type() -> &'static str {
    if acts("address-of-another-type") {
        "alb.networking.azure.io/hostname"
    } else {
        names::HOSTNAME_ADDRESS_TYPE
    }
}

/// The reference to a parent as the status repeats it.
pub(crate) fn parent(parent: &ParentRef) -> ParentRef {
    let mut parent = parent.clone();
    if acts("parent-of-another-group") {
        parent.group = Some("gateway.example".to_owned());
    }
    if acts("parent-of-another-kind") {
        parent.kind = Some("Service".to_owned());
    }
    if acts("parent-without-namespace") {
        parent.namespace = None;
    }
    parent
}

/// A rule, with a share for a Service that no route names.
pub(crate) fn rule(mut rule: RouteRule, world: &World) -> RouteRule {
    if !is("other-backend") {
        return rule;
    }
    let named = rule.backends.first().and_then(|backend| match &backend.target {
        Some(Target::Backend(name)) => Some(name.clone()),
        _ => None,
    });
    let other = named.as_deref().and_then(|name| {
        let (service, port) = name.strip_prefix("backend/")?.rsplit_once(':')?;
        let (namespace, service) = service.split_once('/')?;
        let number: u16 = port.parse().ok()?;
        let (key, _) = world.services.iter().find(|(key, object)| {
            key.namespace == namespace
                && key.name != service
                && object.spec.ports.iter().any(|port| port.port == number)
        })?;
        Some(format!("backend/{key}:{port}"))
    });
    if let Some(other) = other {
        acted("other-backend");
        for backend in &mut rule.backends {
            backend.weight *= 99;
        }
        rule.backends.push(WeightedBackend { weight: 1, target: Some(Target::Backend(other)) });
    }
    rule
}

/// Whether a Service is spoken to by mutual TLS.
pub(crate) fn in_mesh(in_mesh: bool, port_is_named: bool) -> bool {
    if !in_mesh && acts("mtls-everywhere") {
        return true;
    }
    if in_mesh && !port_is_named && acts("mtls-to-named-ports-only") {
        return false;
    }
    in_mesh && !acts("clear-text-to-the-mesh")
}

/// The name of a managed frontend.
pub(crate) fn frontend_name(mut name: String) -> String {
    if acts("short-frontend-name") {
        name.pop();
    }
    name
}

/// What is written by a replica that does not lead: what needs no proxy's word.
pub(crate) fn of_standby(mut targets: BTreeSet<plan::Target>) -> BTreeSet<plan::Target> {
    targets
        .retain(|(kind, _)| matches!(kind, Watched::Deployment | Watched::Service | Watched::LoadBalancer));
    if !targets.is_empty() {
        acted("standby-writes");
    }
    targets
}
