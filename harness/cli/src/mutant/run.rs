//! Puts mutants to the test on clusters: each scenario with the mutated gateway, chart, mesh or sample, then the controls,
//! then the judgement. Those that need the same gateway follow each other, so that it is installed once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Mutant, control, judge};
use meshproof_cluster::live::Live;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::{Cluster, ClusterError, InstallOptions, ensure_cluster, lease, run_lock};
use meshproof_lab::groups::{Asked, groups};
use meshproof_lab::supply::{SupplyError, workspace};
use meshproof_model::event::{Event, EventSink, PhaseEvents};
use meshproof_model::implementation::Implementation;
use meshproof_model::progress::Progress;
use meshproof_model::requirement::Catalogue;
use meshproof_report::mutants::{Outcome, SCHEMA, Table, Trial};
use meshproof_run::context::millis;
use meshproof_run::runner::{Keep, Runner};
use meshproof_run::scenario::Scenario;

/// What is to be put to the test, and how.
pub struct Plan<'a> {
    /// The mutants.
    pub mutants: &'a [Mutant],
    /// Folder of the scenarios.
    pub root: &'a Path,
    /// The requirements.
    pub catalogue: &'a Catalogue,
    /// The gateway that is made wrong.
    pub implementation: &'a Implementation,
    /// The cluster asked for.
    pub asked: Asked,
    /// Folder of the results.
    pub results: PathBuf,
    /// Who listens.
    pub sink: Arc<dyn EventSink>,
    /// Is told after each trial what is known so far: a run that is killed leaves that behind.
    pub so_far: &'a (dyn Fn(&Table) + Sync),
    /// Ends it early; what is under way is still undone.
    pub stop: CancellationToken,
}

/// No mutant could be put to the test.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cluster is not there.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The images with faults could not be built.
    #[error(transparent)]
    Supply(#[from] SupplyError),
}

/// One mutant in one scenario, ready to run.
struct Ready<'a> {
    mutant: &'a Mutant,
    scenario: Scenario,
    implementation: Arc<Implementation>,
}

/// Puts all mutants to the test and says what became of each.
///
/// # Errors
/// A cluster could not be had, or the images with faults not be built.
pub async fn run(plan: &Plan<'_>) -> Result<Table, RunError> {
    let begun = Instant::now();
    let progress = PhaseEvents(plan.sink.as_ref());
    let mut table = Table {
        schema: SCHEMA,
        started: jiff::Timestamp::now().to_string(),
        meshproof: env!("CARGO_PKG_VERSION").to_owned(),
        ..Table::default()
    };
    let run = plan.results.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (ready, unready) = prepare(plan);
    table.trials = unready;
    let needs: Vec<_> = ready.iter().map(|ready| &ready.scenario.needs).collect();
    for group in groups(&plan.asked, &needs) {
        if plan.stop.is_cancelled() {
            break;
        }
        let cache = Cache::open_default().map_err(ClusterError::from)?;
        let waiting = || eprintln!("waiting for another run on cluster {}", group.spec.name);
        let lock = cache.lock(&run_lock(&group.spec.name), waiting).await;
        let _lock = lock.map_err(ClusterError::from)?;
        let cluster = ensure_cluster(&group.spec, &progress).await?;
        // The lock keeps off who uses this cache; the Lease whoever reaches the cluster.
        let client = cluster.client().await.map_err(ClusterError::from)?;
        let held = lease::hold(&client, &run, plan.stop.clone()).await.map_err(ClusterError::from)?;
        let chosen: Vec<&Ready<'_>> = group.scenarios.iter().filter_map(|at| ready.get(*at)).collect();
        let done = on_cluster(plan, &cache, &cluster, chosen, &mut table).await;
        let given_back = held.release().await;
        done?;
        given_back.map_err(ClusterError::from)?;
    }
    table.total_ms = millis(begun.elapsed());
    // As the mutants stand in their files, however they were run.
    let place = |trial: &Trial| plan.mutants.iter().position(|mutant| mutant.id == trial.mutant);
    table.trials.sort_by_key(place);
    Ok(table)
}

/// Every mutant's scenarios and gateways; and those that cannot be made, with why.
fn prepare<'a>(plan: &Plan<'a>) -> (Vec<Ready<'a>>, Vec<Trial>) {
    let (mut ready, mut unready): (Vec<Ready<'a>>, Vec<Trial>) = (Vec::new(), Vec::new());
    let scratch = plan.results.join("charts");
    for mutant in plan.mutants {
        let implementation = match mutant.implementation(plan.implementation, &scratch) {
            Ok(mutated) => Arc::new(mutated),
            Err(error) => {
                let outcome = Outcome::Error(error.to_string());
                unready.extend(mutant.scenarios.iter().map(|id| mutant.trial(id, outcome.clone(), 0)));
                continue;
            }
        };
        for id in &mutant.scenarios {
            match mutant.scenario(plan.root, id, plan.catalogue, &implementation) {
                Ok(scenario) => {
                    ready.push(Ready { mutant, scenario, implementation: implementation.clone() });
                }
                Err(problems) => {
                    unready.push(mutant.trial(id, Outcome::Error(problems.to_string()), 0));
                }
            }
        }
    }
    // The same gateway one after the other; a stable sort keeps the order of the files otherwise.
    let values = |ready: &Ready<'_>| -> String {
        ready.implementation.releases.iter().map(|release| release.values.to_string()).collect()
    };
    ready.sort_by_cached_key(|one| (one.mutant.mutation.needs_images(), values(one)));
    (ready, unready)
}

async fn on_cluster(
    plan: &Plan<'_>,
    cache: &Cache,
    cluster: &Cluster,
    chosen: Vec<&Ready<'_>>,
    table: &mut Table,
) -> Result<(), RunError> {
    let progress = PhaseEvents(plan.sink.as_ref());
    let mut target = cluster.target();
    if chosen.iter().any(|ready| ready.mutant.mutation.needs_images()) {
        let images = workspace::faulty_images(cache, &workspace::root()?, &progress).await?;
        cluster.load_missing(&images, &progress).await?;
        target.images.extend(images);
    }
    for ready in chosen {
        if plan.stop.is_cancelled() {
            break;
        }
        let begun = Instant::now();
        let outcome = match Live::attach(&target, ready.implementation.clone(), plan.sink.clone()).await {
            Ok(live) => {
                table.kubernetes.clone_from(&live.cluster.kubernetes);
                table.istio.clone_from(&live.cluster.istio);
                let known = &live.implementation;
                table.implementation = format!("{} {}", known.name, known.version);
                trial(plan, ready, &live, &target).await
            }
            Err(error) => Outcome::Error(error.to_string()),
        };
        let trial = ready.mutant.trial(&ready.scenario.id, outcome, millis(begun.elapsed()));
        let note = format!("{}: {}", trial.outcome.word(), trial.outcome.why().unwrap_or(&trial.breaks));
        progress.note(&format!("mutant {}", trial.mutant), &note);
        table.trials.push(trial);
        (plan.so_far)(table);
    }
    // The next run finds a cluster without a wrong gateway.
    let undone = target.uninstall(plan.implementation, &InstallOptions::default()).await;
    undone.map_err(ClusterError::from)?;
    Ok(())
}

async fn trial(
    plan: &Plan<'_>,
    ready: &Ready<'_>,
    live: &Live,
    target: &meshproof_lab::cluster::Target,
) -> Outcome {
    let Ready { mutant, scenario, .. } = ready;
    if let Some(why) = live.unfit_for(scenario) {
        return Outcome::Error(why);
    }
    let (info, implementation) = (live.cluster.clone(), live.implementation.clone());
    plan.sink.emit(&Event::ClusterReady { cluster: info, implementation });
    let runner = Runner {
        outside: live.outside.clone(),
        sink: plan.sink.clone(),
        results: plan.results.join("evidence").join(&mutant.id),
        keep: Keep::Never,
        stop: plan.stop.clone(),
    };
    let active = Mutex::new(Err("nobody looked whether it is active".to_owned()));
    let look = async {
        let looked = match target.client().await {
            Ok(client) => control::check(&mutant.controls, &client, live.outside.objects.as_ref()).await,
            Err(error) => Err(error.to_string()),
        };
        *active.lock().unwrap_or_else(PoisonError::into_inner) = looked;
    };
    let result = runner.run_looked_at(scenario, None, look).await;
    for release in &mutant.leaves {
        let gone = target.helm(["uninstall", release, "--namespace", &scenario.namespace, "--wait"]);
        let gone =
            tokio::task::spawn_blocking(move || gone.stdout_capture().stderr_capture().run().map(drop));
        if let Ok(Err(error)) = gone.await {
            tracing::debug!(release, %error, "the release was not there");
        }
    }
    if plan.stop.is_cancelled() {
        return Outcome::Error("it was interrupted".to_owned());
    }
    let active = active.into_inner().unwrap_or_else(PoisonError::into_inner);
    judge(mutant, &result, active)
}
