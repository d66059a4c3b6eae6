//! `never: {backend: backend-v2}`: what none of a claim's answers may be.

use super::target::STATUS;
use crate::probe::Answer;
use meshproof_model::scenario::node::{Node, Problem};
use meshproof_model::schema::{Field, Type};

/// An answer that must not be given.
#[derive(Debug)]
pub(super) struct Never {
    status: Option<u16>,
    backend: Option<String>,
}

/// What is said of it.
pub(super) const FIELDS: &[Field] = &[
    Field::any_of("status", STATUS, "Status of HTTP."),
    Field::any_of("backend", Type::Text, "The workload that answers."),
];

impl Never {
    /// Reads `{backend: backend-v2}`, `{status: 200}` or both.
    ///
    /// # Errors
    /// Neither is given.
    pub(super) fn parse(node: &Node) -> Result<Self, Problem> {
        let mut fields = node.fields()?;
        let status = fields.take("status").map(Node::number).transpose()?;
        let backend = fields.take("backend").map(Node::text).transpose()?.map(str::to_owned);
        fields.finish()?;
        if status.is_none() && backend.is_none() {
            return Err(node.problem("never what?").help("give a status, a backend or both"));
        }
        Ok(Self { status, backend })
    }

    /// Whether this is such an answer.
    pub(super) fn is(&self, answer: &Answer) -> bool {
        self.status.is_none_or(|status| answer.status == Some(status))
            && self.backend.as_ref().is_none_or(|backend| answer.is_from(backend))
    }
}

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.status.map(|status| status.to_string());
        let backend = self.backend.as_ref().map(|backend| format!("from {backend}"));
        f.write_str(&status.into_iter().chain(backend).collect::<Vec<_>>().join(" "))
    }
}
