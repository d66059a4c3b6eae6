//! One run: clusters, the scenarios on them, the results.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::again::{self, Parent};
use super::kinds::{self, Asked};
use super::opening::Opening;
use super::{RunArgs, basis};
use crate::cli::up::not_enforced;
use crate::cli::{exit, tell};
use meshproof_cluster::existing::refusal::Plan;
use meshproof_cluster::existing::{self, ExistingSpec};
use meshproof_cluster::live::Live;
use meshproof_lab::cache::{Cache, Lock};
use meshproof_lab::cluster::lease::{self, Held};
use meshproof_lab::cluster::{
    Cluster, ClusterError, Keeping, Target, ensure_cluster, remove_cluster, run_lock,
};
use meshproof_lab::groups::{Group, groups};
use meshproof_lab::supply::LoadImage;
use meshproof_lab::supply::Wanted;
use meshproof_lab::supply::peers::{self, Provided};
use meshproof_model::event::{
    Attempt, Event, EventSink, Partition, PhaseEvents, Recorder, ScenarioResult, Verdict,
};
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::verdict;
use meshproof_report as report;
use meshproof_run::runner::Runner;
use meshproof_run::scenario::Scenario;

/// What a run is one of, or follows.
pub(super) struct About<'a> {
    /// What is to be proved.
    pub(super) pack: &'a Pack,
    /// The run it follows.
    pub(super) parent: Option<&'a Parent>,
    /// Which share of a selection it has.
    pub(super) partition: Option<Partition>,
}

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
    about: About<'_>,
    stop: CancellationToken,
) -> Ended {
    let infos = scenarios.iter().map(Scenario::info).collect();
    let opening = Opening::new(&args.results, args.verbose, infos, about.partition);
    let sink = &opening.sink;
    let rerun_of = about.parent.map(|parent| parent.run().to_owned());
    sink.emit(&Event::Proves { pack: Box::new(about.pack.info(implementation.edition.as_deref())) });
    sink.emit(&Event::Asked { arguments: Box::new(again::arguments(args, &about.pack.scenarios)), rerun_of });
    let ids = scenarios.iter().map(|scenario| scenario.id.clone()).collect();
    let again = about.parent.map(|parent| Again { parent, ids, told: AtomicBool::new(false) });
    // Gateways that nobody here wrote are built first: a chart of theirs is part of what is judged.
    let provided = match provide(implementation, &PhaseEvents(sink.as_ref())).await {
        Ok(provided) => provided,
        Err(error) => {
            let code = failed(&error, sink);
            return end(&opening, (Verdict::Error, code), scenarios, &[]);
        }
    };
    let implementation = &Arc::new(provided.implementation);
    match basis::of_files(&args.implementation, implementation, scenarios) {
        Ok(basis) => sink.emit(&Event::RestsOn { basis: Box::new(basis) }),
        Err(error) => {
            let error = Some(error.to_string());
            sink.emit(&Event::PhaseFinished { phase: "digests of files".to_owned(), elapsed_ms: 0, error });
        }
    }
    let mut done = Vec::new();
    let runs = Runs {
        run: opening.name.clone(),
        results: opening.results.clone(),
        stop,
        again,
        recorder: opening.recorder.clone(),
        images: provided.images,
        pack: about.pack,
    };
    let ran = on_clusters(args, implementation, scenarios, sink, &runs, &mut done).await;
    let (verdict, code) = match ran {
        Ok(()) => {
            let wanted = scenarios.len() * args.repeat as usize;
            let incomplete = if done.len() == wanted { Verdict::Proved } else { Verdict::Error };
            // Good as they may be: those that did not run are not.
            let verdict = verdict::of_run(&done).max(incomplete);
            (verdict, verdict::exit_code(verdict))
        }
        Err(code) => (Verdict::Error, code),
    };
    end(&opening, (verdict, code), scenarios, &done)
}

/// What an implementation needs of gateways that are built here only when they are asked for.
async fn provide(implementation: &Implementation, progress: &dyn Progress) -> Result<Provided, ClusterError> {
    Ok(peers::provide(&Cache::open_default()?, implementation, progress).await?)
}

/// Tells how a run ended, and writes what came of it.
fn end(
    opening: &Opening,
    (verdict, code): (Verdict, u8),
    scenarios: &[Scenario],
    done: &[ScenarioResult],
) -> Ended {
    let code = opening.end(verdict, code);
    let settled = |id: &str| done.iter().any(|result| result.id == id && result.kept.is_empty());
    let unsettled = scenarios.iter().map(|scenario| scenario.id.clone()).filter(|id| !settled(id)).collect();
    Ended { code, unsettled }
}

/// Runs the scenarios, on as few clusters as their needs allow; those that ended are in `done`. The exit code if it does not
/// come so far.
async fn on_clusters(
    args: &RunArgs,
    implementation: &Arc<Implementation>,
    scenarios: &[Scenario],
    sink: &Arc<dyn EventSink>,
    runs: &Runs<'_>,
    done: &mut Vec<ScenarioResult>,
) -> Result<(), u8> {
    if let Some(context) = &args.context {
        let all: Vec<_> = scenarios.iter().collect();
        let ready = existing(args, context, implementation, scenarios, sink, runs);
        let (target, held, _lock) = in_time(ready, sink, runs).await?;
        let ran = on_cluster(args, implementation, &target, &all, sink, runs, done).await;
        let given = give_back(held).await;
        // Credentials are in what was written about it; what is kept in the cluster needs none of it.
        let forgotten = existing::forget(context).map_err(|error| failed(&error, sink));
        return ran.and(given).and(forgotten);
    }
    let needs: Vec<_> = scenarios.iter().map(|scenario| &scenario.needs).collect();
    let mut asked = args.spec.asked();
    asked.spec.images = Wanted::on_ours(implementation);
    let groups = groups(&asked, &needs);
    let mut made = false;
    for (at, group) in groups.iter().enumerate() {
        let chosen: Vec<_> = group.scenarios.iter().filter_map(|at| scenarios.get(*at)).collect();
        let ids: Vec<_> = chosen.iter().map(|scenario| scenario.id.as_str()).collect();
        if runs.stop.is_cancelled() || is_kept(done) {
            eprintln!("not run: {}", ids.join(", "));
            continue;
        }
        if groups.len() > 1 || group.extra {
            eprintln!("{}", group.headline(&ids));
        }
        let (target, held, _lock) = in_time(own(group, sink, runs), sink, runs).await?;
        let cluster = target.own().map_err(|error| failed(&error, sink))?;
        made |= cluster.made.is_some();
        if let Some(why) = &cluster.open {
            eprint!("{}", not_enforced(why));
        }
        let ran = on_cluster(args, implementation, &target, &chosen, sink, runs, done).await;
        let ran = ran.and(give_back(held).await);
        let last = groups.get(at + 1).is_none_or(|next| next.spec.name != group.spec.name);
        let tidied = match is_kept(done) {
            false if last => tidy(cluster, group, made, &PhaseEvents(sink.as_ref())).await,
            _ => Ok(()),
        };
        made &= !last;
        ran.and(tidied.map_err(|error| failed(&error, sink)))?;
    }
    Ok(())
}

/// Whether something of the last scenario is still there: it would be in the way of the next.
fn is_kept(done: &[ScenarioResult]) -> bool {
    done.last().is_some_and(|last| !last.kept.is_empty())
}

/// Leaves a cluster as it was found: one that was made only for these scenarios goes, Istio comes back into one that
/// somebody asked for.
async fn tidy(
    cluster: &Cluster,
    group: &Group,
    made: bool,
    progress: &dyn Progress,
) -> Result<(), ClusterError> {
    if group.extra && made {
        let phase = Phase::start(progress, format!("remove cluster {}", cluster.name), None);
        remove_cluster(&cluster.name, progress).await?;
        phase.done();
        return Ok(());
    }
    cluster.clone().have_istio(true, progress).await
}

/// Runs scenarios on a cluster that is there.
async fn on_cluster(
    args: &RunArgs,
    implementation: &Arc<Implementation>,
    target: &Target,
    scenarios: &[&Scenario],
    sink: &Arc<dyn EventSink>,
    runs: &Runs<'_>,
    done: &mut Vec<ScenarioResult>,
) -> Result<(), u8> {
    let asked = kinds::ask(target, runs.pack, implementation, scenarios).await;
    let anew = match asked.map_err(|error| failed(&error, sink))? {
        Asked::Nothing => Vec::new(),
        Asked::Anew(anew) => anew,
        Asked::Unknown(problems) => {
            tell(&problems);
            let problems: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
            return Err(not_set_up(&problems.join("; "), exit::USAGE, sink));
        }
    };
    let read: Vec<&Scenario> = anew.iter().collect();
    let scenarios = if read.is_empty() { scenarios } else { read.as_slice() };
    let plan = Plan::new(scenarios.iter().copied(), implementation);
    target.lacks(implementation).await.map_err(|error| failed(&error, sink))?;
    target.will_make(plan.namespaces).map_err(|error| failed(&error, sink))?;
    let mut target = target.clone();
    if !args.evidence_of.is_empty() {
        target.keeping = Keeping::Only(args.evidence_of.clone());
    }
    let target = &target;
    let live = attach(target, implementation, sink).await?;
    basis::tell(target, sink.as_ref()).await;
    runs.carry_over(sink.as_ref());
    let unfit: Vec<_> = scenarios.iter().filter_map(|scenario| live.unfit_for(scenario)).collect();
    let fit = if unfit.is_empty() {
        run_all(args, &live, scenarios, sink, runs, done).await;
        Ok(())
    } else {
        let unfit =
            format!("the cluster {} or the implementation is not fit: {}", target.name, unfit.join("; "));
        Err(not_set_up(&unfit, exit::UNFIT, sink))
    };
    // What was kept on purpose goes on needing what it stands on.
    if done.iter().any(|result| !result.kept.is_empty()) {
        return fit;
    }
    let left = live.leave().await.map_err(|error| not_set_up(&error.to_string(), exit::SETUP, sink));
    fit.and(left)
}

/// What comes of making a cluster ready, unless the run is interrupted before. The exit code otherwise.
async fn in_time<T>(
    ready: impl Future<Output = Result<T, ClusterError>>,
    sink: &Arc<dyn EventSink>,
    runs: &Runs<'_>,
) -> Result<T, u8> {
    tokio::select! {
        biased;
        () = runs.stop.cancelled() => {
            let interrupted = "interrupted while the cluster was being made ready; `meshproof down` removes one that is its own";
            Err(not_set_up(interrupted, exit::SETUP, sink))
        }
        ready = ready => ready.map_err(|error| failed(&error, sink)),
    }
}

fn failed(error: &ClusterError, sink: &Arc<dyn EventSink>) -> u8 {
    not_set_up(&error.to_string(), exit::of(error), sink)
}

/// Tells on the terminal and in all reports why the run did not come to its scenarios.
fn not_set_up(reason: &str, code: u8, sink: &Arc<dyn EventSink>) -> u8 {
    let phase = "set-up".to_owned();
    sink.emit(&Event::PhaseFinished { phase, elapsed_ms: 0, error: Some(reason.to_owned()) });
    code
}

/// Makes a cluster of ours ready, and keeps other runs from it: scenarios install and remove the one implementation, and
/// Istio may be out of it.
async fn own(
    group: &Group,
    sink: &Arc<dyn EventSink>,
    runs: &Runs<'_>,
) -> Result<(Target, Held, Lock), ClusterError> {
    let name = &group.spec.name;
    let lock = lock(name, name).await?;
    let progress = PhaseEvents(sink.as_ref());
    let cluster = ensure_cluster(&group.spec, &progress).await?;
    cluster.load_missing(&runs.images, &progress).await?;
    let mut target = cluster.target();
    target.images.extend(runs.images.iter().cloned());
    let held = lease::hold(&target.client().await?, &runs.run, runs.stop.clone()).await?;
    Ok((Target { run: runs.run.clone(), ..target }, held, lock))
}

/// Makes an existing cluster ready, and keeps other runs from it.
async fn existing(
    args: &RunArgs,
    context: &str,
    implementation: &Implementation,
    scenarios: &[Scenario],
    sink: &Arc<dyn EventSink>,
    runs: &Runs<'_>,
) -> Result<(Target, Held, Lock), ClusterError> {
    let spec = ExistingSpec {
        context: context.to_owned(),
        images_from: args.images_from.clone(),
        run: runs.run.clone(),
        image_source: args.spec.image_source,
        images: runs.images.clone(),
    };
    // Before it is looked at: what another run has there would speak against it.
    let lock = lock(&existing::folder_name(context), context).await?;
    let progress = PhaseEvents(sink.as_ref());
    let plan = Plan::new(scenarios, implementation);
    let attached = existing::attach(&spec, implementation, &plan, runs.stop.clone(), &progress).await?;
    Ok((attached.0, attached.1, lock))
}

/// Says in the cluster that nobody works with it any more.
async fn give_back(held: Held) -> Result<(), u8> {
    held.release().await.map_err(|error| {
        eprintln!("{error}; it runs out by itself");
        exit::SETUP
    })
}

pub(in crate::cli) async fn lock(name: &str, shown: &str) -> Result<Lock, ClusterError> {
    let waiting = || eprintln!("waiting for another run on cluster {shown}");
    Ok(Cache::open_default()?.lock(&run_lock(name), waiting).await?)
}

/// Where results go, what ends a run early, and what it follows.
struct Runs<'a> {
    /// Id of the run: label of everything it makes.
    run: String,
    results: PathBuf,
    stop: CancellationToken,
    again: Option<Again<'a>>,
    recorder: Arc<Recorder>,
    /// Images of gateways that were built because they were asked for.
    images: Vec<LoadImage>,
    /// What is proved.
    pack: &'a Pack,
}

/// The run that is followed, what of it runs again, and whether what it proved was told already.
struct Again<'a> {
    parent: &'a Parent,
    ids: Vec<String>,
    told: AtomicBool,
}

impl Runs<'_> {
    /// Tells, once, what was proved before, as soon as it is known what this run rests on.
    fn carry_over(&self, sink: &dyn EventSink) {
        let Some(Again { parent, ids, told }) = &self.again else { return };
        if !told.swap(true, Ordering::Relaxed) {
            parent.tell(&report::Report::from_events(&self.recorder.events()).basis, ids, sink);
        }
    }
}

/// Runs the scenarios, one after the other, as often as is asked for.
async fn run_all(
    args: &RunArgs,
    live: &Live,
    scenarios: &[&Scenario],
    sink: &Arc<dyn EventSink>,
    Runs { run, results, stop, .. }: &Runs<'_>,
    done: &mut Vec<ScenarioResult>,
) {
    let (outside, keep) = (live.outside.clone(), args.keep);
    let runner = Runner { outside, sink: sink.clone(), results: results.clone(), keep, stop: stop.clone() };
    for round in 1..=args.repeat {
        let round = (args.repeat > 1).then_some(round);
        for scenario in scenarios {
            if stop.is_cancelled() || is_kept(done) {
                let round = round.map(|round| format!(" (round {round})")).unwrap_or_default();
                eprintln!("not run: {}{round}", scenario.id);
                continue;
            }
            let mut result = runner.run_round(scenario, round).await;
            for attempt in 1..=args.retries {
                // What was kept on purpose, or somebody wants to end, is not tried again.
                if result.verdict.is_good() || stop.is_cancelled() || !result.kept.is_empty() {
                    break;
                }
                let event =
                    Event::Attempted { scenario: scenario.id.clone(), attempt: Attempt::of(run, &result) };
                sink.emit(&event);
                // Its evidence stays, under a name of its own.
                let evidence = results.join("evidence").join(&scenario.id);
                let mut kept = evidence.clone().into_os_string();
                kept.push(format!(".attempt-{attempt}"));
                let _ = std::fs::rename(&evidence, kept);
                result = runner.run_round(scenario, round).await;
            }
            done.push(result);
        }
    }
}

async fn attach(
    target: &Target,
    implementation: &Arc<Implementation>,
    sink: &Arc<dyn EventSink>,
) -> Result<Live, u8> {
    let live = Live::attach(target, implementation.clone(), sink.clone()).await;
    let live = live.map_err(|error| not_set_up(&error.to_string(), exit::SETUP, sink))?;
    let (info, implementation) = (live.cluster.clone(), live.implementation.clone());
    sink.emit(&Event::ClusterReady { cluster: info, implementation });
    Ok(live)
}
