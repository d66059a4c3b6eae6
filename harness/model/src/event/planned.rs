//! What a scenario sets out to do, before it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StepKind;

/// An erratum of the document that a scenario meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErratumInfo {
    /// Id in the catalogue, e.g. `E1`.
    pub id: String,
    /// What is wrong with the document's text, in our words.
    pub problem: String,
    /// The smallest change to the text that makes it hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
}

/// A requirement that a scenario sets out to prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementInfo {
    /// Id in the catalogue, e.g. `R43`.
    pub id: String,
    /// What is promised, in our words.
    pub text: String,
    /// Why the implementation does not promise it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// With what a claim must fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MustFail {
    /// Id of the diagnosis.
    pub diagnosis: String,
    /// What is to be seen instead, in one line.
    pub sees: String,
}

impl std::fmt::Display for MustFail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, and seen: {}", self.diagnosis, self.sees)
    }
}

/// How a world that is broken on purpose has to show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Index of the step that has to fail.
    pub step: usize,
    /// With what.
    #[serde(flatten)]
    pub with: MustFail,
}

/// What is expected of a step instead of what the scenario says, because the implementation is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instead {
    /// The step as the scenario has it, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Why, in a sentence.
    pub because: String,
    /// Requirements that the step proves all the same, by id, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub still_proves: BTreeMap<String, String>,
}

/// A step, before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Position in the scenario, from 0.
    pub index: usize,
    /// One line that says what the step does or claims.
    pub name: String,
    /// The vocabulary's word: `apply`, `delete`, `pods`, `status`, `request` …
    pub word: String,
    /// Action or claim.
    pub kind: StepKind,
    /// For a claim: what has to be seen, within which time, and how it has to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Lines of the document it follows, e.g. `L47-49`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cites: Option<String>,
    /// Requirement ids it proves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proves: Vec<String>,
    /// Requirement ids it would prove, which the implementation does not promise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waives: Vec<String>,
    /// Requirement ids the claim is about, in a world that is broken on purpose: it proves none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaks: Vec<String>,
    /// Requirement ids it would prove as the scenario says it; as it is read for this implementation it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets_aside: Vec<String>,
    /// Errata it meets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errata: Vec<String>,
    /// Line of the step in `scenario.yaml`, from 1.
    pub line: usize,
    /// With what the claim must fail, because the document's text cannot hold or the world is broken on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_fail: Option<MustFail>,
    /// The document does not say what happens: whatever does is recorded, and right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub measured: bool,
    /// Why it is not taken with this implementation, or says nothing on this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// What is expected instead of what the scenario says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
}

/// A scenario, before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioInfo {
    /// Folder below `scenarios/`, e.g. `service-mesh-integration` or `broken/istio-alpn`.
    pub id: String,
    /// Title as the scenario gives it.
    pub title: String,
    /// Path of its `scenario.yaml`.
    pub path: PathBuf,
    /// Name and edition of the document it follows.
    pub document: String,
    /// Requirements its steps prove, in the catalogue's order.
    pub requirements: Vec<RequirementInfo>,
    /// Errata its steps meet, in the catalogue's order.
    pub errata: Vec<ErratumInfo>,
    /// Its steps.
    pub steps: Vec<StepInfo>,
    /// Which repetition of it this is, from 1; nothing if it runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Only if the world is broken on purpose: how it has to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}
