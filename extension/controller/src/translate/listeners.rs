//! Listeners: what each of them asks for, and whether they can be told apart (Gateway API, `Listener`).

use super::certificates::{self, Referrer};
use super::client_validation;
use super::condition::{Refusal, Verdict};
use super::model::{ClientValidation, GROUP, GatewayPlan, ListenerPlan, ListenerSetPlan};
use crate::world::{Gateway, Key, Listener, ListenerTls, RouteKind, World};
use alb_api::messages::reason;
use alb_config::proto::TlsMode;
use std::collections::BTreeMap;

const HTTP_ROUTE: &str = "HTTPRoute";
const GRPC_ROUTE: &str = "GRPCRoute";
const TLS_ROUTE: &str = "TLSRoute";

/// The listeners of a Gateway: its own, and after them those of the ListenerSets that it takes, in their order.
pub(super) fn plan(
    world: &World,
    namespace: &str,
    gateway: &Gateway,
    sets: &[ListenerSetPlan],
) -> Vec<ListenerPlan> {
    let own = (None, gateway.listeners.as_slice());
    let taken = sets.iter().filter(|set| set.allowed.is_ok());
    let owners =
        [own].into_iter().chain(taken.map(|set| (Some(&set.key), set.object.spec.listeners.as_slice())));
    let mut plans = Vec::new();
    // Of owners that came before, and without the listeners that they have lost: these stand, whoever comes later.
    let mut standing: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
    for (set, listeners) in owners {
        let on_port = |by_port: &BTreeMap<u16, Vec<_>>, listener: &Listener| -> Option<Refusal> {
            conflict(listener, by_port.get(&listener.port).map(Vec::as_slice).unwrap_or_default())
        };
        let lost: Vec<Option<Refusal>> =
            listeners.iter().map(|listener| on_port(&standing, listener)).collect();
        let mut rivals: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
        for (listener, _) in listeners.iter().zip(&lost).filter(|(_, lost)| lost.is_none()) {
            rivals.entry(listener.port).or_default().push(listener);
        }
        for (listener, lost) in listeners.iter().zip(lost) {
            let conflicted = lost.or_else(|| on_port(&rivals, listener));
            if conflicted.is_none() {
                standing.entry(listener.port).or_default().push(listener);
            }
            let validation = client_validation::of(world, namespace, gateway, listener);
            let from = match set {
                Some(set) => ("ListenerSet", set.namespace.as_str()),
                None => ("Gateway", namespace),
            };
            let mut plan = plan_of(world, from, listener, conflicted, validation);
            plan.set = set.cloned();
            plans.push(plan);
        }
    }
    plans
}

fn plan_of(
    world: &World,
    from: Referrer<'_>,
    listener: &Listener,
    conflicted: Option<Refusal>,
    client_validation: Option<ClientValidation>,
) -> ListenerPlan {
    let validation = client_validation.as_ref();
    let accepted = match &conflicted {
        Some(conflict) => Err(conflict.clone()),
        None => offered(listener)
            .and_then(|()| validation.map_or(Ok(()), |validation| validation.accepted.clone())),
    };
    let (serves, kinds) = kinds(listener);
    let tls = tls_mode(listener);
    let ends_here = tls.is_some_and(|mode| mode != TlsMode::Passthrough);
    let (certificates, of_certificates) =
        match ends_here.then(|| certificates::of_listener(world, from, listener)) {
            Some((certificates, verdict)) => (Some(certificates), verdict),
            None => (None, Ok(())),
        };
    let of_clients = validation.map_or(Ok(()), |validation| validation.resolved_refs.clone());
    ListenerPlan {
        listener: listener.clone(),
        accepted,
        conflicted,
        resolved_refs: kinds.and(of_certificates).and(of_clients),
        serves_http_routes: serves.contains(&HTTP_ROUTE),
        serves_grpc_routes: serves.contains(&GRPC_ROUTE),
        serves_tls_routes: serves.contains(&TLS_ROUTE),
        tls,
        tls_policy: String::new(),
        bind_port: 0,
        certificates,
        client_validation,
        set: None,
    }
}

/// The Secrets that listeners of a Gateway refer to and may: they are to be watched.
pub(super) fn secrets<'a>(world: &'a World, gateway: &'a GatewayPlan) -> impl Iterator<Item = Key> + 'a {
    let terminating = gateway.listeners.iter().filter(|plan| plan.certificates.is_some());
    terminating.flat_map(move |plan| {
        let kind = if plan.set.is_some() { "ListenerSet" } else { "Gateway" };
        let from = (kind, plan.namespace(&gateway.key));
        let refs = plan.listener.tls.iter().flat_map(|tls| &tls.certificate_refs);
        refs.filter_map(move |reference| certificates::named(world, from, reference).ok())
    })
}

/// The kinds of routes that can attach to listeners of its protocol: none where it is not offered.
fn kinds_of_protocol(listener: &Listener) -> &'static [&'static str] {
    match listener.protocol.as_str() {
        "HTTP" | "HTTPS" => &[HTTP_ROUTE, GRPC_ROUTE],
        "TLS" => &[TLS_ROUTE],
        _ => &[],
    }
}

/// What becomes of TLS at a listener; none where clients speak clear text.
fn tls_mode(listener: &Listener) -> Option<TlsMode> {
    let mode = listener.tls.as_ref().and_then(|tls| tls.mode.as_deref());
    match (listener.protocol.as_str(), mode) {
        ("HTTPS", _) => Some(TlsMode::TerminateHttp),
        ("TLS", Some("Passthrough")) => Some(TlsMode::Passthrough),
        ("TLS", _) => Some(TlsMode::TerminateStream),
        _ => None,
    }
}

/// Whether proxies can do what a listener asks for.
fn offered(listener: &Listener) -> Verdict {
    if kinds_of_protocol(listener).is_empty() {
        let message =
            format!("Protocol {} is not supported: only HTTP, HTTPS and TLS are", listener.protocol);
        return Err(Refusal::new(reason::UNSUPPORTED_PROTOCOL, message));
    }
    let unsupported =
        |what: String| Err(Refusal::new(reason::UNSUPPORTED_VALUE, format!("{what} is not supported")));
    match &listener.tls {
        Some(ListenerTls { mode: Some(mode), .. })
            if mode != "Terminate" && tls_mode(listener) != Some(TlsMode::Passthrough) =>
        {
            unsupported(format!("TLS mode {mode}"))
        }
        Some(ListenerTls { options, .. }) if !options.is_empty() => {
            let names: Vec<&str> = options.keys().map(String::as_str).collect();
            unsupported(format!("TLS option {}", names.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Gateway API, "Distinct Listeners": none of the listeners in a conflict is accepted.
fn conflict(listener: &Listener, on_same_port: &[&Listener]) -> Option<Refusal> {
    let hostname = |listener: &Listener| listener.hostname.clone().unwrap_or_default().to_ascii_lowercase();
    let others = || on_same_port.iter().filter(|other| !std::ptr::eq(**other, listener));
    // HTTPS and TLS are told apart by the name that a client asks for, as listeners of one of them are.
    let family = |listener: &Listener| match listener.protocol.as_str() {
        "HTTPS" | "TLS" => "TLS".to_owned(),
        other => other.to_owned(),
    };
    if let Some(other) = others().find(|other| family(other) != family(listener)) {
        let message = format!("Listener {} uses port {} with another protocol", other.name, listener.port);
        return Some(Refusal::new(reason::PROTOCOL_CONFLICT, message));
    }
    let other = others().find(|other| hostname(other) == hostname(listener))?;
    let message = format!("Listener {} has the same port and hostname", other.name);
    Some(Refusal::new(reason::HOSTNAME_CONFLICT, message))
}

/// The kinds of routes that may attach, and whether all kinds that are named are offered for that protocol.
fn kinds(listener: &Listener) -> (Vec<&'static str>, Verdict) {
    let kinds = listener.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
    let offered = kinds_of_protocol(listener);
    if offered.is_empty() {
        return (Vec::new(), Ok(()));
    }
    let is =
        |kind: &RouteKind, name: &str| kind.kind == name && kind.group.as_deref().unwrap_or(GROUP) == GROUP;
    let serves =
        offered.iter().copied().filter(|name| kinds.is_empty() || kinds.iter().any(|kind| is(kind, name)));
    let serves: Vec<&'static str> = serves.collect();
    match kinds.iter().find(|kind| !offered.iter().any(|name| is(kind, name))) {
        None => (serves, Ok(())),
        Some(other) => {
            let only = match offered {
                [one] => format!("{one} is"),
                all => format!("{} are", all.join(" and ")),
            };
            let message = format!("Routes of kind {} are not supported: only {only}", other.kind);
            (serves, Err(Refusal::new(reason::INVALID_ROUTE_KINDS, message)))
        }
    }
}
