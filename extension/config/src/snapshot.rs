//! Everything one load balancer's proxies should hold, at one moment.

use crate::proto::{Resource, resource::Kind};
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An immutable set of resources with content-hash versions. Cheap to clone.
///
/// Two snapshots with the same resources are equal and have the same [`digest`](Snapshot::digest), on every
/// controller replica.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    resources: BTreeMap<Arc<str>, Entry>,
    digest: String,
}

#[derive(Debug)]
struct Entry {
    version: Arc<str>,
    kind: Kind,
}

impl Snapshot {
    /// Builds a snapshot of `(name, kind)` pairs; of two with the same name the later one counts.
    pub fn new(resources: impl IntoIterator<Item = (String, Kind)>) -> Self {
        let resources: BTreeMap<Arc<str>, Entry> = resources
            .into_iter()
            .map(|(name, kind)| (Arc::from(name), Entry { version: version_of(&kind).into(), kind }))
            .collect();
        let mut hash = Sha256::new();
        for (name, entry) in &resources {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(entry.version.as_bytes());
            hash.update([0]);
        }
        Self { inner: Arc::new(Inner { resources, digest: hex(&hash.finalize()) }) }
    }

    /// Hash over all names and versions.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Version of the resource `name`, if it is part of this snapshot.
    pub fn version(&self, name: &str) -> Option<&str> {
        self.inner.resources.get(name).map(|entry| &*entry.version)
    }

    /// Content of the resource `name`, if it is part of this snapshot.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.inner.resources.get(name).map(|entry| &entry.kind)
    }

    /// Names and versions, in the order of names.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.resources.iter().map(|(name, entry)| (&**name, &*entry.version))
    }

    /// Names and content, in the order of names.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.inner.resources.iter().map(|(name, entry)| (&**name, &entry.kind))
    }

    /// Number of resources.
    pub fn len(&self) -> usize {
        self.inner.resources.len()
    }

    /// Whether there is no resource at all.
    pub fn is_empty(&self) -> bool {
        self.inner.resources.is_empty()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &Kind)> {
        self.inner.resources.iter().map(|(name, entry)| (name, &entry.version, &entry.kind))
    }

    pub(crate) fn is_same_object(&self, other: &Snapshot) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_object(other) || self.inner.digest == other.inner.digest
    }
}

impl Eq for Snapshot {}

/// Version of a resource: a hash of its content, the first 16 bytes of SHA-256 in hex.
pub fn version_of(kind: &Kind) -> String {
    // A Resource with only its kind set: the same bytes for the same content, the kind's tag included.
    let resource = Resource { name: String::new(), version: String::new(), kind: Some(kind.clone()) };
    let hash = Sha256::digest(resource.encode_to_vec());
    hex(hash.get(..16).unwrap_or(&hash))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Backend, Frontend};

    fn frontend(fqdn: &str) -> Kind {
        Kind::Frontend(Frontend { fqdn: fqdn.into(), ..Frontend::default() })
    }

    #[test]
    fn the_digest_depends_on_content_and_not_on_order() {
        let one = Snapshot::new([("a".into(), frontend("x")), ("b".into(), frontend("y"))]);
        let two = Snapshot::new([("b".into(), frontend("y")), ("a".into(), frontend("x"))]);
        let other = Snapshot::new([("a".into(), frontend("y")), ("b".into(), frontend("x"))]);
        assert_eq!(one, two);
        assert_ne!(one, other);
        assert_eq!(one.version("a"), other.version("b"));
    }

    #[test]
    fn two_kinds_with_the_same_bytes_have_different_versions() {
        assert_ne!(
            version_of(&Kind::Frontend(Frontend::default())),
            version_of(&Kind::Backend(Backend::default()))
        );
    }
}
