//! Claims that must fail: for which reason, and what is to be seen instead.
//!
//! `must-fail: {diagnosis: backend-not-found, sees: {status: 500}}` stands beside what the claim says. The claim has to fail, the
//! evidence has to show this cause, and then the same claim with `sees` instead of what it says has to hold.

use crate::diagnosis;
use meshproof_model::diagnoses::KnownCause;
use meshproof_model::scenario::node::{Data, Key, Node, Problem, closest};

/// The key.
pub(super) const KEY: &str = "must-fail";
/// The fields of a claim that `sees` may stand for.
const SAYS: &[&str] = &["becomes", "become"];
/// What belongs to the claim that must fail, and not to what is seen instead.
const NOT_SEEN: &[&str] = &[
    KEY,
    "as",
    "name",
    "cites",
    "proves",
    "erratum",
    "stays",
    "witness",
    "substitute",
    "measured",
    "meanwhile",
    "with",
    "never",
    "new-address",
];

/// What a claim must fail with.
pub(super) struct MustFail<'a> {
    /// Id of the diagnosis.
    pub(super) diagnosis: String,
    /// What the same claim would say if it were right.
    pub(super) sees: &'a Node,
}

/// Reads it.
///
/// # Errors
/// The diagnosis is none there is, or nothing is said of what is to be seen.
pub(super) fn parse<'a>(node: &'a Node, own: &[KnownCause]) -> Result<MustFail<'a>, Problem> {
    let mut fields = node.fields().map_err(|problem| {
        problem.help(
            "say why and what is to be seen instead: {diagnosis: backend-not-found, sees: {status: 500}}",
        )
    })?;
    let diagnosis = diagnosis_of(fields.need("diagnosis")?, own)?;
    let sees = fields.need("sees").map_err(|problem| {
        problem
            .help("the reason alone may be met by something else: what would the claim say if it were right?")
    })?;
    meshproof_model::scenario::stated::piece(sees)?;
    fields.finish()?;
    Ok(MustFail { diagnosis, sees })
}

/// A diagnosis that can be made.
fn diagnosis_of(node: &Node, own: &[KnownCause]) -> Result<String, Problem> {
    let id = node.text()?;
    let mut known: Vec<&str> = own.iter().map(|cause| cause.id.as_str()).collect();
    // One by one, for these live longer.
    for id in diagnosis::causes() {
        known.push(id);
    }
    if known.contains(&id) {
        return Ok(id.to_owned());
    }
    let problem = node.problem(format!("there is no diagnosis `{id}`"));
    Err(match closest(id, &known) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!("known: {}", known.join(", "))),
    })
}

/// The claim with `sees` instead of what it says.
///
/// # Errors
/// The claim says nothing that could be seen otherwise.
pub(super) fn instead(step: &Node, sees: &Node) -> Result<Node, Problem> {
    let Data::Map(entries) = &step.data else { return Err(step.problem("a step is a mapping")) };
    if !entries.iter().any(|(key, _)| SAYS.contains(&key.name.as_str())) {
        let problem = step.problem("a claim that must fail says what becomes of something");
        return Err(problem.help("only claims with `becomes` or `become` can be seen to be otherwise"));
    }
    let kept = entries.iter().filter(|(key, _)| !NOT_SEEN.contains(&key.name.as_str()));
    let entries = kept.map(|(key, node)| match SAYS.contains(&key.name.as_str()) {
        true => (key.clone(), sees.clone()),
        false => (key.clone(), node.clone()),
    });
    Ok(Node { data: Data::Map(entries.collect()), span: step.span.clone() })
}

/// The step with `must-fail` as another place says it.
pub(super) fn onto(step: &Node, said: &Node, entries: Vec<(Key, Node)>) -> Result<Node, Problem> {
    let Data::Map(own) = &step.data else { return Err(step.problem("a step is a mapping")) };
    if let Some(node) = step.get(KEY) {
        return Err(node.problem("`expects` says already that this step fails"));
    }
    let key = Key { name: KEY.to_owned(), span: said.span.clone() };
    let node = Node { data: Data::Map(entries), span: said.span.clone() };
    let entries = own.iter().cloned().chain([(key, node)]).collect();
    Ok(Node { data: Data::Map(entries), span: step.span.clone() })
}
