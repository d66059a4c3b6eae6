//! `patch: namespace/web` with `with: {metadata: {labels: {istio-injection: enabled}}}`: a JSON merge patch (RFC 7396) of an
//! object that exists. What it changed is put back at the end.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::word::{Definition, NAMESPACE, OBJECT, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("patch", limits::ACTION, parse).says(Reference {
    summary: "Changes an object that exists by a JSON merge patch (RFC 7396); what it changed is put back at the end.",
    subject: OBJECT,
    fields: &[
        NAMESPACE,
        Field::needed("with", Type::Object, "The patch; null removes."),
    ],
    examples: &[
        "patch: deployment/backend-v1\nnamespace: isto-example-namespace\nwith: {spec: {replicas: 2}}",
    ],
});

#[derive(Debug)]
struct Change {
    id: ObjectRef,
    patch: Value,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    let with = fields.need("with")?;
    with.fields()?;
    let id = ObjectRef { kind, namespace: kind.namespaced.then(|| namespace.to_owned()), name };
    Ok(Box::new(Change { id, patch: with.value() }))
}

/// The merge patch that undoes `patch` on an object that was `before`.
fn inverse(before: &Value, patch: &Value) -> Value {
    match (before, patch) {
        (Value::Object(before), Value::Object(patch)) => {
            let each = patch.iter().map(|(key, change)| {
                let old = before.get(key).map_or(Value::Null, |old| inverse(old, change));
                (key.clone(), old)
            });
            Value::Object(each.collect::<Map<_, _>>())
        }
        (before, _) => before.clone(),
    }
}

/// What a patch changes, one path each.
fn leaves(path: &str, patch: &Value, all: &mut Vec<String>) {
    match patch {
        Value::Object(fields) => {
            for (key, value) in fields {
                leaves(&format!("{path}.{key}"), value, all);
            }
        }
        Value::Null => all.push(format!("without {}", path.trim_start_matches('.'))),
        value => all.push(format!("{}={}", path.trim_start_matches('.'), plain(value))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Word for Change {
    fn name(&self) -> String {
        let mut all = Vec::new();
        leaves("", &self.patch, &mut all);
        format!("patch {}: {}", self.id, all.join(", "))
    }

    fn changes(&self) -> Vec<ObjectRef> {
        vec![self.id.clone()]
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let before = context.outside.objects.patch(&self.id, &self.patch).await?;
            context.ledger.note(Entry::Patched(self.id.clone(), inverse(&before, &self.patch)));
            Ok(Observed { summary: format!("{} patched", self.id), ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_inverse_puts_back_what_was_there_and_takes_away_what_was_not() {
        let before = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"n": 2}});
        let patch = json!({"metadata": {"labels": {"a": "9", "b": "2"}}, "spec": {"n": null}});
        let back = json!({"metadata": {"labels": {"a": "1", "b": null}}, "spec": {"n": 2}});
        assert_eq!(inverse(&before, &patch), back);
        assert_eq!(inverse(&json!({}), &patch), json!({"metadata": null, "spec": null}));
    }

    #[test]
    fn a_patch_is_told_by_what_it_changes() {
        let mut all = Vec::new();
        leaves("", &json!({"metadata": {"labels": {"a": "1", "b": null}}}), &mut all);
        assert_eq!(all, ["metadata.labels.a=1", "without metadata.labels.b"]);
    }
}
