//! One run: a cluster, the scenarios on it, the results.

use std::path::PathBuf;
use std::process;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RunArgs;
use crate::cli::exit;
use crate::cluster::{ClusterError, ExistingSpec, Target, ensure_cluster, existing};
use crate::event::{Event, EventSink, Fanout, Partition, PhaseEvents, Recorder, ScenarioResult, Verdict};
use crate::implementation::Implementation;
use crate::progress::Progress;
use crate::report;
use crate::runner::context::millis;
use crate::runner::live::Live;
use crate::runner::{Runner, verdict};
use crate::scenario::Scenario;
use crate::supply::cache::{Cache, Lock};

/// How a run ended.
pub(super) struct Ended {
    /// Exit code.
    pub(super) code: u8,
    /// Ids of scenarios that are not settled: their objects stay in the cluster, or they were not run.
    pub(super) unsettled: Vec<String>,
}

/// Proves scenarios, and writes what came of it.
pub(super) async fn prove(
    args: &RunArgs,
    implementation: &Arc<Implementation>,
    scenarios: &[Scenario],
    partition: Option<Partition>,
    stop: CancellationToken,
) -> Ended {
    let recorder = Arc::new(Recorder::default());
    let sink: Arc<dyn EventSink> =
        Arc::new(Fanout::new().with(report::terminal(args.verbose)).with(recorder.clone()));
    let begun = Instant::now();
    let name = run_name();
    let results = args.results.join(&name);
    sink.emit(&Event::RunStarted {
        run: name,
        started: jiff::Timestamp::now().to_string(),
        results: results.clone(),
        scenarios: scenarios.iter().map(Scenario::info).collect(),
        partition,
    });
    let mut done = Vec::new();
    let runs = Runs { results: results.clone(), stop };
    let ran = on_cluster(args, implementation, scenarios, &sink, runs, &mut done).await;
    let (verdict, mut code) = match ran {
        Ok(()) => {
            let wanted = scenarios.len() * args.repeat as usize;
            let incomplete = if done.len() == wanted { Verdict::Proved } else { Verdict::Error };
            let verdict = verdict::of_run(&done).max(incomplete);
            (verdict, verdict::exit_code(verdict))
        }
        Err(code) => (Verdict::Error, code),
    };
    sink.emit(&Event::RunFinished { verdict, exit_code: code, total_ms: millis(begun.elapsed()) });
    if let Err(error) = report::write_all(&results, &recorder.events()) {
        eprintln!("writing the results below {}: {error}", results.display());
        code = code.max(exit::SETUP);
    }
    let settled = |id: &str| done.iter().any(|result| result.id == id && result.kept.is_empty());
    let unsettled = scenarios.iter().map(|scenario| scenario.id.clone()).filter(|id| !settled(id)).collect();
    Ended { code, unsettled }
}

/// Has the cluster, and runs the scenarios on it; those that ended are in `done`. The exit code if it does not come so far.
async fn on_cluster(
    args: &RunArgs,
    implementation: &Arc<Implementation>,
    scenarios: &[Scenario],
    sink: &Arc<dyn EventSink>,
    runs: Runs,
    done: &mut Vec<ScenarioResult>,
) -> Result<(), u8> {
    let progress = PhaseEvents(sink.as_ref());
    let ready = ready(args, implementation, scenarios, &progress);
    let (target, _lock) = tokio::select! {
        biased;
        () = runs.stop.cancelled() => {
            eprintln!("interrupted while the cluster was being made ready; `meshproof down` removes one that is its own");
            return Err(exit::SETUP);
        }
        ready = ready => ready.map_err(|error| {
            eprintln!("the cluster is not there: {error}");
            exit::of(&error)
        })?,
    };
    let live = attach(&target, implementation, sink).await?;
    let unfit: Vec<_> = scenarios.iter().filter_map(|scenario| live.unfit_for(scenario)).collect();
    let fit = if unfit.is_empty() {
        run_all(args, &live, scenarios, sink, runs, done).await;
        Ok(())
    } else {
        eprintln!("the cluster {} or the implementation is not fit: {}", target.name, unfit.join("; "));
        Err(exit::UNFIT)
    };
    // What was kept on purpose goes on needing what it stands on.
    if done.iter().any(|result| !result.kept.is_empty()) {
        return fit;
    }
    let left = live.leave().await.map_err(|error| {
        eprintln!("{error}");
        exit::SETUP
    });
    fit.and(left)
}

/// Makes the cluster ready, and keeps other runs from it: scenarios install and remove the one implementation.
async fn ready(
    args: &RunArgs,
    implementation: &Implementation,
    scenarios: &[Scenario],
    progress: &dyn Progress,
) -> Result<(Target, Lock), ClusterError> {
    let cache = Cache::open_default()?;
    let waiting = |name: &str| eprintln!("waiting for another run on cluster {name}");
    let Some(context) = &args.context else {
        let target = ensure_cluster(&args.spec.spec(), progress).await?.target();
        let lock = cache.lock(&format!("scenarios-{}", target.name), || waiting(&target.name)).await?;
        return Ok((target, lock));
    };
    let spec = ExistingSpec {
        context: context.clone(),
        images_from: args.images_from.clone(),
        image_source: args.spec.image_source,
    };
    // Before it is looked at: what another run has there would speak against it.
    let name = existing::folder_name(context);
    let lock = cache.lock(&format!("scenarios-{name}"), || waiting(context)).await?;
    let target = existing::attach(&spec, implementation, scenarios, progress).await?;
    Ok((target, lock))
}

/// Where results go, and what ends a run early.
struct Runs {
    results: PathBuf,
    stop: CancellationToken,
}

/// Runs the scenarios, one after the other, as often as is asked for.
async fn run_all(
    args: &RunArgs,
    live: &Live,
    scenarios: &[Scenario],
    sink: &Arc<dyn EventSink>,
    Runs { results, stop }: Runs,
    done: &mut Vec<ScenarioResult>,
) {
    let (outside, sink, keep) = (live.outside.clone(), sink.clone(), args.keep);
    let runner = Runner { outside, sink, results, keep, stop: stop.clone() };
    for round in 1..=args.repeat {
        let round = (args.repeat > 1).then_some(round);
        for scenario in scenarios {
            // What an earlier one left would be in the way of the next.
            let blocked = done.last().is_some_and(|last| !last.kept.is_empty());
            if stop.is_cancelled() || blocked {
                let round = round.map(|round| format!(" (round {round})")).unwrap_or_default();
                eprintln!("not run: {}{round}", scenario.id);
                continue;
            }
            done.push(runner.run_round(scenario, round).await);
        }
    }
}

async fn attach(
    target: &Target,
    implementation: &Arc<Implementation>,
    sink: &Arc<dyn EventSink>,
) -> Result<Live, u8> {
    let live = Live::attach(target, implementation.clone(), sink.clone()).await.map_err(|error| {
        eprintln!("{error}");
        exit::SETUP
    })?;
    let (info, implementation) = (live.cluster.clone(), live.implementation.clone());
    sink.emit(&Event::ClusterReady { cluster: info, implementation });
    Ok(live)
}

/// Name of a run: sorts by time, and two that start together differ.
fn run_name() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("{now}-{}", process::id())
}
