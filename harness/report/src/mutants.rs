//! The table: requirement by mutants, and what became of each. For people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use meshproof_model::requirement::Catalogue;

pub mod page;

/// What was last measured of all mutants: a `mutants.json` that was put there.
const MEASURED: &str = include_str!("../../../scenarios/mutants/measured.json");

/// Version of the shape of `mutants.json`.
pub const SCHEMA: u32 = 1;

/// What came of putting mutants to the test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Version of this shape.
    pub schema: u32,
    /// When it was begun, RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub total_ms: u64,
    /// Version of meshproof.
    pub meshproof: String,
    /// The gateway that was made wrong, with its version.
    pub implementation: String,
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// Version of Istio.
    pub istio: String,
    /// One line for each mutant and scenario, in the order of the mutants.
    pub trials: Vec<Trial>,
}

/// What became of a mutant in one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "why", rename_all = "kebab-case")]
pub enum Outcome {
    /// The scenario turned red, and for the reason that was to be given.
    Caught,
    /// It turned red for another reason: which.
    CaughtOtherwise(String),
    /// It stayed green.
    Missed,
    /// Nothing shows that the mutation was active: it says nothing.
    Unviable(String),
    /// It could not be put to the test.
    Error(String),
}

impl Outcome {
    /// The words of the table.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::CaughtOtherwise(_) => "caught otherwise",
            Self::Missed => "missed",
            Self::Unviable(_) => "unviable",
            Self::Error(_) => "error",
        }
    }

    /// What it says beyond its word.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::CaughtOtherwise(why) | Self::Unviable(why) | Self::Error(why) => Some(why),
            Self::Caught | Self::Missed => None,
        }
    }
}

/// A mutant in one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The mutant.
    pub mutant: String,
    /// What it breaks.
    pub breaks: String,
    /// The requirement it breaks.
    pub requirement: String,
    /// The scenario that had to turn red.
    pub scenario: String,
    /// The cause that had to be named.
    pub diagnosis: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Why that is so, where the gap is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_caught_because: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Trial {
    /// Whether it is as it should be, or said why it is not.
    pub fn is_settled(&self) -> bool {
        match self.outcome {
            Outcome::Caught => true,
            Outcome::CaughtOtherwise(_) | Outcome::Missed => self.not_caught_because.is_some(),
            // It says nothing of the harness, and no reason makes it say something.
            Outcome::Unviable(_) | Outcome::Error(_) => false,
        }
    }
}

/// One requirement's mutants, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The requirement.
    pub requirement: String,
    /// Trials of its mutants.
    pub trials: usize,
    /// Caught for the right reason.
    pub caught: usize,
    /// Caught for another.
    pub otherwise: usize,
    /// Missed.
    pub missed: usize,
    /// Unviable, or in error.
    pub nothing: usize,
}

impl Table {
    /// What was last measured when this program was built; no trials if nothing was.
    pub fn last_measured() -> Self {
        serde_json::from_str(MEASURED).unwrap_or_default()
    }

    /// The requirements that have mutants, in the catalogue's order.
    pub fn rows(&self, catalogue: &Catalogue) -> Vec<Row> {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for trial in &self.trials {
            let row = rows.entry(&trial.requirement).or_default();
            row.requirement.clone_from(&trial.requirement);
            row.trials += 1;
            match trial.outcome {
                Outcome::Caught => row.caught += 1,
                Outcome::CaughtOtherwise(_) => row.otherwise += 1,
                Outcome::Missed => row.missed += 1,
                Outcome::Unviable(_) | Outcome::Error(_) => row.nothing += 1,
            }
        }
        catalogue.requirements.iter().filter_map(|known| rows.remove(known.id.as_str())).collect()
    }

    /// How many trials ended in this word.
    pub fn count(&self, word: &str) -> usize {
        self.trials.iter().filter(|trial| trial.outcome.word() == word).count()
    }

    /// Whether every trial is settled, and there was one.
    pub fn is_good(&self) -> bool {
        !self.trials.is_empty() && self.trials.iter().all(Trial::is_settled)
    }

    /// One line about all.
    pub fn headline(&self) -> String {
        let words = ["caught", "caught otherwise", "missed", "unviable", "error"];
        let counts = words.iter().map(|word| (word, self.count(word))).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(word, count)| format!("{count} {word}")).collect();
        format!("{} mutants put to the test: {}", self.trials.len(), counts.join(", "))
    }

    /// For a terminal: each requirement, and below it its mutants.
    pub fn text(&self, catalogue: &Catalogue) -> String {
        let mut text = String::new();
        for row in self.rows(catalogue) {
            let _ = writeln!(text, "{}  {} of {} caught", row.requirement, row.caught, row.trials);
            for trial in self.trials.iter().filter(|trial| trial.requirement == row.requirement) {
                let word = trial.outcome.word();
                let _ =
                    writeln!(text, "  {word:16}  {} in {}: {}", trial.mutant, trial.scenario, trial.breaks);
                if let Some(why) = trial.outcome.why() {
                    let _ = writeln!(text, "  {:16}  {why}", "");
                }
                if let Some(because) = &trial.not_caught_because {
                    let _ = writeln!(text, "  {:16}  known: {because}", "");
                }
            }
        }
        let _ = writeln!(text, "{}", self.headline());
        text
    }

    /// For the README: a table of requirements and counts in Markdown.
    pub fn markdown(&self, catalogue: &Catalogue) -> String {
        let mut text = String::from(
            "| requirement | mutants | caught | caught otherwise | missed | unviable or error |\n|---|---|---|---|---|---|\n",
        );
        for row in self.rows(catalogue) {
            let Row { requirement, trials, caught, otherwise, missed, nothing } = row;
            let _ = writeln!(
                text,
                "| {requirement} | {trials} | {caught} | {otherwise} | {missed} | {nothing} |"
            );
        }
        let (day, _) = self.started.split_once('T').unwrap_or((&self.started, ""));
        let _ = writeln!(
            text,
            "\n{}; measured on {day} with Kubernetes {}, Istio {} and {}.",
            self.headline(),
            self.kubernetes,
            self.istio,
            self.implementation
        );
        text
    }
}
