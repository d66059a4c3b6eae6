//! Every scenario on a real cluster: kind, Istio and the gateway of this workspace. One test of each, with a snapshot of its
//! transcript; what is broken on purpose must end red, with the right diagnosis.
//!
//! `cargo test --features e2e` attaches to the cluster `meshproof` (or the one `MESHPROOF_CLUSTER` names) and makes it if it
//! is not there, with as many nodes as any scenario needs; a scenario that begins without Istio has it taken out, and what the
//! cluster cannot serve runs on one more. Scenarios share the one implementation, so they run one after the other. A scenario's objects are removed
//! afterwards; `MESHPROOF_KEEP=failed` leaves those of one that failed. `MESHPROOF_IMPLEMENTATION` names the file of another
//! gateway for the scenarios to prove; the main one is run with every gateway there is a file for in any case.
#![cfg(feature = "e2e")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use meshproof_cluster::existing::refusal::Plan;
use meshproof_cluster::live::Live;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::{ClusterSpec, Target, default_name, ensure_cluster, lease, nodes_of, run_lock};
use meshproof_lab::groups::{Asked, Group, groups};
use meshproof_lab::supply::peers::{self, Provided};
use meshproof_model::event::{Event, EventSink, Fanout, PhaseEvents, Recorder, ScenarioResult, Verdict};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::discover;
use meshproof_model::scenario::needs::Istio;
use meshproof_model::verdict;
use meshproof_report as report;
use meshproof_run::runner::{Keep, Runner};
use meshproof_run::scenario::Scenario;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

/// Tests run in the order of their names. So Istio is taken out once, and never put back.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn proved_without_istio(
    #[files("aks-add-on/scenario.yaml")]
    #[files("aks-add-on-supported/scenario.yaml")]
    #[files("extension-first/scenario.yaml")]
    #[files("istio-versions/scenario.yaml")]
    file: PathBuf,
) -> Result<()> {
    prove_chosen(&file).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn proved(
    #[files("*/scenario.yaml")]
    #[exclude("(^|/)(aks-add-on|aks-add-on-supported|extension-first|istio-versions)/")]
    file: PathBuf,
) -> Result<()> {
    prove_chosen(&file).await
}

async fn prove_chosen(file: &Path) -> Result<()> {
    // Seen from the workspace, as cargo is called there; the test itself runs in its package's folder.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let chosen = std::env::var_os("MESHPROOF_IMPLEMENTATION").map(|file| workspace.join(file));
    prove(file, Implementation::choose(chosen.as_deref())?).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn proved_with(#[files("../implementations/istio.yaml")] implementation: PathBuf) -> Result<()> {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("service-mesh-integration/scenario.yaml");
    prove(&scenario, Implementation::load(&implementation)?).await
}

/// Gateways that nobody here wrote. They are built for this test (`make peers`), and then come from the cache.
#[cfg(feature = "peers")]
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn proved_by_a_peer(
    #[files("../implementations/envoy-gateway-*.yaml")]
    #[files("../implementations/traefik.yaml")]
    implementation: PathBuf,
    #[files("*/scenario.yaml")] file: PathBuf,
) -> Result<()> {
    let implementation = Implementation::load(&implementation)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = file.parent().context("no folder")?.file_name().context("no name")?.to_string_lossy();
    let scenario = Scenario::load(root, &folder, &Catalogue::built_in()?, &implementation)?;
    // One about a gateway alone has no steps for others: there is nothing to put to them.
    if !scenario.is_about(&implementation) {
        assert!(scenario.steps.is_empty());
        return Ok(());
    }
    prove(&file, implementation).await
}

/// Runs a scenario and compares its transcript: the built-in gateway's with `snapshots/<scenario>`, another's with
/// `snapshots/<implementation>/<scenario>`.
async fn prove(file: &Path, implementation: Implementation) -> Result<()> {
    let built_in = implementation.name == Implementation::built_in()?.name;
    let folder = if built_in { String::new() } else { format!("/{}", implementation.name) };
    let (_, result) = run(file, implementation).await?;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../snapshots{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(result.id.replace('/', "--"), report::transcript(&result)));
    // Of another gateway some of it is waived, and sometimes all; what is, its snapshot tells.
    let as_wanted = if built_in { result.verdict == Verdict::Proved } else { result.verdict.is_good() };
    if !as_wanted {
        bail!("{}\n{}", result.verdict, report::explain(&result));
    }
    Ok(())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn broken_on_purpose_is_red(#[files("broken/*/scenario.yaml")] file: PathBuf) -> Result<()> {
    let (scenario, result) = run(&file, Implementation::built_in()?).await?;
    let wanted = scenario.expects.context("it expects no diagnosis")?.diagnosis;
    let failure = result.red().and_then(|step| step.failure.as_ref());
    let found = failure.and_then(|failure| failure.diagnosis.as_ref()).map(|diagnosis| diagnosis.id.as_str());
    if !result.is_red_as_expected() || found != Some(wanted.as_str()) {
        bail!("wanted it to turn red with diagnosis {wanted}\n{}", report::explain(&result));
    }
    Ok(())
}

/// A scenario that no test runs would not be missed, and one that two tests run would only take longer.
#[test]
fn all_scenarios_are_run_each_by_the_test_it_belongs_to() -> Result<()> {
    let listed = process::Command::new(std::env::current_exe()?).arg("--list").output()?;
    let mut run: Vec<_> =
        std::str::from_utf8(&listed.stdout)?.lines().filter_map(test_and_scenario).collect();
    run.sort();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let belongs = |id: String| -> Result<(String, String)> {
        let scenario = Scenario::load(root, &id, &Catalogue::built_in()?, &Implementation::built_in()?)?;
        let test = match (&scenario.expects, scenario.needs.istio) {
            (Some(_), _) => "broken_on_purpose_is_red",
            (None, Istio::None) => "proved_without_istio",
            (None, _) => "proved",
        };
        Ok((test.to_owned(), id.replace(['/', '-'], "_")))
    };
    let mut wanted = discover::all(root)?.into_iter().map(belongs).collect::<Result<Vec<_>>>()?;
    wanted.sort();
    assert_eq!(run, wanted);
    Ok(())
}

/// `proved::file_04_bring_your_own_scenario_yaml: test` is rstest's way to say that `proved` runs `bring_your_own`.
fn test_and_scenario(line: &str) -> Option<(String, String)> {
    let (test, case) = line.strip_suffix("_scenario_yaml: test")?.split_once("::file_")?;
    // Those of other gateways run what they are about once more.
    if test.starts_with("proved_by_a_peer") {
        return None;
    }
    let (_, scenario) = case.split_once('_')?;
    Some((test.to_owned(), scenario.to_owned()))
}

/// What the tests of one process share: they are one run with one report.
struct Session {
    begun: Instant,
    results: PathBuf,
    recorder: Arc<Recorder>,
    sink: Arc<dyn EventSink>,
}

/// The session of the scenarios to prove with the built-in gateway, with another one, or of those that are broken on purpose:
/// these prove nothing of a gateway, and the same scenario with two gateways would stand there twice. So each has a folder, and a
/// `latest`, of its own.
fn session(scenario: &Scenario, implementation: &Implementation) -> Result<Arc<Session>> {
    static SESSIONS: Mutex<BTreeMap<String, Arc<Session>>> = Mutex::new(BTreeMap::new());
    let built_in = implementation.name == Implementation::built_in()?.name;
    let folder = match (scenario.expects.is_some(), built_in) {
        (true, _) => "broken",
        (false, true) => "",
        (false, false) => implementation.name.as_str(),
    };
    let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let session = sessions.entry(folder.to_owned()).or_insert_with(|| {
        let run = format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), process::id());
        let results =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/meshproof").join(folder).join(&run);
        let recorder = Arc::new(Recorder::default());
        let sink = Arc::new(Fanout::new().with(report::terminal(false)).with(recorder.clone()));
        let started = jiff::Timestamp::now().to_string();
        sink.emit(&Event::RunStarted {
            run,
            started,
            results: results.clone(),
            scenarios: Vec::new(),
            partition: None,
        });
        Arc::new(Session { begun: Instant::now(), results, recorder, sink })
    });
    Ok(session.clone())
}

impl Session {
    /// Writes the report of everything so far.
    fn report(&self) -> Result<()> {
        let mut events = self.recorder.events();
        let results: Vec<_> = events.iter().filter_map(finished).cloned().collect();
        let verdict = verdict::of_run(&results);
        let exit_code = verdict::exit_code(verdict);
        let total_ms = u64::try_from(self.begun.elapsed().as_millis())?;
        events.push(Event::RunFinished { verdict, exit_code, total_ms });
        Ok(report::write_all(&self.results, &events)?)
    }
}

fn finished(event: &Event) -> Option<&ScenarioResult> {
    match event {
        Event::ScenarioFinished { result } => Some(result),
        _ => None,
    }
}

/// The cluster on which a scenario runs if all of them are to run on as few as possible.
fn cluster_for(scenario: &Scenario, name: String, implementation: &Implementation) -> Result<ClusterSpec> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = Scenario::load_all(root, &Catalogue::built_in()?, implementation)?;
    let needs: Vec<_> = all.iter().map(|scenario| &scenario.needs).collect();
    let nodes = nodes_of(&name);
    let spec = ClusterSpec { name, nodes: nodes.unwrap_or(1), ..ClusterSpec::default() };
    let groups = groups(&Asked { spec, may_grow: nodes.is_none() }, &needs);
    let serves = |group: &Group| group.scenarios.iter().any(|at| all[*at].id == scenario.id);
    let group = groups.into_iter().find(serves).context("no cluster serves it")?;
    Ok(group.spec)
}

/// Runs a scenario on the shared cluster, alone.
async fn run(file: &Path, implementation: Implementation) -> Result<(Scenario, ScenarioResult)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = file.parent().context("no folder")?.strip_prefix(root)?;
    let id = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    let scenario = Scenario::load(root, &id, &Catalogue::built_in()?, &implementation)?;

    let name = default_name();
    let spec = cluster_for(&scenario, name, &implementation)?;
    // Tests run as threads of one process or as processes of their own: the lock is good for both.
    let lock = Cache::open_default()?.lock(&run_lock(&spec.name), || {}).await?;
    let session = session(&scenario, &implementation)?;
    // Also puts Istio back that a scenario before this one needed gone.
    let progress = PhaseEvents(session.sink.as_ref());
    let Provided { implementation, images } =
        peers::provide(&Cache::open_default()?, &implementation, &progress).await?;
    let cluster = ensure_cluster(&spec, &progress).await?;
    cluster.load_missing(&images, &progress).await?;
    // Other hosts, and whoever has another cache, know nothing of the lock.
    let (run, stop) = (format!("e2e-{}", process::id()), CancellationToken::new());
    let held = lease::hold(&cluster.client().await?, &run, stop.clone()).await?;
    let mut target = cluster.target();
    target.images.extend(images);
    let result = on_cluster(target, &scenario, implementation, &session, stop).await;
    held.release().await?;
    drop(lock);
    Ok((scenario, result?))
}

/// Runs a scenario on a cluster that is held, until it is done or the cluster is lost.
async fn on_cluster(
    target: Target,
    scenario: &Scenario,
    implementation: Implementation,
    session: &Session,
    stop: CancellationToken,
) -> Result<ScenarioResult> {
    target.lacks(&implementation).await?;
    target.will_make(Plan::new([scenario], &implementation).namespaces)?;
    let live = Live::attach(&target, Arc::new(implementation), session.sink.clone()).await?;
    let (info, implementation) = (live.cluster.clone(), live.implementation.clone());
    session.sink.emit(&Event::ClusterReady { cluster: info, implementation });
    if let Some(why) = live.unfit_for(scenario) {
        bail!("the cluster is not fit: {why}");
    }
    // Not `always`: what one test leaves would be in the way of the next.
    let keep = match std::env::var("MESHPROOF_KEEP").as_deref() {
        Ok("failed") => Keep::Failed,
        _ => Keep::Never,
    };
    let runner = Runner {
        outside: live.outside.clone(),
        sink: session.sink.clone(),
        results: session.results.clone(),
        keep,
        stop,
    };
    let result = runner.run(scenario).await;
    session.report()?;
    Ok(result)
}
