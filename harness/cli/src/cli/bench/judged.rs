//! How a benchmark ends.

use std::path::PathBuf;

use clap::Args;

use meshproof_lab::cluster::{ApiError, ClusterError, default_name};

use super::compare::{Line, table};
use super::gateways::CLASSES;

/// Where two gateways are measured, and what becomes of the figures.
#[derive(Debug, Clone, Args)]
pub struct FiguresArgs {
    /// Also write the figures there, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// End with 1 when a goal is missed
    #[arg(long)]
    pub check: bool,
    /// Name of the cluster; it is made if it is not there, and kept
    #[arg(long, value_name = "NAME", default_value_t = default_name())]
    pub cluster: String,
}

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
    /// The command named something that there is not; it was told.
    NotUnderstood,
}

/// Tells the figures, writes them where they are wanted, and says whether the goals are reached as far as that is asked.
pub(super) fn finish(lines: &[Line], args: &FiguresArgs) -> Result<Judged, BenchError> {
    let [ours, theirs] = CLASSES;
    print!("{}", table(ours, theirs, lines));
    if let Some(file) = &args.json {
        let doing = format!("writing the figures to {}", file.display());
        let text = serde_json::to_vec_pretty(lines).map_err(std::io::Error::from);
        text.and_then(|text| std::fs::write(file, text)).map_err(host(doing))?;
    }
    let missed = lines.iter().any(|line| line.reached == Some(false));
    Ok(if args.check && missed { Judged::Missed } else { Judged::Reached })
}
