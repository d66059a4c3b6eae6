//! Facts of the process: TLS provider, memory.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Makes aws-lc-rs the process-wide rustls provider. Call it before anything speaks TLS; calling it again does nothing.
pub fn install_crypto_provider() {
    // Err means that a provider is already installed, which is what was wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Adds `process_resident_memory_bytes` to the registry, read from `/proc` at each scrape.
pub fn register_metrics(registry: &mut Registry) {
    registry.register_collector(Box::new(ResidentMemory));
}

/// Resident set size of this process in bytes, or `None` where `/proc` does not tell.
#[must_use]
pub fn resident_memory_bytes() -> Option<u64> {
    parse_resident_memory(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_resident_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[derive(Debug)]
struct ResidentMemory;

impl Collector for ResidentMemory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(bytes) = resident_memory_bytes() else { return Ok(()) };
        let gauge = ConstGauge::new(bytes);
        let encoder = encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_resident_set_in_bytes() {
        assert_eq!(parse_resident_memory("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1234 * 1024));
        assert_eq!(parse_resident_memory("Name:\tx\n"), None);
        assert!(resident_memory_bytes().is_some_and(|bytes| bytes > 0));
    }
}
