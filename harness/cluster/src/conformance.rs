//! The Gateway API's conformance suite on a cluster that is there: what it needs first, the suite itself, and what it leaves.

mod arguments;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kube::api::DynamicObject;
use kube::{Client, ResourceExt};
use meshproof_lab::cluster::api::{self, ApiError};
use meshproof_lab::cluster::{ClusterError, Target, clean, owner};
use meshproof_lab::command::Tool;
use meshproof_lab::supply::conformance::Suite;
use meshproof_model::event::{Conformance, ConformanceTest, Event, EventSink, Verdict};
use meshproof_model::implementation::Implementation;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::object::{ObjectRef, labelled};
use meshproof_run::conformance::{Asked, Plan, Planned, Selection, Stream, Told};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::existing::refusal;
use crate::objects::KubeObjects;
pub use arguments::Pace;
use arguments::Whence;

/// Below which every test of the suite is.
const ROOT: &str = "Conformance";
/// Lines that the suite has printed and that are not read yet.
const AHEAD: usize = 1024;

/// What is to be done on which cluster.
#[derive(Debug)]
pub struct Conforming<'a> {
    /// The cluster.
    pub target: &'a Target,
    /// The gateway, as it is installed for the suite.
    pub implementation: &'a Implementation,
    /// The suite.
    pub suite: &'a Suite,
    /// What it knows.
    pub plan: &'a Plan,
    /// What is asked of it.
    pub asked: &'a Asked,
    /// What it will do.
    pub selection: &'a Selection,
    /// How fast, and how patient.
    pub pace: Pace,
    /// Folder of the results.
    pub results: &'a Path,
}

/// Name of the suite's own report below the results.
const REPORT: &str = "conformance-report.yaml";
/// What it printed.
const PRINTED: &str = "conformance.log";

/// What will be made on somebody else's cluster: what the suite makes as well as what the gateway's releases bring.
pub fn planned(implementation: &Implementation, plan: &Plan, selection: &Selection) -> refusal::Plan {
    let mut whole = refusal::Plan::new([], implementation);
    whole.namespaces.extend(selection.namespaces(plan));
    let of_kind = |(kind, name): (String, String)| {
        let kind = Kind::by_word(&kind.to_lowercase())?;
        Some(("the conformance suite".to_owned(), ObjectRef { kind, namespace: None, name }))
    };
    whole.objects.extend(selection.cluster_wide(plan).into_iter().filter_map(of_kind));
    whole
}

/// Makes sure that nothing is there that the suite would take for its own: what a run that is over has left goes, what
/// somebody else made is a reason to refuse.
///
/// # Errors
/// [`ClusterError::Refused`] names what is there.
pub async fn make_room(
    client: &Client,
    target: &Target,
    plan: &Plan,
    selection: &Selection,
) -> Result<(), ClusterError> {
    let objects = KubeObjects::new(client.clone(), target.provider, "");
    let namespaces = selection.namespaces(plan).into_iter().map(|name| ("namespace".to_owned(), name));
    let others = selection.cluster_wide(plan).into_iter().map(|(kind, name)| (kind.to_lowercase(), name));
    let (mut foreign, mut runs) = (Vec::new(), BTreeSet::new());
    for (word, name) in namespaces.chain(others) {
        let Some(kind) = Kind::by_word(&word) else { continue };
        let id = ObjectRef { kind, namespace: None, name };
        let found = objects.metadata(&id).await.map_err(|source| ApiError::Request {
            doing: format!("looking for {id}"),
            source: Box::new(source),
        })?;
        match found.as_ref().map(|metadata| owner::run_of(metadata).filter(|run| *run != owner::UP)) {
            None => {}
            Some(Some(run)) => {
                runs.insert(run.to_owned());
            }
            Some(None) => {
                foreign.push(format!("{id} exists and is not meshproof's; the suite makes one of that name"))
            }
        }
    }
    if !foreign.is_empty() {
        return Err(ClusterError::Refused { context: target.name.clone(), reasons: foreign });
    }
    for run in runs {
        clean::clean_after(client, target.provider, &run).await?;
    }
    target.will_make(selection.namespaces(plan))
}

/// Applies what the implementation's file wants to be there, with the run's label.
///
/// # Errors
/// A file cannot be read, or the API server refuses.
pub async fn apply_manifests(
    client: &Client,
    target: &Target,
    implementation: &Implementation,
) -> Result<(), ClusterError> {
    let files = implementation.conformance.iter().flat_map(|part| &part.manifests);
    for file in files {
        let name = file.display().to_string();
        let broken = |reason: String| ApiError::Manifest { name: name.clone(), reason };
        let text = std::fs::read_to_string(file).map_err(|error| broken(error.to_string()))?;
        let objects = api::objects(&name, &text)?.into_iter().map(|object| {
            let value = serde_json::to_value(object).map_err(|error| broken(error.to_string()))?;
            serde_json::from_value(labelled(&value, &target.run)).map_err(|error| broken(error.to_string()))
        });
        let objects: Vec<DynamicObject> = objects.collect::<Result<_, ApiError>>()?;
        let namespaces =
            objects.iter().filter(|object| object.types.as_ref().is_some_and(|t| t.kind == "Namespace"));
        target.will_make(namespaces.map(ResourceExt::name_any))?;
        api::apply(client, objects).await?;
    }
    Ok(())
}

impl Conforming<'_> {
    /// Runs the suite; what came of it. An interrupted one ends at once, and what it made is removed as well.
    ///
    /// # Errors
    /// The suite does not start, or the cluster cannot be asked.
    pub async fn run(
        &self,
        sink: &dyn EventSink,
        stop: &CancellationToken,
    ) -> Result<Conformance, ClusterError> {
        let client = self.target.client().await?;
        let whole = self.asked.names.is_empty();
        let report = whole.then(|| self.results.join(REPORT));
        let whence = Whence {
            run: &self.target.run,
            istio: self.target.istio.as_deref(),
            report: report.as_deref(),
            spare: self.target.own.as_ref().and_then(|cluster| cluster.spare_address()).map(IpAddr::from),
        };
        let arguments = arguments::of(self.implementation, self.asked, &self.pace, &whence);
        let (tests, why, interrupted) = self.follow(&arguments, sink, stop).await?;
        let mut result = Conformance {
            version: self.plan.version.clone(),
            tests,
            problems: why.into_iter().collect(),
            ..Conformance::default()
        };
        result.tests.extend(self.selection.unclaimed.iter().map(not_claimed));
        if interrupted {
            result.problems.push("interrupted".to_owned());
        }
        match report.filter(|file| file.is_file()) {
            Some(file) => match meshproof_run::conformance::profiles(&read(&file)?) {
                Ok(profiles) => (result.profiles, result.report) = (profiles, Some(REPORT.to_owned())),
                Err(error) => result.problems.push(format!("the suite's report cannot be read: {error}")),
            },
            None if whole && !interrupted => result.problems.push("the suite wrote no report".to_owned()),
            None => {}
        }
        let cleaned = clean::clean_after(&client, self.target.provider, &self.target.run).await?;
        result.problems.extend(cleaned.left);
        Ok(result)
    }

    /// Starts the suite and tells what it does until it ends.
    async fn follow(
        &self,
        arguments: &[String],
        sink: &dyn EventSink,
        stop: &CancellationToken,
    ) -> Result<(Vec<ConformanceTest>, Option<String>, bool), ClusterError> {
        std::fs::create_dir_all(self.results).map_err(|error| self.writing(error))?;
        let mut log =
            tokio::fs::File::create(self.results.join(PRINTED)).await.map_err(|error| self.writing(error))?;
        let tool = Tool::new("run the Gateway API's conformance suite", &self.suite.program)
            .contained()
            .args(arguments)
            .env("KUBECONFIG", &self.target.kubeconfig);
        let mut child = tool.start()?;
        let (sender, mut lines) = mpsc::channel(AHEAD);
        let outputs = (child.stdout.take(), child.stderr.take());
        let reading = [
            outputs.0.map(|pipe| tokio::spawn(read_lines(pipe, sender.clone()))),
            outputs.1.map(|pipe| tokio::spawn(read_lines(pipe, sender.clone()))),
        ];
        drop(sender);
        let mut stream = Stream::new(ROOT);
        let (mut tests, mut interrupted) = (Vec::new(), false);
        loop {
            let line = tokio::select! {
                biased;
                () = stop.cancelled(), if !interrupted => {
                    interrupted = true;
                    // It ends, and with it its output.
                    let _ = child.start_kill();
                    continue;
                }
                line = lines.recv() => line,
            };
            let Some(line) = line else { break };
            let shown = line.replace('\u{16}', "");
            log.write_all(format!("{shown}\n").as_bytes()).await.map_err(|error| self.writing(error))?;
            match stream.line(&line) {
                Some(Told::Started(name)) => sink.emit(&Event::ConformanceTestStarted { name }),
                Some(Told::Finished(test)) => self.take(*test, &mut tests, sink),
                None => {}
            }
        }
        log.flush().await.map_err(|error| self.writing(error))?;
        for reading in reading.into_iter().flatten() {
            let _ = reading.await;
        }
        let _ = child.wait().await;
        let (cut, why) = stream.end();
        for test in cut {
            self.take(test, &mut tests, sink);
        }
        // Told once, with why: not test by test.
        let planned = self.selection.tests.iter();
        let missing: Vec<_> = planned
            .filter(|planned| !tests.iter().any(|test| test.name == planned.name))
            .map(not_run)
            .collect();
        tests.extend(missing);
        Ok((tests, why, interrupted))
    }

    /// Takes a test that ended; nothing of one that the suite passes over as it is not meant.
    fn take(&self, test: ConformanceTest, tests: &mut Vec<ConformanceTest>, sink: &dyn EventSink) {
        let Some(planned) = self.selection.tests.iter().find(|planned| planned.name == test.name) else {
            return;
        };
        let test = ConformanceTest {
            description: planned.description.clone(),
            features: planned.features.clone(),
            ..test
        };
        sink.emit(&Event::ConformanceTestFinished { test: Box::new(test.clone()) });
        tests.push(test);
    }

    fn writing(&self, source: std::io::Error) -> ClusterError {
        let path: PathBuf = self.results.join(PRINTED);
        meshproof_lab::cluster::state::StateError { doing: "writing", path, source }.into()
    }
}

fn read(file: &Path) -> Result<String, ClusterError> {
    std::fs::read_to_string(file).map_err(|source| {
        meshproof_lab::cluster::state::StateError { doing: "reading", path: file.to_owned(), source }.into()
    })
}

fn not_claimed(planned: &Planned) -> ConformanceTest {
    without_verdict(planned, Verdict::Waived, "a feature of it is not claimed")
}

fn not_run(planned: &Planned) -> ConformanceTest {
    without_verdict(planned, Verdict::Error, "the suite did not come to it")
}

fn without_verdict(planned: &Planned, verdict: Verdict, why: &str) -> ConformanceTest {
    ConformanceTest {
        name: planned.name.clone(),
        description: planned.description.clone(),
        features: planned.features.clone(),
        verdict,
        duration_ms: 0,
        failed: Vec::new(),
        why: why.to_owned(),
        output: String::new(),
    }
}

async fn read_lines(pipe: impl AsyncRead + Unpin, to: mpsc::Sender<String>) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        if to.send(String::from_utf8_lossy(&line).into_owned()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_suite_makes_speaks_against_a_cluster_that_has_it() {
        let objects = r#"[{"kind": "GatewayClass", "name": "c"}, {"kind": "HTTPRoute", "namespace": "infra", "name": "r"}]"#;
        let test = format!(
            r#"{{"name": "A", "description": "", "features": [], "makes": {{"images": [], "objects": {objects}}}}}"#
        );
        let base = r#"{"images": [], "objects": [{"kind": "Namespace", "name": "infra"}]}"#;
        let text = format!(r#"{{"version": "v1", "base": {base}, "profiles": {{}}, "tests": [{test}]}}"#);
        let plan = Plan::read(&text).unwrap();
        let selection = plan.select(&Asked::default()).unwrap();
        let whole = planned(&Implementation::built_in().unwrap(), &plan, &selection);
        let named: Vec<_> = whole.must_not_exist().iter().map(ToString::to_string).collect();
        for name in ["namespace/infra", "namespace/azure-alb-system", "gatewayclass/c"] {
            assert!(named.iter().any(|known| known == name), "{name}: {named:?}");
        }
        assert!(
            !named.iter().any(|name| name.contains("httproute")),
            "it goes with its namespace: {named:?}"
        );
    }
}
