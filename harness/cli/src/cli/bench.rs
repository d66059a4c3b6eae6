//! `meshproof bench startup`: `meshproof up` against the plain sequential way, doing the same work in the same run;
//! the others are in files of their own.

mod calm;
mod compare;
mod gateways;
mod isolation;
mod judged;
mod load;
mod routes;
mod traffic;

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use meshproof_lab::cluster::phases::{PhaseRecorder, PhaseTime, median, table};
use meshproof_lab::cluster::{
    Cluster, ClusterError, ClusterSpec, Implementation, ensure_cluster_with, plain, remove_cluster,
};
use meshproof_lab::supply::ImageSource;
use meshproof_model::progress::Progress;

pub use judged::{BenchError, Judged};

/// Arguments of `meshproof bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure
    #[command(subcommand)]
    pub what: Bench,
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// `meshproof up` against the plain sequential way
    Startup(StartupArgs),
    /// Route added to first answer, beside Istio's own gateway
    Routes(routes::RoutesArgs),
    /// What requests cost and how long they take, beside Istio's own gateway
    Traffic(traffic::TrafficArgs),
    /// What one tenant's trouble costs its neighbours, beside Istio's own gateway
    Isolation(isolation::IsolationArgs),
}

/// Arguments of `meshproof bench startup`.
#[derive(Debug, Clone, Args)]
pub struct StartupArgs {
    /// How often to bring up each; the medians are compared
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub runs: u8,
    /// Where images and programs come from
    #[arg(long, value_name = "registry|source|auto", default_value_t)]
    pub image_source: ImageSource,
}

/// Cluster brought up by meshproof.
const OURS: &str = "meshproof-bench";
/// Cluster brought up the plain way.
const PLAIN: &str = "meshproof-bench-plain";

/// One measurement.
struct Measured {
    phases: Vec<PhaseTime>,
    total: Duration,
}

/// Runs `meshproof bench`.
///
/// # Errors
/// Those of bringing up and removing clusters, and of this host.
pub async fn run(args: &BenchArgs, progress: &dyn Progress) -> Result<Judged, BenchError> {
    match &args.what {
        Bench::Routes(args) => routes::run(args, progress).await,
        Bench::Traffic(args) => traffic::run(args, progress).await,
        Bench::Isolation(args) => isolation::run(args, progress).await,
        Bench::Startup(args) => {
            let result = startup(args, progress).await;
            // Whatever happened, nothing stays.
            for name in [OURS, PLAIN] {
                remove_cluster(name, progress).await?;
            }
            Ok(result.map(|()| Judged::Reached)?)
        }
    }
}

async fn startup(args: &StartupArgs, progress: &dyn Progress) -> Result<(), ClusterError> {
    let spec = |name: &str| ClusterSpec {
        name: name.to_owned(),
        image_source: args.image_source,
        ..ClusterSpec::default()
    };
    // Fills the caches and starts the engine, which neither way is charged for; and keeps the engine running.
    meshproof_lab::cluster::prepare(&spec(PLAIN), progress).await?;
    let (mut ours, mut plains) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        remove_cluster(OURS, progress).await?;
        let (measured, cluster) = ours_once(&spec(OURS), progress).await?;
        ours.push(measured);
        // One cluster at a time: idle ones take processor time too.
        remove_cluster(OURS, progress).await?;
        plains.push(plain_once(&spec(PLAIN), &cluster, progress).await?);
        plain::remove(&spec(PLAIN), &cluster).await?;
    }
    print!("{}", report(ours, plains));
    Ok(())
}

async fn ours_once(spec: &ClusterSpec, progress: &dyn Progress) -> Result<(Measured, Cluster), ClusterError> {
    let (recorder, since) = (PhaseRecorder::new(progress), Instant::now());
    let implementation = Implementation::built_in().map_err(Box::new)?;
    let cluster = ensure_cluster_with(spec, &implementation, &[], &recorder).await?;
    Ok((Measured { phases: recorder.phases(), total: since.elapsed() }, cluster))
}

async fn plain_once(
    spec: &ClusterSpec,
    like: &Cluster,
    progress: &dyn Progress,
) -> Result<Measured, ClusterError> {
    let (recorder, since) = (PhaseRecorder::new(progress), Instant::now());
    plain::bring_up(spec, like, &recorder).await?;
    Ok(Measured { phases: recorder.phases(), total: since.elapsed() })
}

/// Both tables, of the runs with the median totals, and the ratio of these.
fn report(ours: Vec<Measured>, plains: Vec<Measured>) -> String {
    let runs = ours.len();
    let middle = |mut all: Vec<Measured>| {
        let total = median(all.iter().map(|measured| measured.total).collect())?;
        let at = all.iter().position(|measured| measured.total == total)?;
        Some(all.swap_remove(at))
    };
    let (Some(ours), Some(plain)) = (middle(ours), middle(plains)) else { return String::new() };
    let mut text = table("meshproof up", &ours.phases, ours.total);
    text += "\n";
    text += &table("plain sequential way", &plain.phases, plain.total);
    if runs > 1 {
        text += &format!("\nof {runs} runs each, those with the median totals\n");
    }
    text += &format!(
        "\nratio {:.2}\n",
        ours.total.as_secs_f64() / plain.total.as_secs_f64().max(f64::MIN_POSITIVE)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(seconds: u64) -> Measured {
        Measured { phases: Vec::new(), total: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_ratio_of_the_medians_has_a_line_of_its_own() {
        let report = report(
            vec![measured(40), measured(29), measured(20)],
            vec![measured(50), measured(10), measured(90)],
        );
        assert!(report.lines().any(|line| line == "ratio 0.58"), "{report}");
        assert!(report.contains("meshproof up") && report.contains("plain sequential way"));
    }
}
