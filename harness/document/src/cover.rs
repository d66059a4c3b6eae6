//! What stands behind a fragment: the steps that cite it, and what becomes of its requirements.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::Kind;
use super::known::{Known, KnownFragment};
use super::lines::Lines;
use meshproof_model::coverage::{self, Coverage};
use meshproof_model::requirement::{Catalogue, Document};
use meshproof_model::scenario::Outline;

/// A step that has to do with a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The scenario.
    pub scenario: String,
    /// Its position in the scenario, from 1.
    pub step: usize,
    /// Number of steps in the scenario.
    pub of: usize,
    /// What it does or claims.
    pub name: String,
    /// The `scenario.yaml`.
    pub file: PathBuf,
    /// Its line there.
    pub line: usize,
    /// Lines of the document it follows.
    pub cites: Option<Lines>,
    /// Requirements it proves.
    pub proves: Vec<String>,
    /// Errata it meets.
    pub errata: Vec<String>,
}

/// What becomes of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A scenario proves it.
    Proved,
    /// A scenario shows that its literal text cannot hold.
    Erratum,
    /// Measured, never failed on.
    Measured,
    /// Not proved here, for a reason.
    Waived,
    /// Nothing proves it.
    Open,
}

/// A requirement of a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Required {
    /// Its id.
    pub id: String,
    /// What becomes of it.
    pub state: State,
    /// Scenarios that prove it.
    pub scenarios: Vec<String>,
}

/// What stands behind a fragment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cover {
    /// Steps that cite its lines.
    pub steps: Vec<Step>,
    /// Its requirements.
    pub requirements: Vec<Required>,
    /// What is missing; nothing when it is covered.
    pub missing: Option<String>,
}

/// The scenarios as a document sees them.
#[derive(Debug)]
pub struct World<'a> {
    coverage: Vec<Coverage<'a>>,
    steps: Vec<Step>,
    /// Citations of other editions: position of the step, edition, lines.
    elsewhere: Vec<(usize, &'a Document, Lines)>,
    /// Fragments of other editions that are cited, by id: fingerprint, and position of the step.
    carried: BTreeMap<String, Vec<(String, usize)>>,
}

impl<'a> World<'a> {
    /// Scenarios that prove this edition. Those that are broken on purpose cite lines too, but cover nothing.
    pub fn new(catalogue: &'a Catalogue, scenarios: &'a [Outline], document: &Document) -> Self {
        let ours = scenarios.iter().filter(|s| !s.broken);
        let all = ours.clone().flat_map(|scenario| scenario.steps.iter().map(move |step| (scenario, step)));
        let elsewhere = all.enumerate().filter(|(_, (scenario, _))| scenario.document != *document);
        let elsewhere = elsewhere.filter_map(|(at, (scenario, step))| {
            Some((at, &scenario.document, step.cites.as_deref()?.parse().ok()?))
        });
        let elsewhere = elsewhere.collect();
        let steps = ours.flat_map(|scenario| {
            let same_edition = scenario.document == *document;
            scenario.steps.iter().map(move |info| Step {
                scenario: scenario.id.clone(),
                step: info.index + 1,
                of: scenario.steps.len(),
                name: info.name.clone(),
                file: scenario.path.clone(),
                line: info.line,
                cites: info.cites.as_deref().filter(|_| same_edition).and_then(|cites| cites.parse().ok()),
                proves: info.proves.clone(),
                errata: info.errata.clone(),
            })
        });
        let (coverage, steps) = (coverage::of(catalogue, scenarios), steps.collect());
        Self { coverage, steps, elsewhere, carried: BTreeMap::new() }
    }

    /// With what is known of other editions: a step that cites one of them stands behind what this edition says likewise.
    #[must_use]
    pub fn with_editions(mut self, editions: &[Known]) -> Self {
        for (step, document, cites) in &self.elsewhere {
            let known = editions.iter().filter(|known| known.document == **document);
            let cited = known.flat_map(|known| &known.fragments).filter(|f| f.lines.overlap(cites));
            for fragment in cited {
                let said = (fragment.fingerprint.clone(), *step);
                self.carried.entry(fragment.id.clone()).or_default().push(said);
            }
        }
        self
    }

    /// Steps that cite lines, with those lines.
    pub fn citing(&self) -> impl Iterator<Item = (&Step, &Lines)> {
        self.steps.iter().filter_map(|step| Some((step, step.cites.as_ref()?)))
    }

    /// What is missing of what should stand behind a fragment; nothing when it is covered.
    pub fn missing(&self, fragment: &KnownFragment) -> Option<String> {
        self.cover(fragment).missing
    }

    /// What stands behind a fragment.
    pub(super) fn cover(&self, fragment: &KnownFragment) -> Cover {
        let own = |step: &Step| step.cites.as_ref().is_some_and(|cites| cites.overlap(&fragment.lines));
        // A sentence in other words has been read by a person, who gave it the same id; values have to be the same.
        let same = |said: &String| fragment.kind.is_prose() || *said == fragment.fingerprint;
        let carried = self.carried.get(&fragment.id);
        let carried =
            |at: usize| carried.is_some_and(|all| all.iter().any(|(said, of)| *of == at && same(said)));
        let steps = self.steps.iter().enumerate().filter(|(at, step)| own(step) || carried(*at));
        let steps: Vec<Step> = steps.map(|(_, step)| step.clone()).collect();
        let requirements: Vec<_> =
            fragment.requirements.iter().map(|id| self.required(id, fragment)).collect();
        let open: Vec<_> =
            requirements.iter().filter(|r| r.state == State::Open).map(|r| r.id.as_str()).collect();
        let met = fragment.errata.iter().any(|id| self.meets(id));
        let missing = if fragment.kind == Kind::Remark || fragment.waived.is_some() {
            None
        } else if !open.is_empty() {
            Some(format!("no scenario proves {}", open.join(", ")))
        } else if requirements.is_empty() && steps.is_empty() && !met {
            Some(format!("no step cites {}, and no requirement came of it", fragment.lines))
        } else {
            None
        };
        Cover { steps, requirements, missing }
    }

    fn required(&self, id: &str, fragment: &KnownFragment) -> Required {
        use meshproof_model::requirement::Kind as Treatment;
        let coverage = self.coverage.iter().find(|coverage| coverage.requirement.id == id);
        let scenarios: Vec<_> =
            coverage.map(|c| c.scenarios.iter().map(|&id| id.to_owned()).collect()).unwrap_or_default();
        let state = match coverage.map(|coverage| coverage.requirement.kind) {
            _ if !scenarios.is_empty() => State::Proved,
            Some(Treatment::A) => State::Waived,
            Some(Treatment::U) => State::Measured,
            Some(Treatment::E) if fragment.errata.iter().any(|id| self.meets(id)) => State::Erratum,
            _ => State::Open,
        };
        Required { id: id.to_owned(), state, scenarios }
    }

    fn meets(&self, erratum: &str) -> bool {
        self.steps.iter().any(|step| step.errata.iter().any(|id| id == erratum))
    }
}
