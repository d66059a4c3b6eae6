//! What steps may not say together, whatever each of them says.

use super::must_fail;
use crate::word::Word;
use meshproof_model::requirement::{Catalogue, Kind};
use meshproof_model::scenario::node::{Node, Problem};

/// Constant traffic that no later step judges: whatever it saw would be lost.
pub(super) fn unjudged(steps: &[Node]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut started: Option<&Node> = None;
    for step in steps {
        if step.get("unbroken").is_some() {
            started = None;
        }
        if step.get("traffic").is_some() {
            problems.extend(started.replace(step).map(nobody_judges));
        }
    }
    problems.extend(started.map(nobody_judges));
    problems
}

fn nobody_judges(step: &Node) -> Problem {
    let problem = step.problem("nobody judges this traffic");
    problem.help("a later step, before other traffic begins, says how it fared: `unbroken: traffic`")
}

/// Only what the document leaves open is measured: a promise is judged.
pub(super) fn may_measure(
    node: &Node,
    proves: &[String],
    errata: &[String],
    catalogue: &Catalogue,
) -> Result<(), Problem> {
    let place = |key: &str| node.get(key).unwrap_or(node);
    if node.get(must_fail::KEY).is_some() {
        return Err(place("measured").problem("what must fail is judged, not measured"));
    }
    if !errata.is_empty() {
        let problem = place("measured").problem("an erratum is met by a claim that is judged, not measured");
        return Err(problem.help("leave `measured` out, or `erratum`"));
    }
    let promised = |id: &&String| catalogue.requirement(id).is_some_and(|r| r.kind != Kind::U);
    match proves.iter().find(promised) {
        None => Ok(()),
        Some(id) => Err(place("proves")
            .problem(format!("{id} is promised, so a claim about it is judged, not measured"))
            .help("leave `measured` out; only requirements of kind U are measured")),
    }
}

/// What a requirement says is to happen without a failed request is proved by claims that forgive none.
pub(super) fn may_forgive(
    node: &Node,
    word: &dyn Word,
    proves: &[String],
    catalogue: &Catalogue,
) -> Result<(), Problem> {
    let Some(forgiven) = word.forgives() else { return Ok(()) };
    let unbroken = |id: &&String| catalogue.requirement(id).is_some_and(|r| r.unbroken);
    match proves.iter().find(unbroken) {
        None => Ok(()),
        Some(id) => Err(node
            .get("proves")
            .unwrap_or(node)
            .problem(format!("{id} promises that no request fails, and this claim forgives some: {forgiven}"))
            .help("what is forgiven is a claim of its own, that proves something else or nothing")),
    }
}
