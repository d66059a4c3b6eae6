//! The kinds that a scenario speaks of and that are not in the list: its own manifests define them, or the cluster has to know
//! them.

use serde_json::Value;

use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::kinds::learned::Told;
use meshproof_model::scenario::node::{Problem, Span, closest};

/// A kind that a cluster has to know.
#[derive(Debug, Clone)]
pub struct Needed {
    /// The kind, as far as it is known.
    pub kind: &'static Kind,
    /// Where it is spoken of first.
    pub place: Span,
    /// Whether a step before that may have defined it: one that installs something, or runs commands.
    pub may_come: bool,
}

/// What is known of them while a scenario is read, step by step.
#[derive(Debug, Default)]
pub struct Kinds {
    defined: Vec<Told>,
    needed: Vec<Needed>,
    may_come: bool,
}

impl Kinds {
    /// A kind is spoken of here.
    pub fn spoken_of(&mut self, kind: &'static Kind, place: &Span) {
        let known = kind.is_listed()
            || self.defined.iter().any(|told| told.is(kind))
            || self.needed.iter().any(|needed| needed.kind == kind);
        if !known {
            self.needed.push(Needed { kind, place: place.clone(), may_come: self.may_come });
        }
    }

    /// An object is applied, which may define a kind.
    pub fn defined(&mut self, object: &Value) {
        self.defined.extend(Told::by_definition(object));
    }

    /// A step may define any kind.
    pub fn may_come(&mut self) {
        self.may_come = true;
    }

    /// Those that a cluster has to know.
    pub fn needed(self) -> Vec<Needed> {
        self.needed
    }
}

impl Needed {
    /// What is wrong with it, if the cluster knows these kinds and no others.
    pub fn against(&self, known: &[Told]) -> Option<Problem> {
        if known.iter().any(|told| told.is(self.kind)) {
            return None;
        }
        let problem = self.place.problem(format!("the cluster knows no kind {}", self.kind.word));
        let nearest = nearest(self.kind, known);
        Some(match nearest {
            Some(nearest) => problem.help(format!("nearest: {nearest}")),
            None => {
                problem.help("apply its CustomResourceDefinition in a step before, or install what brings it")
            }
        })
    }
}

/// The kind that a cluster knows whose word is nearest to this one's.
pub fn nearest(kind: &Kind, known: &[Told]) -> Option<String> {
    let words: Vec<String> = known.iter().map(Told::word).collect();
    let same_name = known.iter().find(|told| told.kind.eq_ignore_ascii_case(kind.kind)).map(Told::word);
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    same_name.or_else(|| closest(kind.word, &all).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use meshproof_model::scenario::kinds::learned::learn;
    use meshproof_model::scenario::node::Source;

    fn told(kind: &str) -> Told {
        let plural = format!("{}s", kind.to_lowercase());
        Told {
            group: "spoken.example".into(),
            version: "v1".into(),
            kind: kind.into(),
            plural,
            namespaced: true,
        }
    }

    fn place() -> Span {
        let source = Source { path: "s.yaml".into(), text: "a\nb".into() };
        Span { source: Arc::new(source), start: 2, length: 1 }
    }

    #[test]
    fn a_kind_that_was_defined_before_needs_no_cluster_to_know_it() {
        let (first, second) = (learn(&told("First")), learn(&told("Second")));
        let mut kinds = Kinds::default();
        kinds.spoken_of(Kind::by_word("pod").unwrap(), &place());
        kinds.spoken_of(first, &place());
        kinds.defined(&json!({
            "kind": "CustomResourceDefinition",
            "spec": {
                "group": "spoken.example",
                "names": {"kind": "Second", "plural": "seconds"},
                "versions": [{"name": "v1", "served": true, "storage": true}],
            },
        }));
        kinds.spoken_of(second, &place());
        kinds.spoken_of(first, &place());
        let needed: Vec<_> = kinds.needed().into_iter().map(|needed| needed.kind.word).collect();
        assert_eq!(needed, ["first.spoken.example"]);
    }

    #[test]
    fn what_the_cluster_does_not_know_is_told_with_its_place_and_what_is_nearest() {
        let needed = Needed { kind: learn(&told("Widgat")), place: place(), may_come: false };
        assert_eq!(needed.against(&[told("Widgat")]), None);
        let problem = needed.against(&[told("Widget"), told("Gadget")]).unwrap();
        assert_eq!(problem.to_string(), "s.yaml:2:1: the cluster knows no kind widgat.spoken.example");
        assert_eq!(problem.help.as_deref(), Some("nearest: widget.spoken.example"));
        let help = needed.against(&[]).unwrap().help.unwrap();
        assert!(help.contains("CustomResourceDefinition"), "{help}");
    }
}
