//! `helm: list -A`: a command of the document, literally (see [`super::tool`]).

use super::tool;
use crate::ports::Tool;
use crate::word::{Definition, Reference, Scope};
use meshproof_model::scenario::limits;

/// The word.
pub const WORD: Definition = Definition::action("helm", limits::ACTION, |subject, fields, _: &Scope<'_>| {
    tool::parse(Tool::Helm, subject, fields)
})
.says(Reference {
    summary: "Runs helm with these arguments, as a shell takes them apart; `${charts.RELEASE}` stands for a chart of the \
              implementation. What could change anything is done only to a cluster of meshproof's own.",
    subject: tool::ARGUMENTS,
    fields: tool::FIELDS,
    examples: &[
        "helm: list --namespace helm-namespace --short\nsays: alb-controller",
        "helm: install another-mesh ${charts.alb-controller-servicemesh-extension} --set provider=linkerd\nfails: linkerd",
    ],
});
