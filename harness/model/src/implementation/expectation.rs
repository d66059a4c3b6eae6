//! Where a gateway rightly behaves otherwise than the document says, each time with the reason.

use std::collections::BTreeMap;

use crate::requirement::Catalogue;
use crate::scenario::node::{Data, Key, Node, Problem};

/// What an implementation does not promise. Values are reasons, a sentence each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waived {
    /// Requirements, by id.
    pub requirements: BTreeMap<String, String>,
    /// Steps of the scenarios, by label: not taken.
    pub steps: BTreeMap<String, String>,
    /// Witnesses that are not heard, by name.
    pub witnesses: BTreeMap<String, WaivedWitness>,
    /// Kinds of objects, by the scenarios' word: left out of what is applied.
    pub kinds: BTreeMap<String, String>,
}

/// A witness that is not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaivedWitness {
    /// The requirements that stand on it: each is waived, too.
    pub shows: Vec<Key>,
    /// Why.
    pub because: String,
}

/// What is expected of a step instead of what the scenario says. The step then proves nothing but what is said to be proved by
/// it all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// A mapping of fields that stand instead of the step's own.
    pub fields: Node,
    /// Why, in a sentence.
    pub because: String,
    /// Requirements that the step proves all the same, by id, each with the reason.
    pub still_proves: Vec<(Key, String)>,
}

/// Fields of a step that say what it is, not what is expected; they stay.
pub const FIXED: &[&str] = &["as", "name", "cites", "proves", "erratum"];
/// Fields of a step that say what is expected.
const EXPECTED: &[&str] = &["becomes", "become", "within", "stays"];
/// What an expectation says of itself.
const OWN: &[&str] = &["because", "still-proves"];

impl Expectation {
    /// The step with these fields instead of its own.
    pub fn over(&self, step: &Node) -> Node {
        let (Data::Map(own), Data::Map(instead)) = (&step.data, &self.fields.data) else {
            return step.clone();
        };
        let replaced = |name: &str| instead.iter().find(|(key, _)| key.name == name);
        let mut entries: Vec<_> = own
            .iter()
            .map(|(key, node)| replaced(&key.name).cloned().unwrap_or_else(|| (key.clone(), node.clone())))
            .collect();
        let added = instead.iter().filter(|(key, _)| !own.iter().any(|(known, _)| known.name == key.name));
        entries.extend(added.cloned());
        Node { data: Data::Map(entries), span: step.span.clone() }
    }

    /// Whether it can be read instead of a step that is to prove `proves`, of which `waived` are promised by nobody.
    ///
    /// # Errors
    /// It takes away what makes the step worth believing (a witness, the subject, the kind), while somebody counts on it; or it
    /// proves what is waived.
    pub fn fits(&self, proves: &[String], waived: &dyn Fn(&str) -> bool) -> Result<(), Problem> {
        let promised: Vec<&str> = proves.iter().map(String::as_str).filter(|id| !waived(id)).collect();
        let nobody_counts_on_it = !proves.is_empty() && promised.is_empty();
        let entries = match &self.fields.data {
            Data::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        let beyond = entries.iter().find(|(key, _)| !EXPECTED.contains(&key.name.as_str()));
        if let Some((key, _)) = beyond.filter(|_| !nobody_counts_on_it) {
            let what = match promised.is_empty() {
                true => "the step proves nothing that could be waived".to_owned(),
                false => format!("the step is to prove {}, which is not waived", promised.join(", ")),
            };
            return Err(key
                .span
                .problem(format!(
                    "`{}` is part of what makes the step worth believing, and stays: {what}",
                    key.name
                ))
                .help(format!(
                    "what can be replaced is {}; waive the step, or the requirements with their reasons",
                    EXPECTED.join(", ")
                )));
        }
        match self.still_proves.iter().find(|(key, _)| waived(&key.name)) {
            None => Ok(()),
            Some((key, _)) => Err(key.span.problem(format!("{} is waived: nothing proves it", key.name))),
        }
    }

    /// Whether it is said to prove a requirement all the same.
    pub fn still_proves(&self, id: &str) -> bool {
        self.still_proves.iter().any(|(key, _)| key.name == id)
    }
}

/// Reads an expectation.
///
/// # Errors
/// It gives no reason, replaces nothing, or something that is not a matter of expectation.
pub fn expectation(node: &Node, catalogue: Option<&Catalogue>) -> Result<Expectation, Problem> {
    let Data::Map(entries) = &node.data else {
        return Err(node.problem(format!("expected a mapping, found {}", node.what())));
    };
    let because = node
        .get("because")
        .ok_or_else(|| node.problem("`because` is missing").help("say in a sentence why it is expected"))?;
    let because = reason(because)?;
    let still_proves = match node.get("still-proves").map(|node| (&node.data, node)) {
        None => Vec::new(),
        Some((Data::Map(entries), _)) => entries
            .iter()
            .map(|(key, node)| known(key, catalogue).and_then(|()| Ok((key.clone(), reason(node)?))))
            .collect::<Result<_, Problem>>()?,
        Some((_, node)) => {
            return Err(node
                .problem(format!("expected a mapping, found {}", node.what()))
                .help("requirements with their reasons: `R22: It counts the same pods.`"));
        }
    };
    if let Some((key, _)) = entries.iter().find(|(key, _)| FIXED.contains(&key.name.as_str())) {
        return Err(key
            .span
            .problem(format!("`{}` says what the step is, and stays", key.name))
            .help(format!("what can be replaced is what is expected of it: {}", EXPECTED.join(", "))));
    }
    let entries: Vec<_> =
        entries.iter().filter(|(key, _)| !OWN.contains(&key.name.as_str())).cloned().collect();
    if entries.is_empty() {
        return Err(node.problem("an expectation must replace something of the step"));
    }
    let fields = Node { data: Data::Map(entries), span: node.span.clone() };
    Ok(Expectation { fields, because, still_proves })
}

/// A reason: a sentence, or a few words at least.
///
/// # Errors
/// It says nothing.
pub(super) fn reason(node: &Node) -> Result<String, Problem> {
    let help = "say in a sentence why: it is what a reader of the report is told";
    let text = node.text().map_err(|problem| problem.help(help))?.trim();
    match text.chars().any(char::is_alphabetic) {
        true => Ok(text.to_owned()),
        false => Err(node.problem("the reason is empty").help(help)),
    }
}

/// A requirement there is, as far as that can be told.
///
/// # Errors
/// There is none of this id.
pub(super) fn known(key: &Key, catalogue: Option<&Catalogue>) -> Result<(), Problem> {
    match catalogue.is_some_and(|catalogue| catalogue.requirement(&key.name).is_none()) {
        true => Err(key.span.problem(format!("there is no requirement `{}`", key.name))),
        false => Ok(()),
    }
}
