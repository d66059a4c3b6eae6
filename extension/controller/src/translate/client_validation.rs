//! Certificates of clients: which authorities the listeners of a Gateway trust (Gateway API, `FrontendTLSValidation`).

use super::condition::{Refusal, Verdict};
use super::grants::{To, is_granted};
use super::model::{ClientValidation, kind_of};
use crate::world::{CaBundle, FrontendValidation, Gateway, Key, Listener, ObjectRef, World};
use alb_api::messages::reason;
use alb_config::proto;

/// The mode in which clients need no valid certificate.
const INSECURE: &str = "AllowInsecureFallback";

/// How the clients of a listener prove who they are; none when they are not asked. `namespace` is the Gateway's.
pub(super) fn of(
    world: &World,
    namespace: &str,
    gateway: &Gateway,
    listener: &Listener,
) -> Option<ClientValidation> {
    let validation = configured(gateway, listener)?;
    let mut plan = ClientValidation {
        config_maps: Vec::new(),
        allow_insecure_fallback: false,
        accepted: Ok(()),
        resolved_refs: Ok(()),
        are_known: true,
    };
    match validation.mode.as_deref().unwrap_or("AllowValidOnly") {
        "AllowValidOnly" => {}
        INSECURE => plan.allow_insecure_fallback = true,
        other => {
            let message = format!("Mode {other} of client certificate validation is not supported");
            plan.accepted = Err(Refusal::new(reason::UNSUPPORTED_VALUE, message));
        }
    }
    let mut refusals: Vec<Refusal> = Vec::new();
    for reference in &validation.ca_certificate_refs {
        match config_map(world, namespace, reference) {
            Ok((key, is_known)) => {
                plan.are_known &= is_known;
                plan.config_maps.push(key);
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    if let Some(first) = refusals.first() {
        let all: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
        plan.resolved_refs = Err(Refusal::new(first.reason, all.join("; ")));
    }
    // Some of the authorities are better than none: clients of the others are not let in.
    if plan.config_maps.is_empty() && plan.accepted.is_ok() {
        let message = match &plan.resolved_refs {
            Err(refusal) => refusal.message.clone(),
            Ok(()) => "Client certificate validation names no CA certificate".to_owned(),
        };
        plan.accepted = Err(Refusal::new(reason::NO_VALID_CA_CERTIFICATE, message));
    }
    Some(plan)
}

/// Whether clients of some port need no valid certificate.
pub(super) fn is_insecure(gateway: &Gateway) -> bool {
    let Some(frontend) = &gateway.tls.frontend else { return false };
    let ports = frontend.per_port.iter().map(|port| &port.tls);
    let mut validations = ports.chain([&frontend.default]).filter_map(|tls| tls.validation.as_ref());
    validations.any(|validation| validation.mode.as_deref() == Some(INSECURE))
}

/// The ConfigMaps that a Gateway refers to and may: they are to be watched.
pub(super) fn config_maps<'a>(
    world: &'a World,
    namespace: &'a str,
    gateway: &'a Gateway,
) -> impl Iterator<Item = Key> + 'a {
    let frontend = gateway.tls.frontend.iter();
    let configs = frontend
        .flat_map(|frontend| frontend.per_port.iter().map(|port| &port.tls).chain([&frontend.default]));
    let refs = configs.filter_map(|tls| tls.validation.as_ref()).flat_map(|v| &v.ca_certificate_refs);
    refs.filter_map(move |reference| named(world, namespace, reference).ok())
}

/// What the proxies are told of it. While something is not known that belongs to it, they let in nobody.
pub(super) fn resource(world: &World, plan: &ClientValidation) -> proto::ClientValidation {
    let mut ca_certificates = String::new();
    for key in plan.config_maps.iter().filter(|_| plan.are_known) {
        if let Some(CaBundle::Certificates(text)) = world.ca_bundles.get(key) {
            ca_certificates.push_str(text);
            if !text.ends_with('\n') {
                ca_certificates.push('\n');
            }
        }
    }
    proto::ClientValidation {
        ca_certificates: ca_certificates.into_bytes(),
        allow_insecure_fallback: plan.allow_insecure_fallback,
    }
}

/// What is said about a listener's port, or about all of them.
fn configured<'a>(gateway: &'a Gateway, listener: &Listener) -> Option<&'a FrontendValidation> {
    let frontend = gateway.tls.frontend.as_ref().filter(|_| listener.protocol == "HTTPS")?;
    let of_port = frontend.per_port.iter().find(|port| port.port == listener.port);
    of_port.map_or(&frontend.default, |port| &port.tls).validation.as_ref()
}

/// The ConfigMap that a reference names, if it may.
fn named(world: &World, namespace: &str, reference: &ObjectRef) -> Verdict<Key> {
    let ObjectRef { group, kind, name, .. } = reference;
    if !group.is_empty() || kind != "ConfigMap" {
        let kind = kind_of(kind, group);
        let message = format!("CA certificate {name} is a {kind}: only ConfigMap is supported");
        return Err(Refusal::new(reason::INVALID_CA_CERTIFICATE_KIND, message));
    }
    let key = Key::new(reference.namespace.as_deref().unwrap_or(namespace), name);
    if !is_granted(world, ("Gateway", namespace), To::ConfigMap, &key) {
        let message = format!("No ReferenceGrant in namespace {} permits ConfigMap {key}", key.namespace);
        return Err(Refusal::new(reason::REF_NOT_PERMITTED, message));
    }
    Ok(key)
}

/// The ConfigMap that a reference leads to, and whether it is known to hold certificates.
fn config_map(world: &World, namespace: &str, reference: &ObjectRef) -> Verdict<(Key, bool)> {
    let key = named(world, namespace, reference)?;
    let invalid = |message: String| Err(Refusal::new(reason::INVALID_CA_CERTIFICATE_REF, message));
    match world.ca_bundles.get(&key) {
        Some(CaBundle::Certificates(_)) => Ok((key, true)),
        Some(CaBundle::Unusable(problem)) => invalid(format!("ConfigMap {key} {problem}")),
        Some(CaBundle::Absent) => invalid(format!("ConfigMap {key} does not exist")),
        None => Ok((key, false)),
    }
}
