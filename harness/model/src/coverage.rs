//! Which scenario proves which requirement.

use crate::implementation::Implementation;
use crate::requirement::{Catalogue, Requirement};
use crate::scenario::Outline;

/// What becomes of one requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The requirement.
    pub requirement: &'a Requirement,
    /// Scenarios that prove it; those that are broken on purpose prove nothing.
    pub scenarios: Vec<&'a str>,
    /// Why nothing has to prove it.
    pub reason: Option<&'a str>,
}

impl<'a> Coverage<'a> {
    /// The same for a gateway that may not promise it.
    #[must_use]
    pub fn with(self, implementation: &'a Implementation) -> Self {
        let waived = implementation.waived.requirements.get(&self.requirement.id);
        Self { reason: self.reason.or(waived.map(String::as_str)), ..self }
    }

    /// Nothing proves it, and nothing says why that would be right.
    pub fn is_open(&self) -> bool {
        self.scenarios.is_empty() && self.reason.is_none()
    }
}

/// What becomes of every requirement in the catalogue's order.
pub fn of<'a>(catalogue: &'a Catalogue, scenarios: &'a [Outline]) -> Vec<Coverage<'a>> {
    let proves = |scenario: &&Outline, id: &String| !scenario.broken && scenario.proves.contains(id);
    let one = |requirement: &'a Requirement| Coverage {
        requirement,
        scenarios: scenarios.iter().filter(|s| proves(s, &requirement.id)).map(|s| s.id.as_str()).collect(),
        reason: requirement.reason(),
    };
    catalogue.requirements.iter().map(one).collect()
}
