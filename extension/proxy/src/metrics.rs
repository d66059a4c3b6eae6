//! Prometheus metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    frontend: String,
    route: String,
    status: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReusedLabel {
    connection: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SecretLabel {
    pub(crate) secret: String,
}

/// All metrics of the proxy; every name starts with `alb_proxy_`.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    /// Series of `requests`: the family does not tell what it holds.
    known_requests: Mutex<HashSet<RequestLabels>>,
    pub(crate) duration: Histogram,
    upstream_requests: Family<ReusedLabel, Counter>,
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) retries: Counter,
    mirrored_requests: Family<ResultLabel, Counter>,
    pub(crate) client_connections: Gauge,
    /// Connections closed at once: their client has as many as it may.
    pub(crate) client_connections_refused: Counter,
    handshakes: Family<ResultLabel, Counter>,
    pub(crate) active_requests: Gauge,
    config_updates: Family<ResultLabel, Counter>,
    pub(crate) config_resources: Gauge,
    pub(crate) certificate_not_after: Family<SecretLabel, Gauge>,
    /// Access log lines that were thrown away.
    pub access_log_dropped: Counter,
}

impl Metrics {
    /// Registers every metric.
    pub fn new(registry: &mut Registry) -> Arc<Self> {
        let registry = registry.sub_registry_with_prefix("alb_proxy");
        let metrics = Self {
            requests: Family::default(),
            known_requests: Mutex::default(),
            // From a loopback round trip to the request timeout.
            duration: Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0,
            ]),
            upstream_requests: Family::default(),
            connects: Counter::default(),
            connect_failures: Counter::default(),
            retries: Counter::default(),
            mirrored_requests: Family::default(),
            client_connections: Gauge::default(),
            client_connections_refused: Counter::default(),
            handshakes: Family::default(),
            active_requests: Gauge::default(),
            config_updates: Family::default(),
            config_resources: Gauge::default(),
            certificate_not_after: Family::default(),
            access_log_dropped: Counter::default(),
        };
        registry.register("requests", "Requests by answer", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From the request's header to the last byte of the response",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "upstream_requests",
            "Requests to pods, on a new or a reused connection",
            metrics.upstream_requests.clone(),
        );
        registry.register("upstream_connects", "Connections opened to pods", metrics.connects.clone());
        registry.register(
            "upstream_connect_failures",
            "Connections to pods that failed, TLS handshakes included",
            metrics.connect_failures.clone(),
        );
        registry.register(
            "upstream_retries",
            "Requests sent again because a reused connection was closed",
            metrics.retries.clone(),
        );
        registry.register(
            "mirrored_requests",
            "Requests to be mirrored: answered, failed, or skipped for want of room",
            metrics.mirrored_requests.clone(),
        );
        registry.register(
            "client_connections",
            "Open connections of clients",
            metrics.client_connections.clone(),
        );
        registry.register(
            "client_connections_refused",
            "Connections closed at once because their client's address has as many as it may",
            metrics.client_connections_refused.clone(),
        );
        registry.register(
            "client_handshakes",
            "TLS handshakes of clients by result",
            metrics.handshakes.clone(),
        );
        registry.register("active_requests", "Requests in flight", metrics.active_requests.clone());
        registry.register("config_updates", "Configurations by result", metrics.config_updates.clone());
        registry.register("config_resources", "Resources applied", metrics.config_resources.clone());
        registry.register(
            "certificate_not_after_timestamp_seconds",
            "End of life of certificates, since the epoch",
            metrics.certificate_not_after.clone(),
        );
        registry.register(
            "access_log_dropped",
            "Access log lines thrown away because standard output was not read",
            metrics.access_log_dropped.clone(),
        );
        Arc::new(metrics)
    }

    /// Counts a request.
    pub(crate) fn request(&self, frontend: &str, route: &str, status: u16, reason: &'static str) {
        let labels = RequestLabels { frontend: frontend.to_owned(), route: route.to_owned(), status, reason };
        let counted = self.requests.get(&labels).map(|counter| counter.inc()).is_some();
        if !counted {
            // Held until the series is there: it is known before anybody can look for it.
            let mut known = self.known_requests.lock().unwrap_or_else(PoisonError::into_inner);
            self.requests.get_or_create(&labels).inc();
            known.insert(labels);
        }
    }

    /// Drops the series of frontends and routes that are no longer `served`; it is asked for the FQDN and the route,
    /// which is empty for requests that matched none.
    pub(crate) fn retain_requests(&self, served: impl Fn(&str, &str) -> bool) {
        let mut known = self.known_requests.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|labels| {
            let kept = served(&labels.frontend, &labels.route);
            if !kept {
                self.requests.remove(labels);
            }
            kept
        });
    }

    pub(crate) fn upstream_request(&self, reused: bool) {
        let connection = if reused { "reused" } else { "new" };
        self.upstream_requests.get_or_create(&ReusedLabel { connection }).inc();
    }

    /// Counts a TLS handshake of a client: `done`, `failed` or `late`, or `unknown_name` when no listener is for the name it
    /// asked for.
    pub(crate) fn handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&ResultLabel { result }).inc();
    }

    pub(crate) fn mirrored(&self, result: &'static str) {
        self.mirrored_requests.get_or_create(&ResultLabel { result }).inc();
    }

    pub(crate) fn config_update(&self, applied: bool) {
        let result = if applied { "applied" } else { "refused" };
        self.config_updates.get_or_create(&ResultLabel { result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(registry: &Registry) -> Vec<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("alb_proxy_requests_total"))
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn series_of_what_is_no_longer_served_are_dropped_and_others_go_on() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let request = |frontend: &str, route: Option<&str>| {
            metrics.request(frontend, route.unwrap_or_default(), 200, "ok");
        };
        for _ in 0..2 {
            request("fe", Some("ns/kept"));
            request("fe", Some("ns/gone"));
            request("fe", None);
            request("gone", Some("ns/kept"));
        }
        metrics.retain_requests(|frontend, route| frontend == "fe" && matches!(route, "" | "ns/kept"));
        let line = |route: &str, count: u32| {
            let labels = format!(r#"frontend="fe",route="{route}",status="200",reason="ok""#);
            format!("alb_proxy_requests_total{{{labels}}} {count}")
        };
        assert_eq!(series(&registry), [line("", 2), line("ns/kept", 2)]);

        request("fe", Some("ns/kept"));
        request("fe", Some("ns/gone"));
        assert_eq!(series(&registry), [line("", 2), line("ns/gone", 1), line("ns/kept", 3)]);
        metrics.retain_requests(|_, _| false);
        assert!(series(&registry).is_empty());
    }
}
