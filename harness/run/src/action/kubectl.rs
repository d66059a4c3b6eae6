//! `kubectl: get gateway gateway-01 -n test-infra`: a command of the document, literally (see [`super::tool`]).

use super::tool;
use crate::ports::Tool;
use crate::word::{Definition, Reference, Scope};
use meshproof_model::scenario::limits;

/// The word.
pub const WORD: Definition = Definition::action("kubectl", limits::ACTION, |subject, fields, _: &Scope<'_>| {
    tool::parse(Tool::Kubectl, subject, fields)
})
.says(Reference {
    summary: "Runs kubectl with these arguments, as a shell takes them apart. What could change anything is done only to a \
              cluster of meshproof's own.",
    subject: tool::ARGUMENTS,
    fields: tool::FIELDS,
    examples: &[
        "kubectl: get gateway gateway-01 -n test-infra -o jsonpath={.status.addresses[0].value}\nfails: NotFound",
        "kubectl: [get, pods, -l, \"tier in (web, api)\"]\nsays: web",
    ],
});
