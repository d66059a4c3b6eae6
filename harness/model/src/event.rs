//! The one stream of events of a run. Reporters (terminal, transcript, JUnit XML, HTML, JSON) only listen to it.
//!
//! Order: `RunStarted`, what is asked of the run and what is known of scenarios
//! that ran before, phases of setting up, `ClusterReady`, then per scenario `ScenarioStarted`, its steps
//! (`StepStarted`, any number of `Observed`, `StepFinished`), clean-up phases, `ScenarioFinished`; at last
//! `RunFinished`. Phases may nest and may stand anywhere. All times are milliseconds; `started_ms` counts from the
//! start of the scenario. Nothing here holds key material.

mod again;
mod answers;
mod basis;
mod conformance;
mod pack;
mod planned;
mod sink;
mod verdict;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::again::{Arguments, Attempt};
pub use self::answers::{AnswerGroup, Hop, Stretch, Traffic, TrafficFailure};
pub use self::basis::{Basis, Different, DigestSet, Digests, Harness, MeshInfo, Named};
pub use self::conformance::{Conformance, ConformanceCount, ConformanceProfile, ConformanceTest};
pub use self::pack::PackInfo;
pub use self::planned::{Broken, ErratumInfo, Instead, MustFail, RequirementInfo, ScenarioInfo, StepInfo};
pub use self::sink::{EventSink, Fanout, PhaseEvents, Recorder};
pub use self::verdict::Verdict;

/// Version of the shape of `report.json`; grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 2;

/// Whether a step changes the world or says something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Changes the world.
    Action,
    /// Says something about the world, which is then proved or not.
    Claim,
}

/// The cluster of a run, as `report.json` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// `kind` or `existing`.
    pub provider: String,
    /// Kubernetes version, e.g. `v1.34.4`.
    pub kubernetes: String,
    /// Istio version, empty when there is none.
    pub istio: String,
    /// Number of nodes.
    pub nodes: usize,
}

/// The gateway under test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImplementationInfo {
    /// Name, e.g. `alb`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// GatewayClass that selects it.
    pub gateway_class: String,
    /// How it reaches the pods behind it, as its file says, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches_pods: Option<String>,
}

/// Which share of the selected scenarios a run is to prove; other runs prove the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Which share, from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
    /// Ids of all scenarios of all shares.
    pub whole: Vec<String>,
}

/// Name of a scenario among the results of a run, for files and anchors: its id, and from the second repetition on
/// the repetition as well.
pub fn result_name(id: &str, round: Option<u32>) -> String {
    match round {
        None | Some(1) => id.to_owned(),
        Some(round) => format!("{id}~{round}"),
    }
}

/// How a claim went on holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stayed {
    /// For so long.
    pub ms: u64,
    /// Over so many requests (0 for claims about objects).
    pub requests: usize,
}

/// What a witness found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Testimony {
    /// The witness's name, e.g. `mtls-from-extension`.
    pub witness: String,
    /// Whether it bears the claim out.
    pub held: bool,
    /// One line: what was found.
    pub summary: String,
    /// What it rests on, structured.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// What a step saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// One line.
    pub summary: String,
    /// What a reviewer must see, structured: object conditions, pods, applied objects. May hold volatile values;
    /// the transcript replaces them by names.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
    /// Time from the start of the step until the claim held, and went on holding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub became_ms: Option<u64>,
    /// Time from the start of the step to the first right answer, if the claim is about answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u64>,
    /// How it went on holding, if that was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stayed: Option<Stayed>,
    /// Every answer, including those before the claim held, in order of first appearance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerGroup>,
    /// The answers from the moment the claim held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<AnswerGroup>,
    /// Every answer over time, from the start of the step. Volatile: no transcript holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
    /// Constant traffic that ended with this step. Volatile: no transcript holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Box<Traffic>>,
    /// What the witnesses found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<Testimony>,
}

/// A named cause of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Stable id, e.g. `gateway-sends-istio-alpn`.
    pub id: String,
    /// The cause in one line.
    pub title: String,
    /// What in the evidence says so.
    pub because: Vec<String>,
    /// What to do next.
    pub next: String,
}

/// Why a step did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done.
    pub doing: String,
    /// What was expected.
    pub expected: String,
    /// The last thing seen.
    pub seen: String,
    /// What to do or look at next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The cause, if the evidence names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
    /// Folder with the evidence, below the results of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<PathBuf>,
}

/// A step, after it ran (or was skipped).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// The step.
    #[serde(flatten)]
    pub info: StepInfo,
    /// How it ended.
    pub verdict: Verdict,
    /// Since the start of the scenario.
    pub started_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// What it saw.
    pub observed: Observed,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl StepResult {
    /// The answers by which two runs can be compared: those since the claim held, for how many came before depends on the day,
    /// and all of them if it never held. None of a claim that holds whichever answers there are.
    #[must_use]
    pub fn telling_answers(&self) -> &[AnswerGroup] {
        match self.failure {
            Some(_) if self.observed.settled.is_empty() => &self.observed.answers,
            _ => &self.observed.settled,
        }
    }
}

/// A requirement, after a scenario ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementResult {
    /// Id in the catalogue.
    pub id: String,
    /// What is promised, in our words.
    pub text: String,
    /// Proved only if every step that cites it held as the scenario says.
    pub verdict: Verdict,
    /// Why the implementation does not promise it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// A scenario, after it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// Folder below `scenarios/`.
    pub id: String,
    /// Title.
    pub title: String,
    /// Which repetition of it this is, from 1; nothing if it ran once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Name and edition of the document.
    pub document: String,
    /// The verdict. What is broken on purpose is proved if it turned red as it has to, see `broken`.
    pub verdict: Verdict,
    /// Only if the world is broken on purpose: how it has to show. It proves that the harness can fail, and no requirement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
    /// How long its steps took.
    pub duration_ms: u64,
    /// How long it took to clean up after them; 0 if everything was kept.
    pub cleanup_ms: u64,
    /// Verdict per requirement.
    pub requirements: Vec<RequirementResult>,
    /// Errata met.
    pub errata: Vec<ErratumInfo>,
    /// Every step, skipped ones included.
    pub steps: Vec<StepResult>,
    /// What is left in the cluster on purpose (`--keep`), as namespaces and releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// What went wrong outside of any step: clean-up above all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl ScenarioResult {
    /// Its name among the results, see [`result_name`].
    pub fn name(&self) -> String {
        result_name(&self.id, self.round)
    }

    /// Whether a world that is broken on purpose turned red, for the reason it had to.
    pub fn is_red_as_expected(&self) -> bool {
        self.broken.is_some() && self.verdict == Verdict::Proved
    }

    /// The step that turned a broken world red, as it had to.
    pub fn red(&self) -> Option<&StepResult> {
        let broken = self.broken.as_ref().filter(|_| self.is_red_as_expected())?;
        self.steps.iter().find(|step| step.info.index == broken.step)
    }

    /// The step that decided a verdict other than proved.
    pub fn culprit(&self) -> Option<&StepResult> {
        self.steps.iter().find(|step| matches!(step.verdict, Verdict::Failed | Verdict::Error))
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First event of a run.
    RunStarted {
        /// Name of the run, also of its results folder.
        run: String,
        /// Wall-clock time, RFC 3339.
        started: String,
        /// Folder of the results.
        results: PathBuf,
        /// Scenarios selected, in the order they run; each once, however often it is repeated.
        scenarios: Vec<ScenarioInfo>,
        /// Which share of a selection they are, if other runs have the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<Partition>,
    },
    /// What it is to prove.
    Proves {
        /// The pack.
        pack: Box<PackInfo>,
    },
    /// What was asked of the run.
    Asked {
        /// That.
        arguments: Box<Arguments>,
        /// The run it follows, of which it runs again what was not proved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rerun_of: Option<String>,
    },
    /// Something is known of what the run rests on.
    RestsOn {
        /// That; several such events tell more and more.
        basis: Box<Basis>,
    },
    /// A scenario that the run it follows has proved, and that does not run again.
    CarriedOver {
        /// How it ended there.
        result: Box<ScenarioResult>,
        /// How it had ended before, if it was proved only after that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attempts: Vec<Attempt>,
    },
    /// Nothing of the run it follows is carried over.
    NotCarriedOver {
        /// In what the two differ.
        why: String,
    },
    /// A scenario was not proved and runs again; what it ended with before counts no more.
    Attempted {
        /// Id of the scenario.
        scenario: String,
        /// How it ended.
        attempt: Attempt,
    },
    /// Something slow begins.
    PhaseStarted {
        /// Name, unique among running phases.
        phase: String,
        /// What it took last time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_ms: Option<u64>,
    },
    /// What a phase is doing now.
    PhaseNote {
        /// Name of the phase.
        phase: String,
        /// One line.
        message: String,
    },
    /// Something slow ended.
    PhaseFinished {
        /// Name of the phase.
        phase: String,
        /// How long it took.
        elapsed_ms: u64,
        /// Why it did not end well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The cluster can be used.
    ClusterReady {
        /// The cluster.
        cluster: ClusterInfo,
        /// What is under test.
        implementation: ImplementationInfo,
    },
    /// A scenario begins.
    ScenarioStarted {
        /// The scenario.
        scenario: ScenarioInfo,
    },
    /// A step begins.
    StepStarted {
        /// Id of the scenario.
        scenario: String,
        /// The step.
        step: StepInfo,
        /// Since the start of the scenario.
        started_ms: u64,
    },
    /// A claim does not hold yet; sent when what is seen changes.
    Observed {
        /// Id of the scenario.
        scenario: String,
        /// Index of the step.
        step: usize,
        /// Since the start of the scenario.
        at_ms: u64,
        /// "not yet, because …".
        message: String,
    },
    /// A step ended, or was skipped.
    StepFinished {
        /// Id of the scenario.
        scenario: String,
        /// How it ended.
        step: Box<StepResult>,
    },
    /// A scenario ended, its clean-up included.
    ScenarioFinished {
        /// How it ended.
        result: Box<ScenarioResult>,
    },
    /// A test of the Gateway API's conformance suite began.
    ConformanceTestStarted {
        /// Its name.
        name: String,
    },
    /// A test of the suite ended.
    ConformanceTestFinished {
        /// How.
        test: Box<ConformanceTest>,
    },
    /// The suite ended.
    ConformanceFinished {
        /// What came of it.
        result: Box<Conformance>,
    },
    /// Last event of a run.
    RunFinished {
        /// The worst verdict.
        verdict: Verdict,
        /// Exit code of the command.
        exit_code: u8,
        /// How long all of it took.
        total_ms: u64,
    },
}
