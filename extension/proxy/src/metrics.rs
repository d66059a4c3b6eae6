//! Prometheus metrics.

use crate::access_log::Record;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

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
    duration: Histogram,
    upstream_requests: Family<ReusedLabel, Counter>,
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) retries: Counter,
    pub(crate) client_connections: Gauge,
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
            // From a loopback round trip to the request timeout.
            duration: Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0,
            ]),
            upstream_requests: Family::default(),
            connects: Counter::default(),
            connect_failures: Counter::default(),
            retries: Counter::default(),
            client_connections: Gauge::default(),
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
            "client_connections",
            "Open connections of clients",
            metrics.client_connections.clone(),
        );
        registry.register("active_requests", "Requests in flight", metrics.active_requests.clone());
        registry.register("config_updates", "Configurations by result", metrics.config_updates.clone());
        registry.register("config_resources", "Resources applied", metrics.config_resources.clone());
        registry.register(
            "certificate_not_after_timestamp_seconds",
            "End of life of client certificates, since the epoch",
            metrics.certificate_not_after.clone(),
        );
        registry.register(
            "access_log_dropped",
            "Access log lines thrown away because standard output was not read",
            metrics.access_log_dropped.clone(),
        );
        Arc::new(metrics)
    }

    pub(crate) fn exchange(&self, record: &Record) {
        let labels = RequestLabels {
            frontend: record.frontend.to_string(),
            route: record.route.as_deref().unwrap_or_default().to_owned(),
            status: record.status,
            reason: record.reason,
        };
        self.requests.get_or_create(&labels).inc();
        self.duration.observe(record.duration_ms / 1000.0);
    }

    pub(crate) fn upstream_request(&self, reused: bool) {
        let connection = if reused { "reused" } else { "new" };
        self.upstream_requests.get_or_create(&ReusedLabel { connection }).inc();
    }

    pub(crate) fn config_update(&self, applied: bool) {
        let result = if applied { "applied" } else { "refused" };
        self.config_updates.get_or_create(&ResultLabel { result }).inc();
    }
}
