//! One update of the translation on its way: what is to be looked at, what has come out.

use super::condition::Condition;
use super::model::RouteId;
use super::progress::Progress;
use super::{Delta, Statuses, Translation, warnings};
use crate::world::{Key, Watched, World};
use alb_config::Entry;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Changes of proxies' configuration, by load balancer and resource name.
pub(super) type Edits = BTreeMap<String, BTreeMap<String, Option<Entry>>>;

/// What is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Concerned {
    pub(super) frame: bool,
    pub(super) routes: BTreeSet<RouteId>,
    /// Names of Backend resources.
    pub(super) backends: BTreeSet<String>,
    pub(super) policies: BTreeSet<Key>,
    pub(super) route_policies: BTreeSet<Key>,
    pub(super) firewall_policies: BTreeSet<Key>,
    /// Statuses.
    pub(super) gateways: BTreeSet<Key>,
    pub(super) statuses: BTreeSet<RouteId>,
    pub(super) warnings: BTreeSet<(Watched, Key)>,
    pub(super) identity: bool,
    /// Whether a backend or a namespace has come into the mesh, or left it.
    pub(super) mesh: bool,
}

/// One update on its way.
pub(super) struct Update<'a> {
    pub(super) world: &'a World,
    pub(super) progress: &'a dyn Progress,
    pub(super) concerned: Concerned,
    pub(super) edits: Edits,
    pub(super) delta: Delta,
    pub(super) translation: &'a mut Translation,
}

impl Update<'_> {
    pub(super) fn edit(&mut self, load_balancer: &str) -> &mut BTreeMap<String, Option<Entry>> {
        if !self.edits.contains_key(load_balancer) {
            self.edits.insert(load_balancer.to_owned(), BTreeMap::new());
        }
        self.edits.entry(load_balancer.to_owned()).or_default()
    }

    /// Puts a status in the place of what was said before.
    pub(super) fn put<T: PartialEq>(
        &mut self,
        kind: Watched,
        key: &Key,
        status: Option<T>,
        of: impl FnOnce(&mut Statuses) -> &mut BTreeMap<Key, T>,
    ) {
        let statuses = of(&mut self.translation.statuses);
        if statuses.get(key) == status.as_ref() {
            return;
        }
        match status {
            Some(status) => drop(statuses.insert(key.clone(), status)),
            None => drop(statuses.remove(key)),
        }
        self.delta.targets.insert((kind, key.clone()));
        self.concerned.warnings.insert((kind, key.clone()));
    }

    /// The same for a policy of our own group.
    pub(super) fn put_policy(&mut self, kind: Watched, key: &Key, status: Option<Vec<Condition>>) {
        self.put(kind, key, status, |statuses| statuses.own_policies.entry(kind).or_default());
        let all = &mut self.translation.statuses.own_policies;
        if all.get(&kind).is_some_and(BTreeMap::is_empty) {
            all.remove(&kind);
        }
    }

    /// Warnings about everything of which something else is said.
    pub(super) fn warnings(&mut self) {
        for (kind, key) in std::mem::take(&mut self.concerned.warnings) {
            let warnings = warnings::of(self.world, &self.translation.statuses, kind, &key);
            let translation = &mut *self.translation;
            let before = match warnings.is_empty() {
                true => translation.warned.remove(&(kind, key)),
                false => translation.warned.insert((kind, key), warnings.clone()),
            };
            let before = before.unwrap_or_default();
            if before == warnings {
                continue;
            }
            self.delta.warnings = true;
            for warning in &before {
                translation.warnings.remove(warning);
            }
            translation.warnings.extend(warnings);
        }
    }
}

/// Puts manifests in the place of those before, and notes which differ.
pub(super) fn replace(
    manifests: &mut BTreeMap<Key, Value>,
    new: BTreeMap<Key, Value>,
    kind: Watched,
    targets: &mut BTreeSet<(Watched, Key)>,
) {
    let before = std::mem::replace(manifests, new);
    let all: BTreeSet<&Key> = before.keys().chain(manifests.keys()).collect();
    let different = all.into_iter().filter(|key| before.get(*key) != manifests.get(*key));
    targets.extend(different.map(|key| (kind, key.clone())));
}
