//! Logs: one JSON object a line, on standard error (standard output belongs to the programs: access logs).

use std::str::FromStr;

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "reading the log filter {filter:?}: {source}; expected something like \"info\" or \"info,kube=warn\""
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A subscriber is already there.
    #[error("installing the log subscriber: {0}")]
    Install(#[from] TryInitError),
}

/// Starts JSON logging with `filter` (the syntax of `RUST_LOG`: level, or target=level, comma separated).
///
/// Lines hold `timestamp`, `level`, `target`, the event's fields at top level, and the `spans` around it.
///
/// # Errors
/// When the filter does not parse, or logging is already set up.
pub fn init(filter: &str) -> Result<(), TelemetryError> {
    let targets = Targets::from_str(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(targets).with(lines).try_init()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let error = init("info,kube=loud").unwrap_err().to_string();
        assert!(error.contains("info,kube=loud"), "{error}");
    }
}
