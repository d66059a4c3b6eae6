//! HTTPRoutes and GRPCRoutes with a hostname in common on one listener: only one of two is accepted there, the older one
//! (Gateway API, `GRPCRouteSpec.hostnames`).

use super::hostname::intersect;
use super::model::RouteId;
use crate::world::Key;
use std::collections::{BTreeMap, BTreeSet};

/// A route that would be accepted if there were no others.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) id: RouteId,
    /// Seconds since the epoch.
    pub(super) created: i64,
    pub(super) hostnames: &'a [String],
    /// The listeners, by index, with their hostnames.
    pub(super) listeners: BTreeMap<usize, &'a str>,
}

/// What a route has lost: listeners, by index, and to whom.
type Lost = BTreeMap<usize, RouteId>;

/// Who has lost what.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// By Gateway.
    lost: BTreeMap<Key, BTreeMap<RouteId, Lost>>,
}

impl Contention {
    /// The route to which another one has lost a listener of a Gateway, if it has.
    pub(super) fn winner(&self, gateway: &Key, loser: &RouteId, listener: usize) -> Option<&RouteId> {
        self.lost.get(gateway)?.get(loser)?.get(&listener)
    }

    /// Decides anew who loses what on a Gateway. Returns the routes for which something else holds than before.
    pub(super) fn decide(&mut self, gateway: &Key, candidates: Vec<Candidate<'_>>) -> BTreeSet<RouteId> {
        let lost = losers(candidates);
        let before = match lost.is_empty() {
            true => self.lost.remove(gateway),
            false => self.lost.insert(gateway.clone(), lost),
        };
        let (before, nothing) = (before.unwrap_or_default(), BTreeMap::new());
        let now = self.lost.get(gateway).unwrap_or(&nothing);
        let all = before.keys().chain(now.keys());
        all.filter(|id| before.get(*id) != now.get(*id)).cloned().collect()
    }
}

fn losers(mut candidates: Vec<Candidate<'_>>) -> BTreeMap<RouteId, Lost> {
    candidates
        .sort_by_cached_key(|candidate| (candidate.created, candidate.id.1.to_string(), candidate.id.0));
    let mut lost: BTreeMap<RouteId, Lost> = BTreeMap::new();
    // Those that are accepted so far, by listener.
    let mut accepted: BTreeMap<usize, Vec<&Candidate<'_>>> = BTreeMap::new();
    for candidate in &candidates {
        for (index, listener) in &candidate.listeners {
            let here = accepted.entry(*index).or_default();
            let winner = here
                .iter()
                .find(|other| other.id.0 != candidate.id.0 && share_a_hostname(listener, candidate, other));
            match winner {
                Some(winner) => {
                    drop(lost.entry(candidate.id.clone()).or_default().insert(*index, winner.id.clone()))
                }
                None => here.push(candidate),
            }
        }
    }
    lost
}

/// Whether there is a host of the listener that both are for.
fn share_a_hostname(listener: &str, one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let any = [String::new()];
    let of = |candidate: &Candidate<'_>| -> Vec<String> {
        let names = if candidate.hostnames.is_empty() { &any[..] } else { candidate.hostnames };
        names.iter().filter(|name| intersect(listener, name)).cloned().collect()
    };
    // Names and wildcards lie within one another, or apart: three that meet two by two have a host in common.
    let others = of(other);
    of(one).iter().any(|name| others.iter().any(|other| intersect(name, other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Watched;
    use crate::world::Watched::{GrpcRoute, HttpRoute};

    type Given<'a> = (Watched, &'a str, i64, &'a [&'a str], &'a [(usize, &'a str)]);

    fn decided(given: &[Given<'_>]) -> Vec<String> {
        let hostnames: Vec<Vec<String>> =
            given.iter().map(|one| one.3.iter().map(|name| (*name).to_owned()).collect()).collect();
        let candidates =
            given.iter().zip(&hostnames).map(|((kind, name, created, _, listeners), hostnames)| Candidate {
                id: (*kind, Key::new("ns", *name)),
                created: *created,
                hostnames,
                listeners: listeners.iter().copied().collect(),
            });
        let mut contention = Contention::default();
        let gateway = Key::new("ns", "gw");
        let changed = contention.decide(&gateway, candidates.collect());
        let lost = contention.lost.remove(&gateway).unwrap_or_default();
        assert_eq!(changed, lost.keys().cloned().collect::<BTreeSet<_>>());
        let said = |(loser, lost): (RouteId, Lost)| -> Vec<String> {
            lost.iter()
                .map(|(index, winner)| format!("{}@{index} to {}", loser.1.name, winner.1.name))
                .collect()
        };
        lost.into_iter().flat_map(said).collect()
    }

    #[test]
    fn the_older_one_wins_where_hostnames_meet() {
        let any = &[(0, "")][..];
        let nobody = Vec::<String>::new();
        assert_eq!(decided(&[(HttpRoute, "a", 2, &[], any), (GrpcRoute, "b", 1, &[], any)]), ["a@0 to b"]);
        assert_eq!(decided(&[(HttpRoute, "a", 1, &[], any), (GrpcRoute, "b", 1, &[], any)]), ["b@0 to a"]);
        assert_eq!(decided(&[(HttpRoute, "a", 1, &["x"], any), (GrpcRoute, "b", 2, &["y"], any)]), nobody);
        assert_eq!(
            decided(&[(HttpRoute, "a", 1, &["*.x"], any), (GrpcRoute, "b", 2, &["y", "a.x"], any)]),
            ["b@0 to a"]
        );
        assert_eq!(
            decided(&[(HttpRoute, "a", 1, &[], any), (HttpRoute, "b", 2, &[], any)]),
            nobody,
            "of one kind"
        );
        assert_eq!(decided(&[(HttpRoute, "a", 1, &[], any), (GrpcRoute, "b", 2, &[], &[(1, "")])]), nobody);
        let below_b = &[(0, "*.b")][..];
        let routes: [Given<'_>; 2] = [
            (HttpRoute, "a", 1, &["x.com", "a.b"][..], below_b),
            (GrpcRoute, "b", 2, &["x.com", "c.b"], below_b),
        ];
        assert_eq!(decided(&routes), nobody, "x.com is no host of the listener");
    }

    #[test]
    fn who_has_lost_takes_nothing_from_others() {
        let any = &[(0, "")][..];
        let routes: [Given<'_>; 3] = [
            (HttpRoute, "first", 1, &["a"][..], any),
            (GrpcRoute, "second", 2, &["a", "b"], any),
            (HttpRoute, "third", 3, &["b"], any),
        ];
        assert_eq!(decided(&routes), ["second@0 to first"]);
    }

    #[test]
    fn only_those_are_named_for_whom_something_changes() {
        let id = |kind, name: &str| (kind, Key::new("ns", name));
        let gateway = Key::new("ns", "gw");
        let candidate = |kind, name: &str, created| Candidate {
            id: id(kind, name),
            created,
            hostnames: &[],
            listeners: BTreeMap::from([(0, "")]),
        };
        let mut contention = Contention::default();
        let both = || vec![candidate(HttpRoute, "a", 1), candidate(GrpcRoute, "b", 2)];
        assert_eq!(contention.decide(&gateway, both()), [id(GrpcRoute, "b")].into());
        assert_eq!(contention.winner(&gateway, &id(GrpcRoute, "b"), 0), Some(&id(HttpRoute, "a")));
        assert!(contention.decide(&gateway, both()).is_empty());
        assert_eq!(contention.decide(&gateway, Vec::new()), [id(GrpcRoute, "b")].into());
        assert_eq!(contention.winner(&gateway, &id(GrpcRoute, "b"), 0), None);
    }
}
