//! The index of one bound port.

use crate::hostname::{HostMap, HostName};
use crate::{Hostname, Match, Order, PathMatch, Precedence, RequestParts};
use std::collections::HashMap;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// A listener with the rules attached to it.
#[derive(Debug, Clone)]
pub struct Listener<L, T> {
    /// Hostname of the Gateway's listener.
    pub hostname: Hostname,
    /// What a lookup returns to name the listener.
    pub label: L,
    /// Rules of all attached routes, in any order.
    pub rules: Vec<Rule<T>>,
}

/// One rule of one route. Cheap to clone when `T` is: a rule may be attached to many listeners.
#[derive(Debug, Clone)]
pub struct Rule<T> {
    /// Tie-breaks.
    pub order: Order,
    /// Hostnames of the route; none given means the listener's.
    pub hostnames: Arc<[Hostname]>,
    /// Any of these; none given means everything.
    pub matches: Arc<[Match]>,
    /// What a lookup returns.
    pub target: T,
}

/// Listeners and rules of one port, indexed.
#[derive(Debug)]
pub struct Table<L, T> {
    listeners: HostMap<ListenerTable<L, T>>,
}

/// What a request belongs to.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'a, L, T> {
    /// No listener of this port is for that host.
    NoListener,
    /// The listener has no rule that matches.
    NoRule {
        /// The listener.
        listener: &'a L,
    },
    /// A rule matches.
    Found(Found<'a, L, T>),
}

/// A matching rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a, L, T> {
    /// The listener.
    pub listener: &'a L,
    /// The rule's target.
    pub target: &'a T,
    /// The path condition that was met: of several matches of a rule, that of the one that decided.
    pub path: &'a PathMatch,
}

#[derive(Debug)]
struct ListenerTable<L, T> {
    label: L,
    hosts: HostMap<PathTable<T>>,
}

/// Rules for one hostname. Within one bucket every path is equally specific, so that the order of buckets and
/// the order inside each is the order of precedence.
#[derive(Debug)]
struct PathTable<T> {
    exact: HashMap<String, Vec<Candidate<T>>>,
    /// Prefixes without trailing slash: "" is everything.
    prefix: HashMap<String, Vec<Candidate<T>>>,
    /// By method of whatever gRPC service.
    grpc_method: HashMap<String, Vec<Candidate<T>>>,
    /// Length of the longest prefix: bounds the look-ups for a path with very many elements.
    longest_prefix: usize,
}

#[derive(Debug)]
struct Candidate<T> {
    precedence: Precedence,
    matched: Match,
    target: T,
}

impl<L, T: Clone> Table<L, T> {
    /// Builds the index. Of two listeners with the same hostname only the first counts (the Gateway API calls them
    /// conflicted).
    pub fn new(listeners: impl IntoIterator<Item = Listener<L, T>>) -> Self {
        let mut table = HostMap::default();
        for Listener { hostname, label, rules } in listeners {
            if table.contains(&hostname) {
                continue;
            }
            let mut hosts = HostMap::default();
            for rule in &rules {
                attach(&mut hosts, &hostname, rule);
            }
            hosts.values_mut().for_each(PathTable::sort);
            table.entry_or_insert_with(&hostname, || ListenerTable { label, hosts });
        }
        Self { listeners: table }
    }
}

/// Adds a rule under each hostname it has in common with the listener.
fn attach<T: Clone>(hosts: &mut HostMap<PathTable<T>>, listener: &Hostname, rule: &Rule<T>) {
    let anything = [Match::default()];
    let matches = if rule.matches.is_empty() { &anything[..] } else { &rule.matches[..] };
    let any_host = [Hostname::Any];
    let hostnames = if rule.hostnames.is_empty() { &any_host[..] } else { &rule.hostnames[..] };
    for hostname in hostnames.iter().filter_map(|hostname| hostname.intersect(listener)) {
        let paths = hosts.entry_or_insert_with(&hostname, PathTable::default);
        for (index, matched) in matches.iter().enumerate() {
            let matched = matched.clone().normalized();
            let precedence = Precedence::new(rule.order.clone(), index, &matched);
            paths.insert(Candidate { precedence, matched, target: rule.target.clone() });
        }
    }
}

impl<L, T> Table<L, T> {
    /// Finds the rule for a request. Allocates nothing.
    ///
    /// A request belongs to exactly one listener, the one with the most specific hostname (GatewaySpec.listeners).
    /// In it, rules of a more specific route hostname come first; when none of them matches, less specific ones
    /// are considered.
    pub fn lookup(&self, request: &RequestParts<'_>) -> Lookup<'_, L, T> {
        let host = HostName::new(request.host);
        let Some(listener) = self.listeners.matching(host.as_str()).next() else { return Lookup::NoListener };
        let candidate = listener.hosts.matching(host.as_str()).find_map(|paths| paths.find(request));
        match candidate {
            Some(Candidate { target, matched, .. }) => {
                Lookup::Found(Found { listener: &listener.label, target, path: &matched.path })
            }
            None => Lookup::NoRule { listener: &listener.label },
        }
    }
}

impl<T> Default for PathTable<T> {
    fn default() -> Self {
        let (exact, prefix, grpc_method) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { exact, prefix, grpc_method, longest_prefix: 0 }
    }
}

impl<T> PathTable<T> {
    fn insert(&mut self, candidate: Candidate<T>) {
        let bucket = match &candidate.matched.path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefix.entry(prefix.to_owned()).or_default()
            }
            PathMatch::GrpcMethod(method) => self.grpc_method.entry(method.clone()).or_default(),
        };
        bucket.push(candidate);
    }

    fn sort(&mut self) {
        let buckets = self.exact.values_mut().chain(self.prefix.values_mut());
        for bucket in buckets.chain(self.grpc_method.values_mut()) {
            bucket.sort_by(|a, b| a.precedence.cmp(&b.precedence));
        }
    }

    fn find(&self, request: &RequestParts<'_>) -> Option<&Candidate<T>> {
        let path = request.path;
        let whole = std::iter::once(path);
        // From the longest: "/a/b/c" is also below "/a/b", "/a" and "".
        let above = path.match_indices('/').rev().map(|(slash, _)| &path[..slash]);
        let prefixes =
            whole.chain(above).filter(|prefix| !prefix.is_empty() && prefix.len() <= self.longest_prefix);
        let of_grpc = std::iter::once_with(|| match self.grpc_method.is_empty() {
            true => None,
            false => crate::grpc::method(path).and_then(|method| self.grpc_method.get(method)),
        });
        let everything =
            std::iter::once_with(|| if path.starts_with('/') { self.prefix.get("") } else { None });
        std::iter::once(self.exact.get(path))
            .chain(prefixes.map(|prefix| self.prefix.get(prefix)))
            .chain(of_grpc)
            .chain(everything)
            .flatten()
            .find_map(|bucket| {
                bucket.iter().find(|candidate| candidate.matched.matches_besides_path(request))
            })
    }
}
