//! Everything one load balancer's proxies should hold, at one moment.

mod shards;

use self::shards::Shards;
use crate::proto::{Resource, resource::Kind};
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An immutable set of resources with content-hash versions. Cheap to clone, and what one change costs does not grow with
/// the number of resources: [`with`](Snapshot::with) shares everything that stays, [`differences`](Snapshot::differences)
/// looks only at what is not shared.
///
/// Two snapshots with the same resources are equal and have the same [`digest`](Snapshot::digest), on every
/// controller replica.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    shards: Arc<Shards>,
}

/// A resource as it is put into a [`Snapshot`].
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// What proxies should hold.
    Content(Kind),
    /// What this should be is not known yet: a proxy that holds something under this name keeps it, and one that holds
    /// nothing gets `instead`, if there is anything. (A controller that has just started must not take away what the
    /// last one knew and it does not.)
    Unknown {
        /// For proxies that hold nothing.
        instead: Option<Kind>,
    },
}

impl From<Kind> for Entry {
    fn from(kind: Kind) -> Self {
        Self::Content(kind)
    }
}

/// A resource in a snapshot.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Hash of the content.
    pub(crate) version: Arc<str>,
    /// None for an unknown one that proxies without it should not get either.
    pub(crate) kind: Option<Kind>,
    /// A proxy that holds anything under this name keeps that.
    pub(crate) unknown: bool,
}

impl Stored {
    fn new(entry: Entry) -> Self {
        match entry {
            Entry::Content(kind) => {
                Self { version: version_of(&kind).into(), kind: Some(kind), unknown: false }
            }
            Entry::Unknown { instead } => {
                let version = instead.as_ref().map(version_of).unwrap_or_default();
                Self { version: format!("unknown{version}").into(), kind: instead, unknown: true }
            }
        }
    }
}

impl Snapshot {
    /// Builds a snapshot of `(name, content)` pairs; of two with the same name the later one counts.
    pub fn new<E: Into<Entry>>(resources: impl IntoIterator<Item = (String, E)>) -> Self {
        Self::default().with(resources.into_iter().map(|(name, entry)| (name, Some(entry.into()))))
    }

    /// This snapshot with some resources put in, replaced, or (where there is no entry) taken out.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = (String, Option<Entry>)>) -> Self {
        let mut shared = self.shards.clone();
        let shards = Arc::make_mut(&mut shared);
        for (name, entry) in changes {
            match entry {
                Some(entry) => shards.insert(name.into(), Stored::new(entry)),
                None => shards.remove(&name),
            }
        }
        Self { shards: shared }
    }

    /// Names of the resources that are not the same in both.
    pub fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        self.shards.differences(&other.shards)
    }

    /// Hash over all names and versions.
    pub fn digest(&self) -> String {
        hex(&self.shards.digest().to_be_bytes())
    }

    /// Version of the resource `name`, if it is part of this snapshot.
    pub fn version(&self, name: &str) -> Option<&str> {
        self.shards.get(name).map(|stored| &*stored.version)
    }

    /// Content of the resource `name`, if it is part of this snapshot.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.shards.get(name).and_then(|stored| stored.kind.as_ref())
    }

    /// Whether the resource `name` is part of this snapshot, and what it should be is not known.
    pub fn is_unknown(&self, name: &str) -> bool {
        self.shards.get(name).is_some_and(|stored| stored.unknown)
    }

    /// Names and versions, in the order of names.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sorted().into_iter().map(|(name, stored)| (name, &*stored.version))
    }

    /// Names and content, in the order of names.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.sorted().into_iter().filter_map(|(name, stored)| Some((name, stored.kind.as_ref()?)))
    }

    /// Number of resources.
    pub fn len(&self) -> usize {
        self.shards.iter().count()
    }

    /// Whether there is no resource at all.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().next().is_none()
    }

    pub(crate) fn stored(&self, name: &str) -> Option<&Stored> {
        self.shards.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shards.iter().map(|(name, _)| name)
    }

    fn sorted(&self) -> BTreeMap<&str, &Stored> {
        self.shards.iter().map(|(name, stored)| (&**name, stored)).collect()
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.shards.digest() == other.shards.digest()
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

    fn snapshot(resources: &[(&str, &str)]) -> Snapshot {
        Snapshot::new(resources.iter().map(|(name, fqdn)| ((*name).to_owned(), frontend(fqdn))))
    }

    #[test]
    fn the_digest_depends_on_content_and_not_on_order() {
        let one = snapshot(&[("a", "x"), ("b", "y")]);
        let two = snapshot(&[("b", "y"), ("a", "x")]);
        let other = snapshot(&[("a", "y"), ("b", "x")]);
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

    #[test]
    fn changes_make_what_building_anew_makes() {
        let one = snapshot(&[("a", "x"), ("b", "y")]);
        let changes = [
            ("a".to_owned(), None),
            ("b".to_owned(), Some(frontend("z").into())),
            ("c".to_owned(), Some(frontend("x").into())),
            ("d".to_owned(), None),
        ];
        let two = one.with(changes);
        assert_eq!(two, snapshot(&[("b", "z"), ("c", "x")]));
        assert_eq!(two.len(), 2);
        let names: Vec<&str> = two.versions().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "c"]);
        let mut differences = one.differences(&two);
        differences.sort();
        assert_eq!(differences, ["a".into(), "b".into(), "c".into()]);
        assert_eq!(one.with([("a".to_owned(), Some(frontend("x").into()))]), one);
        assert!(two.with(["b", "c"].map(|name| (name.to_owned(), None))).is_empty());
    }

    #[test]
    fn what_is_unknown_is_another_version_than_what_stands_in_for_it() {
        let unknown = Entry::Unknown { instead: Some(frontend("x")) };
        let known = snapshot(&[("a", "x")]);
        let one = known.with([("a".to_owned(), Some(unknown))]);
        assert_ne!(one, known);
        assert!(one.is_unknown("a") && !known.is_unknown("a"));
        assert_eq!(one.get("a"), known.get("a"));
    }
}
