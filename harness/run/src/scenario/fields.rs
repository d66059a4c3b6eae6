//! What the fields of scenarios and steps say.

use crate::word::{Definition, Staying};
use meshproof_model::event::ErratumInfo;
use meshproof_model::requirement::{Document, Erratum};
use meshproof_model::scenario::limits::{self, Stays};
use meshproof_model::scenario::node::{Node, Problem};

/// What reports say of an erratum.
pub(super) fn erratum_info(erratum: &Erratum) -> ErratumInfo {
    ErratumInfo {
        id: erratum.id.clone(),
        problem: erratum.problem.clone(),
        correction: erratum.correction.clone(),
    }
}

/// A document with the edition that is cited, and the first and the last that are proved, if they are said.
pub(super) fn document(node: &Node) -> Result<(Document, Option<String>, Option<String>), Problem> {
    let mut fields = node.fields()?;
    let name = fields.need("name")?.text()?.to_owned();
    let edition = fields.need("edition")?.text()?.to_owned();
    let mut end = |key| fields.take(key).map(|node| node.text().map(str::to_owned)).transpose();
    let (since, until) = (end("since")?, end("until")?);
    fields.finish()?;
    Ok((Document { name, edition }, since, until))
}

/// How a claim has to go on holding.
pub(super) fn stays(node: &Node, definition: &Definition) -> Result<Stays, Problem> {
    match (limits::stays(node)?, definition.stays) {
        (Stays::Requests(_) | Stays::Drains(_), Staying::Time) => Err(node
            .problem(format!("`{}` sends no requests", definition.word))
            .help("write a duration, e.g. `5s`")),
        (stays, _) => Ok(stays),
    }
}

/// Reads one id or a list of them, each of which must be known.
pub(super) fn ids(
    node: Option<&Node>,
    what: &str,
    known: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Problem> {
    let nodes = node.map(Node::one_or_more).unwrap_or_default();
    let each = nodes.iter().map(|node| {
        let id = node.text()?;
        if known(id) { Ok(id.to_owned()) } else { Err(node.problem(format!("there is no {what} `{id}`"))) }
    });
    each.collect()
}
