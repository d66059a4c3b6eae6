//! The way to a field of an object: `status.conditions[Ready].status`.

use serde_json::Value;

use crate::scenario::node::{Node, Problem};

/// Names joined by dots; in brackets a position in a list, the `type` or `name` of an element, or a quoted name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Position(usize),
    /// The element of a list that has this `type`, or this `name`.
    Element(String),
}

impl FieldPath {
    pub(super) fn read(node: &Node) -> Result<Self, Problem> {
        let text = node.text()?;
        Self::parse(text).ok_or_else(|| {
            node.problem(format!("`{text}` is no path to a field"))
                .help("spec.replicas, status.conditions[Ready].status, metadata.labels[\"istio.io/rev\"]")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let (mut steps, mut rest) = (Vec::new(), text);
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = rest.get(..end)?;
            if !is_name(name) {
                return None;
            }
            steps.push(Step::Name(name.to_owned()));
            rest = rest.get(end..)?;
            while let Some(inner) = rest.strip_prefix('[') {
                let (step, after) = match inner.strip_prefix('"') {
                    Some(quoted) => {
                        let (name, after) = quoted.split_once("\"]")?;
                        (Step::Name(name.to_owned()), after)
                    }
                    None => {
                        let (inner, after) = inner.split_once(']')?;
                        let step = match inner.parse() {
                            Ok(position) => Step::Position(position),
                            Err(_) if is_name(inner) => Step::Element(inner.to_owned()),
                            Err(_) => return None,
                        };
                        (step, after)
                    }
                };
                steps.push(step);
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Some(Self { text: text.to_owned(), steps }),
                None => return None,
            }
        }
    }

    /// What an object has there, as text; nothing where it has nothing.
    pub fn of(&self, object: &Value) -> Option<String> {
        let mut at = object;
        for step in &self.steps {
            at = match step {
                Step::Name(name) => at.get(name)?,
                Step::Position(position) => at.get(position)?,
                Step::Element(called) => at
                    .as_array()?
                    .iter()
                    .find(|element| ["type", "name"].iter().any(|key| element[*key] == called.as_str()))?,
            };
        }
        match at {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_by_names_positions_and_elements() {
        let object = json!({"spec": {"replicas": 2}, "metadata": {"labels": {"istio.io/rev": "a"}}, "status": {"conditions":
            [{"type": "Ready", "status": "False"}], "addresses": [{"value": "10.0.0.1"}]}});
        let of = |path: &str| FieldPath::parse(path).unwrap().of(&object);
        assert_eq!(of("spec.replicas").as_deref(), Some("2"));
        assert_eq!(of("status.conditions[Ready].status").as_deref(), Some("False"));
        assert_eq!(of("status.addresses[0].value").as_deref(), Some("10.0.0.1"));
        assert_eq!(of("metadata.labels[\"istio.io/rev\"]").as_deref(), Some("a"));
        assert_eq!((of("status.conditions[Synced]"), of("spec.paused")), (None, None));
        for wrong in ["", "a.", ".a", "a[", "a[0", "a[]", "a[b.c]", "a]b", "a[0]b", "a b"] {
            assert_eq!(FieldPath::parse(wrong), None, "{wrong}");
        }
    }
}
