//! References to certificates: of listeners, for clients, and of Gateways, for backends.

use super::condition::{Refusal, Verdict};
use super::grants::{To, is_granted};
use super::model::{Certificates, kind_of};
use crate::world::{CertificateRef, Key, Listener, TlsSecret, World};
use alb_api::messages::reason;

/// Who refers: a kind of the Gateway API, and the namespace.
pub(super) type Referrer<'a> = (&'a str, &'a str);

/// The certificates of a listener, and whether all references lead to one.
pub(super) fn of_listener(world: &World, from: Referrer<'_>, listener: &Listener) -> (Certificates, Verdict) {
    let refs = listener.tls.as_ref().map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
    let mut certificates = Certificates { secrets: Vec::new(), are_known: true };
    let mut refusals: Vec<Refusal> = Vec::new();
    if refs.is_empty() {
        refusals.push(invalid("The listener names no certificate".to_owned()));
    }
    for reference in refs {
        match secret(world, from, reference) {
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

/// The Secret that a reference names, if it may.
pub(super) fn named(world: &World, from: Referrer<'_>, reference: &CertificateRef) -> Verdict<Key> {
    let (group, kind) = (reference.group.as_deref(), reference.kind.as_deref());
    let (group, kind) = (group.unwrap_or_default(), kind.unwrap_or("Secret"));
    if !group.is_empty() || kind != "Secret" {
        let kind = kind_of(kind, group);
        return Err(invalid(format!("Certificate {} is a {kind}: only Secret is supported", reference.name)));
    }
    let key = Key::new(reference.namespace.as_deref().unwrap_or(from.1), &reference.name);
    if !is_granted(world, from, To::Secret, &key) {
        let message = format!("No ReferenceGrant in namespace {} permits Secret {key}", key.namespace);
        return Err(Refusal::new(reason::REF_NOT_PERMITTED, message));
    }
    Ok(key)
}

/// The Secret that a reference leads to, and whether it is known to hold a certificate.
pub(super) fn secret(world: &World, from: Referrer<'_>, reference: &CertificateRef) -> Verdict<(Key, bool)> {
    let key = named(world, from, reference)?;
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
