//! How a benchmark ends.

use std::path::Path;

use meshproof_lab::cluster::{ApiError, ClusterError};

use super::compare::Line;

/// A benchmark could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Its cluster, or something in it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// This host.
    #[error("{doing}: {source}")]
    Host {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<ApiError> for BenchError {
    fn from(error: ApiError) -> Self {
        Self::Cluster(error.into())
    }
}

/// Says what was being done when the host failed.
pub(super) fn host(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> BenchError {
    let doing = doing.into();
    move |source| BenchError::Host { doing, source }
}

/// Whether a benchmark has reached its goals; one that is not asked to reach any always has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It has.
    Reached,
    /// At least one was missed, and `--check` asks for all.
    Missed,
}

/// Writes the figures where they are wanted, and says whether the goals are reached as far as that is asked.
pub(super) fn finish(lines: &[Line], json: Option<&Path>, check: bool) -> Result<Judged, BenchError> {
    if let Some(file) = json {
        let doing = format!("writing the figures to {}", file.display());
        let text = serde_json::to_vec_pretty(lines).map_err(std::io::Error::from);
        text.and_then(|text| std::fs::write(file, text)).map_err(host(doing))?;
    }
    let missed = lines.iter().any(|line| line.reached == Some(false));
    Ok(if check && missed { Judged::Missed } else { Judged::Reached })
}
