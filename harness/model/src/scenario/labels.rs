//! The labels (`as:`) by which files of implementations speak of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::node::{Node, Problem, Source};
use super::{FILE, discover, parse};

/// Labels, each with the requirements that steps of this label are to prove.
pub type Labels = BTreeMap<String, BTreeSet<String>>;

/// The labels of all scenarios below `root`, whichever gateway they are about. A file that cannot be read has none: what is wrong
/// with it is told by who loads it.
pub fn all(root: &Path) -> Labels {
    let mut labels = Labels::new();
    for id in discover::all(root).unwrap_or_default() {
        let path = id.split('/').fold(root.to_owned(), |path, part| path.join(part)).join(FILE);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(document) = parse::document(&Arc::new(Source { path, text })) else { continue };
        let steps = document.get("steps").map(Node::one_or_more).unwrap_or_default();
        for step in steps {
            let Some(Ok(label)) = step.get("as").map(Node::text) else { continue };
            let proves = step.get("proves").map(Node::one_or_more).unwrap_or_default();
            let ids = proves.iter().filter_map(|id| id.text().ok().map(str::to_owned));
            labels.entry(label.to_owned()).or_default().extend(ids);
        }
    }
    labels
}

/// Labels that a scenario gives twice: whoever names one would mean two steps. Each at its second place.
pub fn twice(steps: &[Node]) -> Vec<Problem> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for node in steps.iter().filter_map(|step| step.get("as")) {
        let Ok(label) = node.text() else { continue };
        match first.get(label) {
            None => drop(first.insert(label, node.span.position().0)),
            Some(line) => problems.push(
                node.problem(format!("line {line} has the label `{label}` already"))
                    .help("a label names one step of a scenario"),
            ),
        }
    }
    problems
}
