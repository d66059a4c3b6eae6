//! The stage that chooses an endpoint.

use super::pool::{PodToken, Upstream};
use super::protocol::Protocol;
use crate::limits::BackendLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A port of a Service.
#[derive(Debug)]
pub(crate) struct Backend {
    endpoints: Vec<Arc<Upstream>>,
    next: AtomicUsize,
    pub(crate) protocol: Protocol,
    /// How many requests may wait for an answer of its endpoints, all together.
    pub(crate) limit: Arc<BackendLimit>,
}

impl Backend {
    pub(crate) fn new(endpoints: Vec<Arc<Upstream>>, protocol: Protocol, limit: Arc<BackendLimit>) -> Self {
        // Elsewhere than the other replicas, so that they do not walk in step.
        let next = AtomicUsize::new(rand::random_range(0..endpoints.len().max(1)));
        Self { endpoints, next, protocol, limit }
    }

    /// Whether this pod is one of them.
    pub(crate) fn has(&self, pod: PodToken) -> bool {
        self.endpoints.iter().any(|upstream| upstream.token == pod)
    }

    /// All endpoints, starting with the one that is wanted, or else with the next in turn; those that could not be reached a
    /// moment ago last.
    pub(crate) fn endpoints(&self, wanted: Option<PodToken>) -> impl Iterator<Item = &Arc<Upstream>> {
        let wanted = wanted.and_then(|pod| self.endpoints.iter().position(|upstream| upstream.token == pod));
        let start =
            wanted.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed) % self.endpoints.len().max(1));
        let (before, from) = self.endpoints.split_at(start.min(self.endpoints.len()));
        let now = Instant::now();
        let all = from.iter().chain(before);
        all.clone()
            .filter(move |upstream| !upstream.is_suspect(now))
            .chain(all.filter(move |upstream| upstream.is_suspect(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::settings::Settings;
    use crate::upstream::Security;
    use std::net::SocketAddr;

    fn backend(count: u16) -> Backend {
        let security = Arc::new(Security::ClearText);
        let endpoint = |port| {
            Arc::new(Upstream::new(
                SocketAddr::from(([192, 0, 2, 1], port)),
                port.to_string(),
                security.clone(),
                Protocol::Http1,
            ))
        };
        let limit = Limits::new(&Settings::default()).backend();
        Backend::new((1..=count).map(endpoint).collect(), Protocol::Http1, limit)
    }

    fn order(backend: &Backend) -> Vec<u16> {
        backend.endpoints(None).map(|upstream| upstream.address.port()).collect()
    }

    #[test]
    fn every_endpoint_has_its_turn_and_all_are_offered() {
        let backend = backend(3);
        let mut first: Vec<_> = (0..3)
            .map(|_| {
                let mut order = order(&backend);
                let first = order[0];
                order.sort_unstable();
                assert_eq!(order, [1, 2, 3]);
                first
            })
            .collect();
        first.sort_unstable();
        assert_eq!(first, [1, 2, 3]);
        assert!(order(&super::tests::backend(0)).is_empty());
    }

    #[test]
    fn the_one_that_is_wanted_comes_first_and_has_no_turn() {
        let backend = backend(3);
        let wanted = backend.endpoints[1].token;
        let before = order(&backend)[0];
        for _ in 0..3 {
            assert_eq!(backend.endpoints(Some(wanted)).next().map(|upstream| upstream.token), Some(wanted));
        }
        assert_eq!(order(&backend)[0], before % 3 + 1);
        backend.endpoints[1].connected(Some(Instant::now()));
        assert_ne!(backend.endpoints(Some(wanted)).next().map(|upstream| upstream.token), Some(wanted));
        assert!(backend.has(wanted) && !backend.has(wanted.wrapping_add(1)));
    }

    #[test]
    fn one_that_could_not_be_reached_is_asked_last() {
        let backend = backend(3);
        backend.endpoints[1].connected(Some(Instant::now()));
        for _ in 0..4 {
            assert_eq!(order(&backend)[2], 2);
        }
        backend.endpoints[1].connected(None);
        assert_ne!(order(&backend)[2], order(&backend)[2]);
    }
}
