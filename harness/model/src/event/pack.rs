//! The pack a run proves, as its reports tell of it.

use serde::{Deserialize, Serialize};

use crate::requirement::Requirement;

/// What is promised, so that a report can be read where the pack is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackInfo {
    /// The pack's name.
    pub name: String,
    /// The edition that was asked for; nothing where each scenario followed its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// Its requirements, in their order.
    pub requirements: Vec<Requirement>,
}
