//! What a policy says about the backend's certificate (Gateway API, `BackendTLSPolicyValidation`).

use crate::translate::condition::{Refusal, Verdict};
use crate::world::{CaBundle, CaCertificateRef, Key, SubjectAltName, Validation, World};
use alb_api::messages::reason;
use alb_config::proto::{self, subject_alt_name};
use rustls::pki_types::DnsName;

/// `wellKnownCACertificates` for public authorities.
const SYSTEM: &str = "System";

/// What becomes of it.
pub(super) struct Outcome {
    pub(super) tls: proto::ServerTls,
    pub(super) resolved_refs: Verdict,
    pub(super) usable: Verdict,
    /// The first ConfigMap that the API server has not answered for: nothing of this is certain.
    pub(super) unknown: Option<Key>,
}

pub(super) fn of(world: &World, namespace: &str, validation: &Validation) -> Outcome {
    let (certificates, resolved_refs) = certificates(world, namespace, &validation.ca_certificate_refs);
    let mut tls = proto::ServerTls { hostname: validation.hostname.clone(), ..proto::ServerTls::default() };
    let usable = names(validation, &mut tls).and_then(|()| match &resolved_refs {
        // Some of the certificates are better than none: a backend of the others fails its handshake.
        Err(refusal) if certificates.is_empty() => {
            Err(Refusal::new(reason::NO_VALID_CA_CERTIFICATE, refusal.message.clone()))
        }
        _ => Ok(()),
    });
    if usable.is_ok() {
        tls.ca_certificates = certificates.into_bytes();
    }
    let mut config_maps = config_maps(namespace, validation);
    let unknown = config_maps.find(|key| !world.ca_bundles.contains_key(key));
    Outcome { tls, resolved_refs, usable, unknown }
}

/// Whom to expect, and which kind of authorities to ask.
fn names(validation: &Validation, tls: &mut proto::ServerTls) -> Verdict {
    host(&validation.hostname)?;
    tls.subject_alt_names =
        validation.subject_alt_names.iter().map(alternative_name).collect::<Result<_, _>>()?;
    tls.system_ca_certificates = is_system(validation)?;
    Ok(())
}

/// The ConfigMaps it refers to.
pub(super) fn config_maps(namespace: &str, validation: &Validation) -> impl Iterator<Item = Key> {
    let refs = validation.ca_certificate_refs.iter().filter(|reference| is_config_map(reference));
    refs.map(move |reference| Key::new(namespace, &reference.name))
}

fn is_config_map(reference: &CaCertificateRef) -> bool {
    reference.group.is_empty() && reference.kind == "ConfigMap"
}

/// All certificates that can be had, PEM, and whether every reference leads to some.
fn certificates(world: &World, namespace: &str, refs: &[CaCertificateRef]) -> (String, Verdict) {
    let mut certificates = String::new();
    let mut refusals: Vec<Refusal> = Vec::new();
    for reference in refs {
        match bundle(world, namespace, reference) {
            Ok(text) => {
                certificates.push_str(text);
                if !text.ends_with('\n') {
                    certificates.push('\n');
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

fn bundle<'w>(world: &'w World, namespace: &str, reference: &CaCertificateRef) -> Verdict<&'w str> {
    if !is_config_map(reference) {
        let CaCertificateRef { group, kind, name } = reference;
        let kind = if group.is_empty() { kind.clone() } else { format!("{kind}.{group}") };
        let message = format!("CA certificate {name} is a {kind}: only ConfigMap is supported");
        return Err(Refusal::new(reason::INVALID_KIND, message));
    }
    let key = Key::new(namespace, &reference.name);
    let invalid = |message: String| Refusal::new(reason::INVALID_CA_CERTIFICATE_REF, message);
    match world.ca_bundles.get(&key) {
        Some(CaBundle::Certificates(text)) => Ok(text),
        Some(CaBundle::Unusable(problem)) => Err(invalid(format!("ConfigMap {key} {problem}"))),
        Some(CaBundle::Absent) | None => Err(invalid(format!("ConfigMap {key} does not exist"))),
    }
}

fn is_system(validation: &Validation) -> Verdict<bool> {
    let well_known = validation.well_known_ca_certificates.as_deref().filter(|name| !name.is_empty());
    let message = match (well_known, validation.ca_certificate_refs.is_empty()) {
        (None, false) => return Ok(false),
        (Some(SYSTEM), true) => return Ok(true),
        (Some(other), true) => {
            format!("wellKnownCACertificates {other} is not supported: only {SYSTEM} is")
        }
        (Some(_), false) => "caCertificateRefs and wellKnownCACertificates exclude each other".to_owned(),
        (None, true) => "The policy names no CA certificates".to_owned(),
    };
    Err(invalid(message))
}

fn alternative_name(given: &SubjectAltName) -> Verdict<proto::SubjectAltName> {
    let name = match given.r#type.as_str() {
        "Hostname" => {
            host(given.hostname.strip_prefix("*.").unwrap_or(&given.hostname))?;
            subject_alt_name::Name::Hostname(given.hostname.clone())
        }
        "URI" if given.uri.is_empty() => {
            return Err(invalid("A subjectAltName of type URI has no uri".to_owned()));
        }
        "URI" => subject_alt_name::Name::Uri(given.uri.clone()),
        other => return Err(invalid(format!("A subjectAltName of type {other} is not supported"))),
    };
    Ok(proto::SubjectAltName { name: Some(name) })
}

/// Whether a name is a host name, which an IP address is not.
fn host(name: &str) -> Verdict {
    match DnsName::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid(format!("{name:?} is not a host name"))),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(reason::INVALID, message)
}
