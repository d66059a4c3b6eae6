//! Scenarios that run more than once until they are proved, and what was asked of a run, so that another can follow it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ScenarioResult, Verdict};

/// How a scenario ended before it was run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The run it was in.
    pub run: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Index of the step that decided that, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// What was expected and what was seen, or what else went wrong.
    pub why: String,
    /// Id of the diagnosis, if the evidence named a cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<String>,
}

impl Attempt {
    /// What this result says of its attempt.
    pub fn of(run: &str, result: &ScenarioResult) -> Self {
        let culprit = result.culprit();
        let failure = culprit.and_then(|step| step.failure.as_ref());
        let why = match (failure, culprit) {
            (Some(failure), _) => format!("expected {}; seen {}", failure.expected, failure.seen),
            (None, Some(step)) => step.observed.summary.clone(),
            (None, None) => result.problems.join("; "),
        };
        Self {
            run: run.to_owned(),
            verdict: result.verdict,
            step: culprit.map(|step| step.info.index),
            why,
            diagnosis: failure.and_then(|failure| Some(failure.diagnosis.as_ref()?.id.clone())),
        }
    }
}

/// What was asked of a run, as far as it decides what is proved of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Scenarios, or folders of them; all that are not broken on purpose if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Only those that prove one of these requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The edition of the document; nothing where each scenario follows its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// The implementation's file, as the kernel names it; nothing for the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<PathBuf>,
    /// Folder of the pack that was named, as the kernel names it; nothing for the one at hand or compiled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PathBuf>,
    /// Folder with scenarios, as the kernel names it.
    pub scenarios: PathBuf,
    /// Values of variables that were given with arguments or a file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Context of an existing cluster; nothing for one of meshproof's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Where the nodes of an existing cluster pull images from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_from: Option<String>,
    /// Name of the cluster, if it is one of meshproof's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Number of nodes that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u8>,
    /// Istio's version as it was asked for.
    pub istio: String,
    /// Where images and programs come from.
    pub image_source: String,
}
