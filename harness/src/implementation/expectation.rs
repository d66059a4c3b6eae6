//! Where a gateway rightly behaves otherwise than the document says, each time with the reason.

use std::collections::BTreeMap;

use crate::scenario::node::{Data, Node, Problem};

/// What an implementation does not promise. Values are reasons, a sentence each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waived {
    /// Requirements, by id.
    pub requirements: BTreeMap<String, String>,
    /// Steps of the scenarios, by label: not taken.
    pub steps: BTreeMap<String, String>,
    /// Kinds of objects, by the scenarios' word: left out of what is applied.
    pub kinds: BTreeMap<String, String>,
}

/// What is expected of a step instead of what the scenario says.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// A mapping of fields that stand instead of the step's own.
    pub fields: Node,
    /// Why, in a sentence.
    pub because: String,
}

/// Fields of a step that say what it is, not what is expected; they stay.
pub const FIXED: &[&str] = &["as", "name", "cites", "proves", "erratum"];

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
}

/// Reads an expectation.
///
/// # Errors
/// It gives no reason, replaces nothing, or something that is not a matter of expectation.
pub(crate) fn expectation(node: &Node) -> Result<Expectation, Problem> {
    let Data::Map(entries) = &node.data else {
        return Err(node.problem(format!("expected a mapping, found {}", node.what())));
    };
    let because = node
        .get("because")
        .ok_or_else(|| node.problem("`because` is missing").help("say in a sentence why it is expected"))?;
    let because = because.text()?.trim().to_owned();
    if let Some((key, _)) = entries.iter().find(|(key, _)| FIXED.contains(&key.name.as_str())) {
        return Err(key
            .span
            .problem(format!("`{}` says what the step is, and stays", key.name))
            .help("what can be replaced is what is expected of it: becomes, within, stays, witness …"));
    }
    let entries: Vec<_> = entries.iter().filter(|(key, _)| key.name != "because").cloned().collect();
    if entries.is_empty() {
        return Err(node.problem("an expectation must replace something of the step"));
    }
    Ok(Expectation { fields: Node { data: Data::Map(entries), span: node.span.clone() }, because })
}
