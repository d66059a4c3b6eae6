//! Publishing the certificate: the Secret that ALB Controller reads.

mod publisher;

use std::collections::BTreeMap;
use std::sync::Arc;

use alb_api::names::annotation::SPIFFE_ID;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::certificate::{Files, WorkloadIdentity};
use crate::environment::version::Version;

pub use publisher::Publisher;

/// End of the certificate's validity, RFC 3339.
pub const NOT_AFTER: &str = "alb.networking.azure.io/not-after";
/// The certificate's serial number, hexadecimal.
pub const SERIAL: &str = "alb.networking.azure.io/serial";
/// Version of the Istio it comes from, if it can be told.
pub const ISTIO_VERSION: &str = "alb.networking.azure.io/istio-version";

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOTS: &str = "ca.crt";

/// What the Secret must say.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// The certificate.
    pub identity: Arc<WorkloadIdentity>,
    /// The Istio it comes from.
    pub istio: Option<Version>,
}

/// What to do with the Secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is right.
    Keep,
    /// The other replica's certificate in it is newer than ours and good: leave it, until it expires at the latest.
    KeepNewer {
        /// When it expires.
        until: Timestamp,
    },
    /// Write this. Without a resourceVersion it is to be created.
    Write(Box<Secret>),
}

/// Which Secret, and whose.
#[derive(Clone, Debug)]
pub struct Target {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The Deployment it goes with: when the extension is uninstalled, the key is deleted.
    pub owner: Option<OwnerReference>,
}

/// Compares what is there with what we have. Pure.
///
/// Ours goes in unless the one there is newer (by the start of its validity), still valid, of the same workload, whole,
/// and chains to the roots we know: then that one is as good, and every client already uses it.
#[must_use]
pub fn decide(current: Option<&Secret>, ours: &Publication, target: &Target, now: Timestamp) -> Decision {
    let theirs = current.and_then(|secret| published(secret, &ours.identity, now)).filter(|theirs| {
        theirs.leaf.spiffe_id == ours.identity.leaf.spiffe_id
            && theirs.leaf.not_before > ours.identity.leaf.not_before
            && theirs.leaf.expires_after(now)
    });
    let identity = theirs.as_ref().unwrap_or(&ours.identity);
    let secret = secret(current, identity, ours.istio, target);
    match (current == Some(&secret), theirs) {
        (false, _) => Decision::Write(Box::new(secret)),
        (true, Some(theirs)) => Decision::KeepNewer { until: theirs.leaf.not_after },
        (true, None) => Decision::Keep,
    }
}

/// The identity in a Secret, if it is whole, and chains to the roots of `ours`.
fn published(secret: &Secret, ours: &WorkloadIdentity, now: Timestamp) -> Option<WorkloadIdentity> {
    let data = secret.data.as_ref()?;
    let file = |name: &str| data.get(name).map(|bytes| bytes.0.clone());
    let files =
        Files { key: file(KEY)?, chain: file(CERTIFICATE)?, roots: ours.roots_pem.clone().into_bytes() };
    WorkloadIdentity::parse(&files, now).ok()
}

fn secret(
    current: Option<&Secret>,
    identity: &WorkloadIdentity,
    istio: Option<Version>,
    target: &Target,
) -> Secret {
    // What others have written on it stays.
    let mut secret = current.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(target.name.clone()),
            namespace: Some(target.namespace.clone()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    });
    let leaf = &identity.leaf;
    let annotations = secret.metadata.annotations.get_or_insert_default();
    annotations.insert(SPIFFE_ID.to_owned(), leaf.spiffe_id.clone());
    annotations.insert(NOT_AFTER.to_owned(), leaf.not_after.to_string());
    annotations.insert(SERIAL.to_owned(), leaf.serial.clone());
    match istio {
        Some(version) => annotations.insert(ISTIO_VERSION.to_owned(), version.to_string()),
        None => annotations.remove(ISTIO_VERSION),
    };
    if let Some(owner) = &target.owner {
        let owners = secret.metadata.owner_references.get_or_insert_default();
        // A Deployment made anew has another uid; the old reference would have the Secret collected.
        owners.retain(|other| other.uid == owner.uid || other.name != owner.name || other.kind != owner.kind);
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
    }
    secret.data = Some(BTreeMap::from([
        (CERTIFICATE.to_owned(), ByteString(identity.chain_pem.clone().into_bytes())),
        (KEY.to_owned(), ByteString(identity.key_pem.clone().into_bytes())),
        (ROOTS.to_owned(), ByteString(identity.roots_pem.clone().into_bytes())),
    ]));
    secret
}

#[cfg(test)]
mod tests;
