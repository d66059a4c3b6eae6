//! Which scenario proves which requirement.

use crate::requirement::{Catalogue, Requirement};
use crate::scenario::Scenario;

/// What becomes of one requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The requirement.
    pub requirement: &'a Requirement,
    /// Scenarios that prove it; those that are broken on purpose prove nothing.
    pub scenarios: Vec<&'a str>,
}

impl Coverage<'_> {
    /// Nothing proves it, and nothing says why that would be right.
    pub fn is_open(&self) -> bool {
        self.scenarios.is_empty() && self.requirement.reason().is_none()
    }
}

/// What becomes of every requirement, in the catalogue's order.
pub fn of<'a>(catalogue: &'a Catalogue, scenarios: &'a [Scenario]) -> Vec<Coverage<'a>> {
    let proves = |scenario: &&Scenario, id: &String| {
        scenario.expects.is_none() && scenario.proves().any(|proved| proved == id)
    };
    let one = |requirement: &'a Requirement| Coverage {
        requirement,
        scenarios: scenarios.iter().filter(|s| proves(s, &requirement.id)).map(|s| s.id.as_str()).collect(),
    };
    catalogue.requirements.iter().map(one).collect()
}
