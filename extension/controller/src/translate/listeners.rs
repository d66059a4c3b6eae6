//! Listeners: what each of them asks for, and whether they can be told apart (Gateway API, `Listener`).

use super::condition::{Refusal, Verdict};
use super::grants::{To, is_granted};
use super::model::{Certificates, GROUP, ListenerPlan, kind_of};
use crate::world::{CertificateRef, Gateway, Key, Listener, ListenerTls, RouteKind, TlsSecret, World};
use alb_api::messages::reason;
use std::collections::BTreeMap;

const HTTP_ROUTE: &str = "HTTPRoute";
const GRPC_ROUTE: &str = "GRPCRoute";

/// The listeners of a Gateway.
pub(super) fn plan(world: &World, namespace: &str, gateway: &Gateway) -> Vec<ListenerPlan> {
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
            let accepted = match &conflicted {
                Some(conflict) => Err(conflict.clone()),
                None => offered(listener),
            };
            let (serves, kinds) = kinds(listener);
            let tls = (listener.protocol == "HTTPS").then(|| certificates(world, namespace, listener));
            let (certificates, of_certificates) = match tls {
                Some((certificates, verdict)) => (Some(certificates), verdict),
                None => (None, Ok(())),
            };
            ListenerPlan {
                listener: listener.clone(),
                accepted,
                conflicted,
                resolved_refs: kinds.and(of_certificates),
                serves_http_routes: serves.contains(&HTTP_ROUTE),
                serves_grpc_routes: serves.contains(&GRPC_ROUTE),
                bind_port: 0,
                certificates,
            }
        })
        .collect()
}

/// Whether routes of some kind can attach to listeners of its protocol.
fn is_protocol_offered(listener: &Listener) -> bool {
    matches!(listener.protocol.as_str(), "HTTP" | "HTTPS")
}

/// Whether proxies can do what a listener asks for.
fn offered(listener: &Listener) -> Verdict {
    if !is_protocol_offered(listener) {
        let message = format!("Protocol {} is not supported: only HTTP and HTTPS are", listener.protocol);
        return Err(Refusal::new(reason::UNSUPPORTED_PROTOCOL, message));
    }
    let unsupported =
        |what: String| Err(Refusal::new(reason::UNSUPPORTED_VALUE, format!("{what} is not supported")));
    match &listener.tls {
        Some(ListenerTls { mode: Some(mode), .. }) if mode != "Terminate" => {
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
    if let Some(other) = others().find(|other| other.protocol != listener.protocol) {
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
    if !is_protocol_offered(listener) {
        return (Vec::new(), Ok(()));
    }
    let offered = [HTTP_ROUTE, GRPC_ROUTE];
    let is =
        |kind: &RouteKind, name: &str| kind.kind == name && kind.group.as_deref().unwrap_or(GROUP) == GROUP;
    let serves =
        offered.into_iter().filter(|name| kinds.is_empty() || kinds.iter().any(|kind| is(kind, name)));
    let serves: Vec<&'static str> = serves.collect();
    match kinds.iter().find(|kind| !offered.iter().any(|name| is(kind, name))) {
        None => (serves, Ok(())),
        Some(other) => {
            let message =
                format!("Routes of kind {} are not supported: only HTTPRoute and GRPCRoute are", other.kind);
            (serves, Err(Refusal::new(reason::INVALID_ROUTE_KINDS, message)))
        }
    }
}

/// The certificates of a listener, and whether all references lead to one.
fn certificates(world: &World, namespace: &str, listener: &Listener) -> (Certificates, Verdict) {
    let refs = listener.tls.as_ref().map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
    let mut certificates = Certificates { secrets: Vec::new(), are_known: true };
    let mut refusals: Vec<Refusal> = Vec::new();
    if refs.is_empty() {
        refusals.push(invalid("The listener names no certificate".to_owned()));
    }
    for reference in refs {
        match secret(world, namespace, reference) {
            Ok((key, is_known)) => {
                certificates.are_known &= is_known;
                if !certificates.secrets.contains(&key) {
                    certificates.secrets.push(key);
                }
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    let verdict = refusals.first().map_or(Ok(()), |first| {
        let all: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
        Err(Refusal::new(first.reason, all.join("; ")))
    });
    (certificates, verdict)
}

/// The Secrets that listeners of a Gateway refer to and may: they are to be watched.
pub(super) fn secrets<'a>(
    world: &'a World,
    namespace: &'a str,
    gateway: &'a Gateway,
) -> impl Iterator<Item = Key> + 'a {
    let https = gateway.listeners.iter().filter(|listener| listener.protocol == "HTTPS");
    let refs = https.filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificate_refs);
    refs.filter_map(move |reference| named(world, namespace, reference).ok())
}

/// The Secret that a reference names, if it may.
fn named(world: &World, namespace: &str, reference: &CertificateRef) -> Verdict<Key> {
    let (group, kind) = (reference.group.as_deref(), reference.kind.as_deref());
    let (group, kind) = (group.unwrap_or_default(), kind.unwrap_or("Secret"));
    if !group.is_empty() || kind != "Secret" {
        let kind = kind_of(kind, group);
        return Err(invalid(format!("Certificate {} is a {kind}: only Secret is supported", reference.name)));
    }
    let key = Key::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name);
    if !is_granted(world, ("Gateway", namespace), To::Secret, &key) {
        let message = format!("No ReferenceGrant in namespace {} permits Secret {key}", key.namespace);
        return Err(Refusal::new(reason::REF_NOT_PERMITTED, message));
    }
    Ok(key)
}

/// The Secret that a reference leads to, and whether it is known to hold a certificate.
fn secret(world: &World, namespace: &str, reference: &CertificateRef) -> Verdict<(Key, bool)> {
    let key = named(world, namespace, reference)?;
    match world.tls_secrets.get(&key) {
        Some(TlsSecret::Certificate(_)) => Ok((key, true)),
        Some(TlsSecret::Unusable(problem)) => Err(invalid(format!("Secret {key} {problem}"))),
        Some(TlsSecret::Absent) => Err(invalid(format!("Secret {key} does not exist"))),
        None => Ok((key, false)),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(reason::INVALID_CERTIFICATE_REF, message)
}
