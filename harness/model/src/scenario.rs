//! Scenarios as trees: their YAML with places, what every step may hold, and what they need. What their words mean is not
//! known here.

pub mod discover;
pub mod head;
pub mod kinds;
pub mod labels;
pub mod limits;
pub mod manifest;
pub mod needs;
pub mod node;
pub mod object;
pub mod parse;
pub mod placeholder;
pub mod stated;

use std::path::PathBuf;

use crate::event::StepInfo;
use crate::requirement::{Document, Editions};
use node::Problem;

/// The file that makes a folder a scenario.
pub const FILE: &str = "scenario.yaml";

/// A scenario as far as it says what it proves.
#[derive(Debug, Clone)]
pub struct Outline {
    /// Folder below the scenarios' root, with slashes.
    pub id: String,
    /// The `scenario.yaml`.
    pub path: PathBuf,
    /// The document it follows, and the edition whose lines it cites.
    pub document: Document,
    /// The first edition that it proves; nothing if that is the one it cites.
    pub since: Option<String>,
    /// The last edition that it proves; nothing if that is the newest.
    pub until: Option<String>,
    /// It breaks the world on purpose, and proves nothing.
    pub broken: bool,
    /// Requirements that it proves: those of its steps that the gateway under test promises.
    pub proves: Vec<String>,
    /// What reports say of its steps, in order.
    pub steps: Vec<StepInfo>,
}

impl Outline {
    /// The editions that it proves.
    pub fn editions(&self) -> Editions<'_> {
        let since = self.since.as_deref().or(Some(&self.document.edition));
        Editions { since, until: self.until.as_deref() }
    }
}

/// Everything that is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
