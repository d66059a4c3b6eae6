//! The certificate that a Gateway shows to backends (Gateway API, `GatewayBackendTLS`).

use super::certificates;
use super::condition::{Refusal, Verdict};
use super::model::{Certificates, ClientCertificate};
use crate::world::{Gateway, Key, World};
use alb_api::messages::reason;

/// Name of a certificate that does not exist: whoever is told to show it to backends cannot, and has to leave them alone.
const NONE: &str = "certificate/unusable";

/// The certificate of a Gateway, if it asks for one.
pub(super) fn of(world: &World, namespace: &str, gateway: &Gateway) -> Option<ClientCertificate> {
    let reference = gateway.tls.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let secret = certificates::secret(world, ("Gateway", namespace), reference).map_err(|refusal| {
        let is_permitted = refusal.reason != reason::REF_NOT_PERMITTED;
        let reason = if is_permitted { reason::INVALID_CLIENT_CERTIFICATE_REF } else { refusal.reason };
        Refusal::new(reason, refusal.message)
    });
    Some(match secret {
        Ok((key, is_known)) => ClientCertificate { secret: Ok(key), is_known },
        Err(refusal) => ClientCertificate { secret: Err(refusal), is_known: true },
    })
}

/// The Secret that a Gateway refers to and may: it is to be watched.
pub(super) fn secret(world: &World, namespace: &str, gateway: &Gateway) -> Option<Key> {
    let reference = gateway.tls.backend.as_ref()?.client_certificate_ref.as_ref()?;
    certificates::named(world, ("Gateway", namespace), reference).ok()
}

/// Name of the resource that the frontend of a Gateway is told to show; empty when it asks for none. One that may not be used, or
/// does not exist, closes the backends: clear text, or TLS without it, is not what was asked for.
pub(super) fn resource_name(certificate: Option<&ClientCertificate>) -> String {
    match certificate.map(|certificate| &certificate.secret) {
        None => String::new(),
        Some(Ok(secret)) => Certificates::resource_name(secret),
        Some(Err(_)) => NONE.to_owned(),
    }
}

/// `ResolvedRefs` of a Gateway that asks for one: also whether all references of its listeners resolve.
pub(super) fn resolved_refs(certificate: &ClientCertificate, listeners: &[&str]) -> Verdict {
    certificate.secret.as_ref().map_err(Refusal::clone)?;
    match listeners.is_empty() {
        true => Ok(()),
        false => {
            let message = format!("Listeners with references that do not resolve: {}", listeners.join(", "));
            Err(Refusal::new(reason::LISTENERS_NOT_RESOLVED, message))
        }
    }
}
