//! A map that copies little when little changes: its entries lie in shards by the hash of their name, and copies share all
//! shards but those that have been written to since.

use super::Stored;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

/// With ten thousand resources a shard holds forty: that many are copied when one of them changes.
const SHARDS: usize = 256;

type Shard = BTreeMap<Arc<str>, Arc<Stored>>;

/// The map.
#[derive(Clone, Debug)]
pub(super) struct Shards {
    shards: Vec<Arc<Shard>>,
    /// Sum of the hashes of all names and versions: order does not matter, and one change is one subtraction and one
    /// addition.
    digest: u128,
}

impl Default for Shards {
    fn default() -> Self {
        Self { shards: vec![Arc::default(); SHARDS], digest: 0 }
    }
}

impl Shards {
    pub(super) fn digest(&self) -> u128 {
        self.digest
    }

    pub(super) fn get(&self, name: &str) -> Option<&Stored> {
        self.shards.get(place(name))?.get(name).map(|stored| &**stored)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Stored)> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(name, stored)| (name, &**stored))
    }

    /// Puts an entry in. One of the same version is left as it is, so that copies go on sharing it.
    pub(super) fn insert(&mut self, name: Arc<str>, stored: Stored) {
        if self.get(&name).is_some_and(|known| known.version == stored.version) {
            return;
        }
        self.remove(&name);
        self.digest = self.digest.wrapping_add(hash(&name, &stored.version));
        if let Some(shard) = self.shards.get_mut(place(&name)) {
            Arc::make_mut(shard).insert(name, Arc::new(stored));
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(shard) = self.shards.get_mut(place(name)).filter(|shard| shard.contains_key(name)) else {
            return;
        };
        if let Some(stored) = Arc::make_mut(shard).remove(name) {
            self.digest = self.digest.wrapping_sub(hash(name, &stored.version));
        }
    }

    /// Names of entries that are not the same in both.
    pub(super) fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        let shards = self.shards.iter().zip(&other.shards).filter(|(one, two)| !Arc::ptr_eq(one, two));
        shards
            .flat_map(|(one, two)| {
                let differs = |name: &Arc<str>, stored: &Arc<Stored>, other: &Shard| {
                    other.get(name).is_none_or(|o| !Arc::ptr_eq(o, stored) && o.version != stored.version)
                };
                let changed = one.iter().filter(move |(name, stored)| differs(name, stored, two));
                let added = two.keys().filter(|name| !one.contains_key(*name));
                changed.map(|(name, _)| name).chain(added).cloned()
            })
            .collect()
    }
}

fn place(name: &str) -> usize {
    // The same in every process: without random keys.
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or_default()
}

fn hash(name: &str, version: &str) -> u128 {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(version.as_bytes());
    let hash = hash.finalize();
    hash.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}
