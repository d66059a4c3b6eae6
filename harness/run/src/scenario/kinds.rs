//! Which kinds the steps of a scenario speak of, see [`crate::word::kinds`].

use crate::word::{Definition, OBJECT, Scope};
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::Node;
use meshproof_model::schema::Type;

/// Words that may define kinds which nobody can tell beforehand: they install something, or run commands.
const DEFINE: &[&str] = &["given", "install", "install-istio", "helm", "kubectl", "shell"];

/// Whether a step with this word may define kinds.
pub(super) fn may_define(word: &str) -> bool {
    DEFINE.contains(&word)
}

/// Notes the kind of the object that a step is about.
pub(super) fn spoken_of(definition: &Definition, subject: &Node, scope: &Scope<'_>) {
    let is_object = match definition.reference.subject {
        Type::Any(several) => several.contains(&OBJECT),
        takes => takes == OBJECT,
    };
    let is_file = |node: &Node| node.text().is_ok_and(|text| text.ends_with(".yaml"));
    for node in subject.one_or_more().iter().filter(|node| is_object && !is_file(node)) {
        if let Ok((kind, _)) = Kind::and_name(node) {
            scope.kinds.borrow_mut().spoken_of(kind, &node.span);
        }
    }
}
