//! `meshproof run`: proves scenarios and says what came of it.

use std::path::PathBuf;
use std::process;
use std::sync::Arc;

use clap::Args;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::up::ClusterSpecArgs;
use super::{catalogue, exit};
use crate::cluster::{Cluster, ClusterError, ensure_cluster};
use crate::event::{Event, EventSink, Fanout, PhaseEvents, Recorder, ScenarioResult, Verdict};
use crate::report;
use crate::requirement::Catalogue;
use crate::runner::context::millis;
use crate::runner::live::Live;
use crate::runner::{Keep, Runner, verdict};
use crate::scenario::{Problems, Scenario, discover};
use crate::supply::cache::Cache;

/// Arguments of `meshproof run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Scenarios or folders of them; without any, all that are not broken on purpose
    pub names: Vec<String>,
    /// Where scenarios are
    #[command(flatten)]
    pub root: super::RootArgs,
    /// The cluster to run on; made if it is not there
    #[command(flatten)]
    pub spec: ClusterSpecArgs,
    /// Which scenarios to leave in the cluster
    #[arg(long, value_enum, default_value_t = Keep::Never)]
    pub keep: Keep,
    /// Where to write results: one folder for each run, `latest` for the newest
    #[arg(long, value_name = "FOLDER", default_value = "target/meshproof")]
    pub results: PathBuf,
    /// Tell every observation
    #[arg(long, short)]
    pub verbose: bool,
}

/// Runs `meshproof run`; the exit code.
pub async fn run(args: &RunArgs) -> u8 {
    let Some(root) = args.root.find() else { return exit::USAGE };
    let Some(catalogue) = catalogue() else { return exit::SETUP };
    let scenarios = match load(&root, &args.names, &catalogue) {
        Ok(scenarios) => scenarios,
        Err(code) => return code,
    };
    if scenarios.is_empty() {
        eprintln!("nothing selected: there is no scenario below {}", root.display());
        return exit::NOTHING;
    }
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
        partition: None,
    });
    let stop = stop_on_signal();
    let (verdict, code) = on_cluster(args, &scenarios, &sink, results.clone(), stop).await;
    sink.emit(&Event::RunFinished { verdict, exit_code: code, total_ms: millis(begun.elapsed()) });
    if let Err(error) = report::write_all(&results, &recorder.events()) {
        eprintln!("writing the results below {}: {error}", results.display());
        return code.max(exit::SETUP);
    }
    code
}

/// Loads the scenarios that are meant.
fn load(root: &std::path::Path, names: &[String], catalogue: &Catalogue) -> Result<Vec<Scenario>, u8> {
    let ids = discover::all(root).map_err(|error| {
        eprintln!("looking for scenarios below {}: {error}", root.display());
        exit::USAGE
    })?;
    let selected = discover::select(&ids, names).map_err(|name| {
        eprintln!(
            "nothing selected: there is no scenario `{name}` below {}; `meshproof list` lists them",
            root.display()
        );
        exit::NOTHING
    })?;
    let mut scenarios = Vec::new();
    let mut problems = Vec::new();
    for id in &selected {
        match Scenario::load(root, id, catalogue) {
            Ok(scenario) => scenarios.push(scenario),
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() {
        return Ok(scenarios);
    }
    super::tell(&Problems(problems));
    Err(exit::USAGE)
}

/// Has the cluster, and runs the scenarios on it.
async fn on_cluster(
    args: &RunArgs,
    scenarios: &[Scenario],
    sink: &Arc<dyn EventSink>,
    results: PathBuf,
    stop: CancellationToken,
) -> (Verdict, u8) {
    let spec = args.spec.spec();
    let progress = PhaseEvents(sink.as_ref());
    let ready = async {
        let cluster = ensure_cluster(&spec, &progress).await?;
        // Scenarios install and remove the one implementation: a second run waits for the first.
        let lock = Cache::open_default()?;
        let waiting = || eprintln!("waiting for another run on cluster {}", cluster.name);
        let lock = lock.lock(&format!("scenarios-{}", cluster.name), waiting).await?;
        Ok::<_, ClusterError>((cluster, lock))
    };
    let (cluster, _lock) = tokio::select! {
        biased;
        () = stop.cancelled() => {
            eprintln!("interrupted while the cluster was being made ready; `meshproof down` removes it");
            return (Verdict::Error, exit::SETUP);
        }
        ready = ready => match ready {
            Ok(ready) => ready,
            Err(error) => {
                eprintln!("the cluster is not there: {error}");
                return (Verdict::Error, exit::of(&error));
            }
        },
    };
    let live = match attach(&cluster, sink).await {
        Ok(live) => live,
        Err(code) => return (Verdict::Error, code),
    };
    let unfit: Vec<_> = scenarios.iter().filter_map(|scenario| live.unfit_for(scenario)).collect();
    if !unfit.is_empty() {
        eprintln!("the cluster {} is not fit: {}", cluster.name, unfit.join("; "));
        return (Verdict::Error, exit::UNFIT);
    }
    let runner = Runner {
        outside: live.outside.clone(),
        sink: sink.clone(),
        results,
        keep: args.keep,
        stop: stop.clone(),
    };
    let mut done: Vec<ScenarioResult> = Vec::new();
    for scenario in scenarios {
        // What an earlier one left would be in the way of the next.
        let blocked = done.last().is_some_and(|last| !last.kept.is_empty());
        if stop.is_cancelled() || blocked {
            eprintln!("not run: {}", scenario.id);
            continue;
        }
        done.push(runner.run(scenario).await);
    }
    let complete = done.len() == scenarios.len();
    let verdict = if complete { verdict::of_run(&done) } else { verdict::of_run(&done).max(Verdict::Error) };
    (verdict, verdict::exit_code(verdict))
}

async fn attach(cluster: &Cluster, sink: &Arc<dyn EventSink>) -> Result<Live, u8> {
    let live = Live::attach(cluster, sink.clone()).await.map_err(|error| {
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

/// The first Ctrl-C (or SIGTERM) ends the step under way and cleans up; the second ends the program.
fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signal().await;
        eprintln!("interrupted: cleaning up; once more to leave everything as it is");
        token.cancel();
        signal().await;
        process::exit(130);
    });
    stop
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
