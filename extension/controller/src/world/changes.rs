//! What has changed in the world: nothing else need be looked at.

use super::{Difference, Key, Watched, World};
use std::collections::BTreeSet;

/// Objects that are not as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Objects of which something has changed that decisions rest on, or that have come or gone.
    pub content: BTreeSet<(Watched, Key)>,
    /// Objects of which only status or version have changed.
    pub status: BTreeSet<(Watched, Key)>,
}

impl Changes {
    /// All there is.
    pub fn everything(world: &World) -> Self {
        let of = |kind: Watched| world.keys(kind).into_iter().map(move |key| (kind, key));
        let pods = world.pod_namespaces.iter().map(|namespace| (Watched::Pod, Key::new(namespace, "")));
        let content = Watched::ALL.into_iter().flat_map(of).chain(pods).collect();
        Self { content, status: BTreeSet::new() }
    }

    /// Notes a change.
    pub fn note(&mut self, kind: Watched, key: &Key, difference: Difference) {
        match difference {
            Difference::None => {}
            Difference::Status => drop(self.status.insert((kind, key.clone()))),
            Difference::Content => drop(self.content.insert((kind, key.clone()))),
        }
    }

    /// Keys of the objects of a kind whose content has changed.
    pub fn of(&self, kind: Watched) -> impl Iterator<Item = &Key> {
        let first = (kind, Key::default());
        self.content.range(first..).take_while(move |(other, _)| *other == kind).map(|(_, key)| key)
    }

    /// Whether the content of any object of these kinds has changed.
    pub fn any(&self, kinds: &[Watched]) -> bool {
        kinds.iter().any(|kind| self.of(*kind).next().is_some())
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.content.is_empty() && self.status.is_empty()
    }
}
