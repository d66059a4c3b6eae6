//! The extension's metrics.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::files::Certificate;

/// Label of [`Metrics::integration`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// A reason of [`crate::environment::reason`].
    pub reason: String,
}

/// What is counted. Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// 1 for the reason that holds now.
    pub integration: Family<ReasonLabel, Gauge>,
    /// Certificates read from the sidecar, the first one included.
    pub rotations: Counter,
    /// Writes of the Secret.
    pub publishes: Counter,
    /// Writes of the Secret that failed, conflicts excluded.
    pub publish_errors: Counter,
}

impl Metrics {
    /// Metrics that appear in `registry`, with the seconds left of the certificate in `certificate`.
    #[must_use]
    pub fn register(registry: &mut Registry, certificate: watch::Receiver<Certificate>) -> Self {
        let metrics = Self::default();
        registry.register("integration", "1 for the state of the integration", metrics.integration.clone());
        registry.register("certificate_rotations", "Certificates read", metrics.rotations.clone());
        registry.register("identity_publishes", "Writes of the identity Secret", metrics.publishes.clone());
        registry.register(
            "identity_publish_errors",
            "Failed writes of the identity Secret",
            metrics.publish_errors.clone(),
        );
        registry.register_collector(Box::new(SecondsLeft(certificate)));
        metrics
    }

    /// Notes the state of the integration.
    pub fn set_integration(&self, reason: &str) {
        self.integration.clear();
        self.integration.get_or_create(&ReasonLabel { reason: reason.to_owned() }).set(1);
    }
}

/// `certificate_expiry_seconds`: computed when asked, so that it falls as time goes.
#[derive(Debug)]
struct SecondsLeft(watch::Receiver<Certificate>);

impl Collector for SecondsLeft {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let not_after = self.0.borrow().identity.as_ref().map(|identity| identity.leaf.not_after);
        let Some(not_after) = not_after else { return Ok(()) };
        let gauge = ConstGauge::new(not_after.as_second() - Timestamp::now().as_second());
        let help = "Seconds until this pod's workload certificate expires";
        let encoder =
            encoder.encode_descriptor("certificate_expiry_seconds", help, None, gauge.metric_type())?;
        gauge.encode(encoder)
    }
}
