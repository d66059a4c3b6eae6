//! YAML in a code block: manifests, and what commands print as YAML, as paths and values.

use super::facts::Facts;
use meshproof_model::yaml::{self, Tree};

/// Keys whose values differ from run to run.
const VOLATILE: &[&str] = &[
    "creationTimestamp",
    "generation",
    "lastTransitionTime",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Whether something is asked for or printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A manifest.
    Manifest,
    /// What a command prints.
    Output,
}

/// One YAML document of a block. Lines are counted from the first line of the block, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its first line.
    pub line: usize,
    /// Its last line.
    pub end: usize,
    /// What it is.
    pub role: Role,
    /// Kind of the object, or the shape of the output.
    pub what: String,
    /// Its values.
    pub facts: Facts,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// Whether a text looks like a manifest or like an object's status.
pub(super) fn is_yaml(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start().trim_start_matches("- ");
        line.starts_with("apiVersion:") || line.trim_end() == "status:" || line.starts_with("kind:")
    })
}

/// Reads the documents of a block. One that is no YAML is told with its problem, and what can be seen of it.
pub(super) fn items(text: &str) -> Vec<Item> {
    let lines: Vec<&str> = text.lines().collect();
    let mut all = Vec::new();
    let mut start = 0;
    for (at, line) in lines.iter().chain(std::iter::once(&"---")).enumerate() {
        if line.trim() != "---" {
            continue;
        }
        let part = lines.get(start..at).unwrap_or_default();
        let blank = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if let (Some(first), Some(last)) =
            (part.iter().position(|line| !blank(line)), part.iter().rposition(|line| !line.trim().is_empty()))
        {
            all.extend(document(part).into_iter().map(|item| Item {
                line: start + first,
                end: start + last,
                ..item
            }));
        }
        start = at + 1;
    }
    all
}

fn document(lines: &[&str]) -> Vec<Item> {
    let text = dedent(lines);
    match yaml::documents::<Tree>(&text) {
        Ok(trees) => trees.iter().map(item).collect(),
        Err(error) => vec![unreadable(lines, &error)],
    }
}

/// Takes off the blanks that all lines begin with.
fn dedent(lines: &[&str]) -> String {
    let indent = |line: &&&str| line.len() - line.trim_start_matches(' ').len();
    let common =
        lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(&line)).min().unwrap_or(0);
    lines.iter().map(|line| format!("{}\n", line.get(common..).unwrap_or_default())).collect()
}

fn item(tree: &Tree) -> Item {
    let text = |name: &str| tree.get(name).and_then(Tree::as_str);
    let mut facts = Facts::new();
    let (role, what) = match (text("kind"), tree.get("status")) {
        // A whole object as a command prints it: its status is what matters.
        (Some(kind), Some(status)) => {
            flatten(status, "status", &mut facts);
            (Role::Output, format!("status of {kind}"))
        }
        (Some(kind), None) => {
            flatten(tree, "", &mut facts);
            facts.remove("kind");
            (Role::Manifest, kind.to_owned())
        }
        (None, Some(status)) => {
            flatten(status, "status", &mut facts);
            (Role::Output, format!("status with {}", keys(status)))
        }
        (None, None) => {
            flatten(tree, "", &mut facts);
            (Role::Output, keys(tree))
        }
    };
    Item { line: 0, end: 0, role, what, facts, problem: None }
}

/// What can be seen of text that is no YAML: enough to tell which object it was meant to be.
fn unreadable(lines: &[&str], error: &yaml::Error) -> Item {
    let seen = |key: &str| {
        let found = lines.iter().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
        found.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
    };
    let mut facts = Facts::new();
    for (key, path) in
        [("apiVersion", "apiVersion"), ("name", "metadata.name"), ("namespace", "metadata.namespace")]
    {
        if let Some(value) = seen(key) {
            facts.insert(path.to_owned(), value);
        }
    }
    let message = error.message.split(" at line ").next().unwrap_or(&error.message);
    let place = error.line.map(|line| format!(" in its line {line}")).unwrap_or_default();
    Item {
        line: 0,
        end: 0,
        role: Role::Manifest,
        what: seen("kind").unwrap_or_else(|| "text that is no YAML".to_owned()),
        facts,
        problem: Some(format!("not YAML{place}: {message}")),
    }
}

fn keys(tree: &Tree) -> String {
    match tree {
        Tree::Mapping(map) => {
            let mut keys: Vec<_> = map.keys().map(scalar).collect();
            keys.sort();
            keys.join(", ")
        }
        Tree::Sequence(_) => "a list".to_owned(),
        _ => "a value".to_owned(),
    }
}

fn flatten(tree: &Tree, path: &str, facts: &mut Facts) {
    match tree {
        Tree::Mapping(map) => {
            for (key, value) in map {
                let key = scalar(key);
                if VOLATILE.contains(&key.as_str()) {
                    continue;
                }
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(value, &path, facts);
            }
        }
        Tree::Sequence(list) => {
            for (index, value) in list.iter().enumerate() {
                // Conditions have a name: their type.
                let condition = value.get("status").and(value.get("type")).and_then(Tree::as_str);
                match condition {
                    Some(name) => flatten(value, &format!("{path}[{name}]"), facts),
                    None => flatten(value, &format!("{path}[{index}]"), facts),
                }
            }
        }
        Tree::Tagged(tagged) => flatten(&tagged.value, path, facts),
        value => {
            let mut value = super::command::value(&scalar(value));
            if path.starts_with("status.addresses[") && path.ends_with(".value") {
                // An example: each Gateway gets another.
                value = "<placeholder>".to_owned();
            }
            facts.insert(path.to_owned(), value);
        }
    }
}

fn scalar(tree: &Tree) -> String {
    match tree {
        Tree::Null => String::new(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(number) => number.to_string(),
        Tree::String(text) => text.clone(),
        Tree::Tagged(tagged) => scalar(&tagged.value),
        Tree::Sequence(_) | Tree::Mapping(_) => "<nested>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |item: Item| {
            let facts: Vec<_> = item.facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let problem = item.problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
            format!("{}-{} {:?} {}: {}{problem}", item.line, item.end, item.role, item.what, facts.join(" "))
        };
        items(text).into_iter().map(show).collect()
    }

    #[test]
    fn objects_are_read_one_by_one() {
        let text = "# a\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n\nkind: Pod\nmetadata:\n  name: b\n";
        assert_eq!(
            shown(text),
            ["1-3 Manifest Namespace: apiVersion=v1 metadata.name=a", "6-8 Manifest Pod: metadata.name=b"]
        );
    }

    #[test]
    fn a_status_is_an_output_and_loses_what_differs_from_run_to_run() {
        let text = "  status:\n    conditions:\n    - lastTransitionTime: x\n      status: \"True\"\n      type: Accepted\n    \
                    addresses:\n    - value: a.b\n";
        assert_eq!(
            shown(text),
            ["0-6 Output status with addresses, conditions: status.addresses[0].value=<placeholder> \
             status.conditions[Accepted].status=True status.conditions[Accepted].type=Accepted"]
        );
    }

    #[test]
    fn what_is_no_yaml_is_told_and_still_recognised() {
        let text = "kind: Gateway\nmetadata:\n\tname: g\n---\nkind: A\nkind: B\n";
        let shown = shown(text);
        assert!(
            shown[0].starts_with("0-2 Manifest Gateway: metadata.name=g (not YAML in its line 3: "),
            "{shown:?}"
        );
        assert!(shown[1].contains("duplicate"), "{shown:?}");
    }
}
