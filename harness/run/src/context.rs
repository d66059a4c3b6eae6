//! What a step gets to work with, and how it tells of trouble.

pub mod ledger;
pub mod pods;
pub mod sidecar;
pub mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::ledger::Ledger;
use crate::context::pods::{Pod, Share};
use crate::context::traffic::Traffic;
use crate::ports::{
    EvidenceCollector, Installer, Machines, Mesh, Objects, PortError, Requests, Tools, WitnessContext,
    Witnesses,
};
use meshproof_model::event::{Event, EventSink, Failure, Observed, Verdict};
use meshproof_model::scenario::limits::Stays;
use meshproof_model::scenario::object::ObjectRef;

/// Everything outside of the runner.
#[derive(Clone)]
pub struct Outside {
    /// The API server's objects.
    pub objects: Arc<dyn Objects>,
    /// Sends requests.
    pub requests: Arc<dyn Requests>,
    /// Evidence that makes a claim trustworthy.
    pub witnesses: Arc<dyn Witnesses>,
    /// Evidence of a failure.
    pub evidence: Arc<dyn EvidenceCollector>,
    /// Installs the implementation.
    pub installer: Arc<dyn Installer>,
    /// Istio's control plane.
    pub mesh: Arc<dyn Mesh>,
    /// Machines and processes.
    pub machines: Arc<dyn Machines>,
    /// kubectl and helm.
    pub tools: Arc<dyn Tools>,
    /// Values of the manifests' placeholders.
    pub placeholders: BTreeMap<String, String>,
    /// How long what scenarios made may take to be gone.
    pub gone: Duration,
}

/// What a step gets to work with.
pub struct Context<'a> {
    /// Everything outside.
    pub outside: &'a Outside,
    /// What has to be undone at the end.
    pub ledger: &'a mut Ledger,
    /// Pods as the last claim about each share of a namespace saw them.
    pub pods: &'a mut BTreeMap<Share, Vec<Pod>>,
    /// Values that claims have given names to, by name.
    pub values: &'a mut BTreeMap<String, String>,
    /// Who held each Lease when a step ended its pod or its node.
    pub fallen: &'a mut HashMap<ObjectRef, String>,
    /// Constant traffic, if a step before this one has started it.
    pub traffic: &'a mut Option<Traffic>,
    /// The stream of events.
    pub sink: &'a dyn EventSink,
    /// Id of the scenario.
    pub scenario: &'a str,
    /// Namespace of everything that names none.
    pub namespace: &'a str,
    /// Index of the step.
    pub step: usize,
    /// Start of the scenario.
    pub begun: Instant,
    /// Start of the step.
    pub started: Instant,
    /// Time limit of the step, from its start.
    pub within: Duration,
    /// How a claim must go on holding.
    pub stays: Option<Stays>,
    /// Witnesses to hear.
    pub witnesses: &'a [String],
}

impl Context<'_> {
    /// When the step's time is up.
    pub fn deadline(&self) -> Instant {
        self.started + self.within
    }

    /// Tells listeners why the claim does not hold yet.
    pub fn not_yet(&self, because: &str) {
        self.sink.emit(&Event::Observed {
            scenario: self.scenario.to_owned(),
            step: self.step,
            at_ms: millis(self.begun.elapsed()),
            message: format!("not yet, because {because}"),
        });
    }

    /// Milliseconds since the start of the step.
    pub fn elapsed_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Names an object, in the scenario's namespace unless it says otherwise or has none.
    pub fn name(
        &self,
        kind: &'static meshproof_model::scenario::kinds::Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> ObjectRef {
        let namespace = kind.namespaced.then(|| namespace.unwrap_or(self.namespace).to_owned());
        ObjectRef { kind, namespace, name: name.to_owned() }
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A step that did not end well.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// [`Verdict::Failed`] if a claim did not hold, [`Verdict::Error`] if it could not be put to the test, [`Verdict::Waived`]
    /// if this cluster has nothing that would show it.
    pub verdict: Verdict,
    /// What was expected and seen.
    pub failure: Failure,
    /// What was seen until then.
    pub observed: Observed,
    /// The gateway concerned, for the evidence.
    pub witness: Option<WitnessContext>,
    /// The status that was expected, for the evidence.
    pub expected_status: Option<u16>,
    /// The reason that was expected, for the evidence.
    pub expected_reason: Option<String>,
    /// The witness that did not bear the claim out, for the evidence.
    pub against: Option<String>,
    /// What was wanted and seen, structured, for the diagnosis, where the step's own observation does not hold it.
    pub detail: serde_json::Value,
}

impl Trouble {
    /// A claim did not hold.
    pub fn failed(doing: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Failed, doing, expected, seen)
    }

    /// Something could not be done or put to the test.
    pub fn error(doing: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Error, doing, expected, seen)
    }

    /// This cluster shows neither that a claim holds nor that it does not, and for no fault of anybody's: why.
    pub fn not_shown(doing: impl Into<String>, expected: impl Into<String>, because: &str) -> Self {
        Self::new(Verdict::Waived, doing, expected, format!("not shown on this cluster: {because}"))
    }

    fn new(
        verdict: Verdict,
        doing: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        let seen = seen.into();
        let failure = Failure {
            doing: doing.into(),
            expected: expected.into(),
            seen: seen.clone(),
            next: None,
            diagnosis: None,
            evidence: None,
        };
        let observed = Observed { summary: seen, ..Observed::default() };
        Self {
            verdict,
            failure,
            observed,
            witness: None,
            expected_status: None,
            expected_reason: None,
            against: None,
            detail: serde_json::Value::Null,
        }
    }

    /// Adds what was wanted and seen, structured.
    #[must_use]
    pub fn detailed(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.failure.next = Some(next.into());
        self
    }
}

impl From<PortError> for Trouble {
    fn from(error: PortError) -> Self {
        let mut trouble = Self::error(error.doing, "it to be done", error.seen);
        trouble.failure.next = error.next;
        trouble
    }
}
