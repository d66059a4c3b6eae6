//! Every scenario on a real cluster: kind, Istio and the gateway of this workspace. One test of each, with a snapshot of its
//! transcript; what is broken on purpose must end red, with the right diagnosis.
//!
//! `cargo test --features e2e` attaches to the cluster `meshproof` (or the one `MESHPROOF_CLUSTER` names) and makes it if it
//! is not there. Scenarios share the one implementation, so they run one after the other. A scenario's objects are removed
//! afterwards; `MESHPROOF_KEEP=failed` leaves those of one that failed.
#![cfg(feature = "e2e")]

use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use meshproof::cluster::{ClusterSpec, DEFAULT_NAME, ensure_cluster};
use meshproof::event::{Event, EventSink, Fanout, PhaseEvents, Recorder, ScenarioResult, Verdict};
use meshproof::report;
use meshproof::requirement::Catalogue;
use meshproof::runner::live::Live;
use meshproof::runner::{Keep, Runner, verdict};
use meshproof::scenario::Scenario;
use meshproof::supply::cache::Cache;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn proved(#[files("*/scenario.yaml")] file: PathBuf) -> Result<()> {
    let (_, result) = run(&file).await?;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(result.id.replace('/', "--"), report::transcript(&result)));
    if result.verdict != Verdict::Proved {
        bail!("{}", report::explain(&result));
    }
    Ok(())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn broken_on_purpose_is_red(#[files("broken/*/scenario.yaml")] file: PathBuf) -> Result<()> {
    let (scenario, result) = run(&file).await?;
    let wanted = scenario.expects.context("it expects no diagnosis")?.diagnosis;
    let failure = result.culprit().and_then(|step| step.failure.as_ref());
    let found = failure.and_then(|failure| failure.diagnosis.as_ref()).map(|diagnosis| diagnosis.id.as_str());
    if (result.verdict, found) != (Verdict::Failed, Some(wanted.as_str())) {
        bail!("wanted a red verdict with diagnosis {wanted}, got {found:?}\n{}", report::explain(&result));
    }
    Ok(())
}

/// What the tests of one process share: they are one run with one report.
struct Session {
    begun: Instant,
    results: PathBuf,
    recorder: Arc<Recorder>,
    sink: Arc<dyn EventSink>,
}

/// The session of the scenarios to prove, or of those that are broken on purpose: their red verdicts would make the report
/// of a good run look bad, so they have a folder, and a `latest`, of their own.
fn session(broken: bool) -> &'static Session {
    static SESSIONS: [OnceLock<Session>; 2] = [OnceLock::new(), OnceLock::new()];
    SESSIONS[usize::from(broken)].get_or_init(|| {
        let run = format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), process::id());
        let folder = if broken { "../target/meshproof/broken" } else { "../target/meshproof" };
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(&run);
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
        Session { begun: Instant::now(), results, recorder, sink }
    })
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

/// Runs a scenario on the shared cluster, alone.
async fn run(file: &Path) -> Result<(Scenario, ScenarioResult)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = file.parent().context("no folder")?.strip_prefix(root)?;
    let id = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    let scenario = Scenario::load(root, &id, &Catalogue::built_in()?)?;

    let name = std::env::var("MESHPROOF_CLUSTER").unwrap_or_else(|_| DEFAULT_NAME.to_owned());
    // Tests run as threads of one process or as processes of their own: the lock is good for both.
    let lock = Cache::open_default()?.lock(&format!("scenarios-{name}"), || {}).await?;
    let session = session(scenario.expects.is_some());
    let spec = ClusterSpec { name, ..ClusterSpec::default() };
    let cluster = ensure_cluster(&spec, &PhaseEvents(session.sink.as_ref())).await?;
    let live = Live::attach(&cluster, session.sink.clone()).await?;
    let (info, implementation) = (live.cluster.clone(), live.implementation.clone());
    session.sink.emit(&Event::ClusterReady { cluster: info, implementation });
    if let Some(why) = live.unfit_for(&scenario) {
        bail!("the cluster is not fit: {why}");
    }
    let keep = match std::env::var("MESHPROOF_KEEP").as_deref() {
        Ok("always") => Keep::Always,
        Ok("failed") => Keep::Failed,
        _ => Keep::Never,
    };
    let runner = Runner {
        outside: live.outside.clone(),
        sink: session.sink.clone(),
        results: session.results.clone(),
        keep,
        stop: CancellationToken::new(),
    };
    let result = runner.run(&scenario).await;
    session.report()?;
    drop(lock);
    Ok((scenario, result))
}
