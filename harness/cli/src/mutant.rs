//! Mutants: gateways, charts, meshes and sample applications in each of which one promise is broken on purpose, as data
//! (`scenarios/mutants/*.yaml`). A scenario that proves the promise must turn red for each, for the reason that the mutant
//! gives; otherwise its green says little.
//!
//! The model and the judgement are pure; [`run`] puts mutants to the test on a cluster.

pub mod chart;
pub mod control;
mod judge;
pub mod manifest;
mod parse;
pub mod run;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

pub use self::judge::judge;
use chart::Edit;
use control::Control;
use manifest::Change;
use meshproof_lab::supply::workspace::FAULTS_SUFFIX;
use meshproof_model::event::StepInfo;
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::{Catalogue, Kind};
use meshproof_model::scenario::Problems;
use meshproof_model::scenario::node::Span;
use meshproof_report::mutants::{Outcome, Trial};
use meshproof_run::matching::glob;
use meshproof_run::scenario::Scenario;

/// Folder of the mutants below that of the scenarios.
pub const FOLDER: &str = "mutants";
/// The file that says how faults come into programs.
pub const FAULTS: &str = "faults.yaml";

/// What is wrong does not become right: claims about a mutant are given up after this time, several times what a right gateway
/// takes for them, so that all mutants can be tried within an hour. By word: of any step, and of the one that is to turn red,
/// whose time is spent by every mutant that is caught.
const PATIENCE: [(&str, Duration, Duration); 5] = [
    ("status", Duration::from_secs(15), Duration::from_secs(6)),
    ("value", Duration::from_secs(15), Duration::from_secs(6)),
    ("event", Duration::from_secs(20), Duration::from_secs(10)),
    ("request", Duration::from_secs(30), Duration::from_secs(12)),
    ("pods", Duration::from_secs(45), Duration::from_secs(15)),
];

/// One mutant.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutant {
    /// Short name.
    pub id: String,
    /// What is broken, in a sentence.
    pub breaks: String,
    /// The requirement that it breaks.
    pub requirement: String,
    /// The scenarios that must turn red, each.
    pub scenarios: Vec<String>,
    /// In which way.
    pub turns_red: TurnsRed,
    /// What makes it wrong.
    pub mutation: Mutation,
    /// What shows that the mutation is active; all of them.
    pub controls: Vec<Control>,
    /// Releases that the scenario's own commands install, in its namespace, because the mutant lets them: nobody else removes them.
    pub leaves: Vec<String>,
    /// Why it is not caught, or not with the right reason: a gap that is known.
    pub not_caught_because: Option<String>,
    /// Where it stands.
    pub place: Span,
}

/// How a scenario must turn red.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnsRed {
    /// Whether the step ends as an error: what is broken is no claim but what a person does.
    pub as_error: bool,
    /// What the step is called, with `*` and `?`; without it, the step has to prove the mutant's requirement.
    pub step: Option<String>,
    /// What is to be seen, with `*` and `?`.
    pub sees: Option<String>,
    /// The cause that the diagnosis has to name; `unknown` where nothing can single one out.
    pub diagnosis: String,
    /// Why the cause is not known.
    pub why_unknown: Option<String>,
}

impl TurnsRed {
    /// Whether a step is one that is to turn red for a mutant of this requirement.
    fn is_at(&self, step: &StepInfo, requirement: &str) -> bool {
        match &self.step {
            Some(pattern) => glob(pattern, &step.name),
            None => step.proves.iter().any(|proved| proved == requirement),
        }
    }
}

/// What makes a mutant wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mutation {
    /// A fault on purpose in a program.
    pub fault: Option<Fault>,
    /// Values of charts, over those of the implementation, by release.
    pub values: BTreeMap<String, Value>,
    /// Files of charts that read otherwise: release, file within the chart, edit.
    pub charts: BTreeMap<String, Vec<(String, Edit)>>,
    /// Manifests of the scenario that read otherwise, seen from the scenario's folder.
    pub manifests: BTreeMap<String, Vec<Change>>,
}

/// A fault on purpose in one of the gateway's programs, which is built into images of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub name: String,
    /// How it comes into the program.
    pub program: FaultyProgram,
}

/// A program that can be given faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultyProgram {
    /// The release whose value chooses the fault.
    pub release: String,
    /// That value, with dots.
    pub value: String,
    /// The images that have to be those with faults.
    pub images: Vec<String>,
    /// Namespace of its pods.
    pub namespace: String,
    /// Their labels.
    pub selector: String,
    /// Names of its faults.
    pub faults: Vec<String>,
}

impl Mutation {
    /// Whether it needs the images with faults.
    pub fn needs_images(&self) -> bool {
        self.fault.is_some()
    }
}

impl Mutant {
    /// Reads all mutants below the folder of the scenarios.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, each with its place.
    pub fn load_all(
        root: &Path,
        catalogue: &Catalogue,
        implementation: &Implementation,
    ) -> Result<Vec<Self>, Problems> {
        parse::all(root, catalogue, implementation)
    }

    /// The gateway as this mutant has it. Charts that read otherwise are written below `scratch`.
    ///
    /// # Errors
    /// A chart cannot be copied, or does not hold what is to be changed.
    pub fn implementation(
        &self,
        of: &Implementation,
        scratch: &Path,
    ) -> Result<Implementation, MutationError> {
        let mut mutated = of.clone();
        for release in &mut mutated.releases {
            if let Some(values) = self.mutation.values.get(&release.name) {
                merge(&mut release.values, values);
            }
            if let Some(edits) = self.mutation.charts.get(&release.name) {
                let copy = scratch.join(&self.id).join(&release.name);
                chart::copy_with(Path::new(&release.chart), &copy, edits)?;
                release.chart = copy.to_string_lossy().into_owned();
            }
            if let Some(Fault { name, program }) = &self.mutation.fault {
                release.values = with_faults(&release.values, &program.images);
                if release.name == program.release {
                    merge(&mut release.values, &nested(&program.value, name));
                }
            }
        }
        Ok(mutated)
    }

    /// What became of it in a scenario.
    pub fn trial(&self, scenario: &str, outcome: Outcome, took_ms: u64) -> Trial {
        Trial {
            mutant: self.id.clone(),
            breaks: self.breaks.clone(),
            requirement: self.requirement.clone(),
            scenario: scenario.to_owned(),
            diagnosis: self.turns_red.diagnosis.clone(),
            not_caught_because: self.not_caught_because.clone().filter(|_| outcome != Outcome::Caught),
            outcome,
            took_ms,
        }
    }

    /// A scenario as it reads for this mutant.
    ///
    /// # Errors
    /// What is wrong with the scenario; or a manifest that is to read otherwise does not hold what is to be changed, or is
    /// not one of the scenario's.
    pub fn scenario(
        &self,
        root: &Path,
        id: &str,
        catalogue: &Catalogue,
        implementation: &Implementation,
    ) -> Result<Scenario, Problems> {
        let directory = id.split('/').fold(root.to_owned(), |path, part| path.join(part));
        let changed: Vec<(PathBuf, &Vec<Change>)> = self
            .mutation
            .manifests
            .iter()
            .map(|(file, changes)| (plain(&directory.join(file)), changes))
            .collect();
        let read = RefCell::new(BTreeSet::new());
        let overlaid = |path: &Path| {
            let path = plain(path);
            let text = std::fs::read_to_string(&path)?;
            let Some((_, changes)) = changed.iter().find(|(changed, _)| *changed == path) else {
                return Ok(text);
            };
            read.borrow_mut().insert(path.clone());
            manifest::changed(&text, changes, &root.join(FOLDER)).map_err(std::io::Error::other)
        };
        let mut scenario = Scenario::load_with(&directory, id, catalogue, implementation, &overlaid)?;
        for step in &mut scenario.steps {
            if let Some((_, any, red)) = PATIENCE.iter().find(|(word, ..)| *word == step.info.word) {
                let most = if self.turns_red.is_at(&step.info, &self.requirement) { red } else { any };
                step.within = step.within.min(*most);
            }
        }
        match changed.iter().find(|(path, _)| !read.borrow().contains(path)) {
            Some((path, _)) => {
                let what = format!("scenario {id} reads no file {}", path.display());
                Err(self.place.problem(what).help("paths are seen from the scenario's folder").into())
            }
            None => Ok(scenario),
        }
    }
}

/// Requirements that can be proved and that no mutant breaks.
pub fn without_mutant<'a>(catalogue: &'a Catalogue, mutants: &[Mutant]) -> Vec<&'a str> {
    let provable = catalogue.requirements.iter().filter(|requirement| requirement.kind == Kind::K);
    let broken = |id: &str| mutants.iter().any(|mutant| mutant.requirement == id);
    provable.map(|requirement| requirement.id.as_str()).filter(|id| !broken(id)).collect()
}

/// The gateway could not be made wrong.
#[derive(Debug, thiserror::Error)]
pub enum MutationError {
    /// A file of a chart could not be read or written.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// There is nothing to change.
    #[error("{file} of the chart does not hold `{text}`, which the mutant is to replace")]
    NotThere {
        /// The file.
        file: String,
        /// What it should hold.
        text: String,
    },
}

/// Merges objects key by key; anything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// `a.b` with a value: `{a: {b: value}}`.
fn nested(path: &str, value: &str) -> Value {
    path.rsplit('.').fold(Value::String(value.to_owned()), |inner, key| serde_json::json!({key: inner}))
}

/// The same values with placeholders for images with faults instead of those that are shipped.
fn with_faults(values: &Value, images: &[String]) -> Value {
    match values {
        Value::String(text) => {
            let replaced = images.iter().fold(text.clone(), |text, image| {
                text.replace(&format!("${{images.{image}."), &format!("${{images.{image}{FAULTS_SUFFIX}."))
                    .replace(&format!("${{images.{image}}}"), &format!("${{images.{image}{FAULTS_SUFFIX}}}"))
            });
            Value::String(replaced)
        }
        Value::Array(list) => list.iter().map(|value| with_faults(value, images)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), with_faults(value, images))).collect()
        }
        other => other.clone(),
    }
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    plain.push("..");
                }
            }
            other => plain.push(other),
        }
        plain
    })
}

#[cfg(test)]
mod tests;
