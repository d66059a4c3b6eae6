//! `meshproof bench traffic`: what requests cost and how long they take, beside Istio's own gateway (Envoy).
//!
//! Both forward to the same backend over mutual TLS, one after the other, again and again, so that whatever else the machine does
//! meets both alike. The medians of all rounds are compared.

use std::time::Duration;

use clap::Args;
use kube::Client;

use meshproof_lab::cluster::Cluster;
use meshproof_model::progress::{Phase, Progress};

use super::calm;
use super::compare::{Goal, Line, percentile};
use super::gateways::{self, Side};
use super::judged::{BenchError, FiguresArgs, Judged, finish, host};
use super::load::{Load, Outcome, ask};

/// Bytes of every answer's body.
const ANSWER: usize = 1024;
/// Connections are opened, and what is made at first use is made, before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// At rates at which nobody is busy, and as much as there is to get.
const LOADS: [Load; 5] = [
    Load { connections: 16, rate: Some(500) },
    Load { connections: 16, rate: Some(1000) },
    Load { connections: 1, rate: None },
    Load { connections: 16, rate: None },
    Load { connections: 64, rate: None },
];

/// Arguments of `meshproof bench traffic`.
#[derive(Debug, Clone, Args)]
pub struct TrafficArgs {
    /// How often each gateway is put to each load; the medians are compared
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub rounds: u8,
    /// Seconds of each load
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=60))]
    pub seconds: u8,
    /// Where, and what becomes of the figures
    #[command(flatten)]
    pub figures: FiguresArgs,
}

/// One gateway under one load, once.
#[derive(Debug, Clone, Copy)]
struct Measured {
    rps: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    /// Microseconds of processor time for each request.
    cpu: f64,
    /// MiB of its largest pod.
    memory: f64,
    failed: f64,
}

/// All rounds of one gateway: by load, then by round.
type Rounds = [Vec<Measured>; LOADS.len()];

pub(super) async fn run(args: &TrafficArgs, progress: &dyn Progress) -> Result<Judged, BenchError> {
    let (cluster, client) = gateways::of_this_workspace(&args.figures.cluster, progress).await?;
    let result = measure_all(&cluster, &client, args, progress).await;
    gateways::remove(&client).await?;
    finish(&result?, &args.figures)
}

async fn measure_all(
    cluster: &Cluster,
    client: &Client,
    args: &TrafficArgs,
    progress: &dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let phase = Phase::start(progress, "two gateways and their backend", None);
    let sides = gateways::make(cluster, client).await?;
    calm::wait(client).await?;
    phase.done();
    let mut idle = Vec::new();
    for side in &sides {
        idle.push(mebibytes(side.taken(cluster).await?.memory));
    }
    let mut rounds: [Rounds; 2] = Default::default();
    let during = Duration::from_secs(args.seconds.into());
    for round in 1..=args.rounds {
        let phase = Phase::start(progress, format!("round {round} of {}", args.rounds), None);
        for (index, load) in LOADS.into_iter().enumerate() {
            for (side, rounds) in sides.iter().zip(&mut rounds) {
                let measured = measure(cluster, side, load, during).await?;
                tracing::debug!(class = side.class, %load, ?measured);
                if let Some(of_load) = rounds.get_mut(index) {
                    of_load.push(measured);
                }
            }
        }
        phase.done();
    }
    let [ours, theirs] = rounds;
    Ok(compare(&idle, &ours, &theirs))
}

async fn measure(
    cluster: &Cluster,
    side: &Side,
    load: Load,
    during: Duration,
) -> Result<Measured, BenchError> {
    let ask =
        |during| async move { ask(side.bytes(ANSWER), load, during).await.map_err(host("sending requests")) };
    ask(WARM_UP).await?;
    let before = side.taken(cluster).await?;
    let outcome = ask(during).await?;
    let after = side.taken(cluster).await?;
    Ok(figures(&outcome, during, after.cpu.saturating_sub(before.cpu), after.memory))
}

fn figures(outcome: &Outcome, during: Duration, cpu: Duration, memory: u64) -> Measured {
    let mut times: Vec<f64> = outcome.times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    Measured {
        rps: times.len() as f64 / during.as_secs_f64(),
        p50: percentile(&times, 0.5),
        p99: percentile(&times, 0.99),
        cpu: cpu.as_secs_f64() * 1e6 / outcome.asked().max(1) as f64,
        memory: mebibytes(memory),
        failed: outcome.failed.values().sum::<usize>() as f64,
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Every figure of every load, with its goal.
fn compare(idle: &[f64], ours: &Rounds, theirs: &Rounds) -> Vec<Line> {
    let of = |index: usize| idle.get(index).copied().into_iter().collect::<Vec<_>>();
    let mut lines = vec![Line::new("idle", "memory, MiB", of(0), of(1), Some(Goal::AtMost(12.0)))];
    for ((load, ours), theirs) in LOADS.iter().zip(ours).zip(theirs) {
        let mut line = |figure, of: fn(&Measured) -> f64, goal| {
            let [ours, theirs] = [ours, theirs].map(|rounds| rounds.iter().map(of).collect());
            lines.push(Line::new(load, figure, ours, theirs, goal));
        };
        let is_closed = load.rate.is_none();
        line("requests a second", |m| m.rps, is_closed.then_some(Goal::RatioAtLeast(1.2)));
        line("p50, ms", |m| m.p50, None);
        line("p99, ms", |m| m.p99, Some(Goal::RatioAtMost(1.0)));
        line("CPU a request, µs", |m| m.cpu, (!is_closed).then_some(Goal::RatioAtMost(0.75)));
        line("memory, MiB", |m| m.memory, Some(Goal::AtMost(25.0)));
        line("failed requests", |m| m.failed, Some(Goal::AtMost(0.0)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_all_requests_and_failed_ones_are_no_throughput() {
        let times = (1..=100).map(Duration::from_millis).collect();
        let outcome = Outcome { times, failed: [("status 503".to_owned(), 100)].into() };
        let measured = figures(&outcome, Duration::from_secs(2), Duration::from_millis(20), 3 << 20);
        let figures =
            [measured.rps, measured.p50, measured.p99, measured.cpu, measured.memory, measured.failed];
        assert_eq!(figures, [50.0, 50.0, 99.0, 100.0, 3.0, 100.0]);
    }

    #[test]
    fn every_load_has_its_figures_and_goals() {
        let measured = |rps| Measured { rps, p50: 1.0, p99: 2.0, cpu: 100.0, memory: 20.0, failed: 0.0 };
        let rounds = |rps| LOADS.map(|_| vec![measured(rps)]);
        let lines = compare(&[10.0, 50.0], &rounds(120.0), &rounds(100.0));
        assert_eq!(lines.len(), 1 + 6 * LOADS.len());
        let missed: Vec<_> = lines.iter().filter(|line| line.reached == Some(false)).collect();
        assert!(missed.iter().all(|line| line.figure.starts_with("CPU")), "{missed:?}");
        assert_eq!(missed.len(), 2, "of both rates, as both gateways take the same");
    }
}
