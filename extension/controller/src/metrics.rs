//! Prometheus metrics.

use crate::schedule::Ended;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// What the controller counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    translation: Histogram,
    writes: Family<WriteLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    resource: String,
    outcome: &'static str,
}

impl Metrics {
    /// Registers all of them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            // 0.1 ms to 1.6 s.
            translation: Histogram::new(exponential_buckets(0.0001, 4.0, 8)),
            writes: Family::default(),
        };
        registry.register_with_unit(
            "alb_controller_translation",
            "Time to translate and publish the world",
            Unit::Seconds,
            metrics.translation.clone(),
        );
        registry.register("alb_controller_writes", "Writes to the API server", metrics.writes.clone());
        metrics
    }

    /// A translation took this long.
    pub fn translated(&self, elapsed: Duration) {
        self.translation.observe(elapsed.as_secs_f64());
    }

    /// A write ended.
    pub fn wrote(&self, resource: &str, ended: Ended) {
        let outcome = match ended {
            Ended::Well => "written",
            Ended::Stale => "stale",
            Ended::Badly => "failed",
        };
        self.writes.get_or_create(&WriteLabels { resource: resource.to_owned(), outcome }).inc();
    }
}
