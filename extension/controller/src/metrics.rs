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

#[cfg(test)]
mod tests {
    use super::*;

    /// What dashboard and alerts ask for is what the programs tell.
    #[test]
    fn the_charts_dashboard_and_alerts_name_metrics_that_there_are() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.wrote("httproutes", Ended::Well);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let of_proxies = read("proxy/src/metrics.rs");
        let asked = read("charts/alb-controller/files/dashboard.json")
            + &read("charts/alb-controller/files/alerts.yaml");
        let words = asked.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: Vec<&str> = words
            .filter(|word| word.starts_with("alb_controller_") || word.starts_with("alb_proxy_"))
            .collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            match name.strip_prefix("alb_proxy_") {
                None => assert!(
                    page.contains(&format!("{name} ")) || page.contains(&format!("{name}{{")),
                    "{name}"
                ),
                Some(name) => {
                    let registered = |suffixes: &[&str]| {
                        let name = suffixes.iter().fold(name, |name, suffix| name.trim_end_matches(suffix));
                        of_proxies.contains(&format!("\"{name}\""))
                    };
                    assert!(
                        registered(&["_total"]) || registered(&["_bucket", "_seconds"]),
                        "alb_proxy_{name}"
                    );
                }
            }
        }
    }
}
