//! `delete: peerauthentication/default` or `delete: gateway.yaml`: deletes objects, which must exist, and waits until they
//! are gone.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use crate::claim::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::{Deleted, Query, Whose};
use crate::word::{Definition, NAMESPACE, OBJECT, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::action("delete", limits::ACTION, parse).says(Reference {
    summary: "Deletes an object, or the objects of a manifest, which must exist, and waits until they are gone.",
    subject: Type::Any(&[OBJECT, Type::Form("\\.yaml$", "a manifest, seen from the scenario")]),
    fields: &[
        NAMESPACE,
    ],
    examples: &[
        "delete: peerauthentication/default\nnamespace: isto-example-namespace",
        "delete: gateway.yaml",
    ],
});

#[derive(Debug)]
struct Delete {
    what: String,
    ids: Vec<ObjectRef>,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let what = subject.text()?.to_owned();
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    let ids = if what.ends_with(".yaml") {
        // Last object first: a namespace stands before what lives in it.
        scope.manifest(subject)?.objects.into_iter().rev().map(|object| object.id).collect()
    } else {
        let (kind, name) = Kind::and_name(subject)?;
        vec![ObjectRef { kind, namespace: kind.namespaced.then(|| namespace.to_owned()), name }]
    };
    Ok(Box::new(Delete { what, ids }))
}

impl Word for Delete {
    fn name(&self) -> String {
        format!("delete {}", self.what)
    }

    fn changes(&self) -> Vec<ObjectRef> {
        self.ids.clone()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let mut going = Vec::new();
            for id in &self.ids {
                match context.outside.objects.delete(id, Whose::Within).await? {
                    Deleted::Going(uid) => going.push((id, uid)),
                    Deleted::NotThere => {
                        let trouble = Trouble::error(
                            format!("deleting {id}"),
                            "it to exist",
                            "there is no such object",
                        );
                        return Err(trouble.next("a step before this one should have created it"));
                    }
                    Deleted::Left(why) => {
                        let trouble = Trouble::error(format!("deleting {id}"), "an object of this run", why);
                        return Err(trouble.next("a scenario deletes what it made itself"));
                    }
                }
            }
            for (id, uid) in going {
                let query =
                    Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
                let expected = format!("{id} to be gone");
                becomes(context, &query, "deleting", &expected, |objects| {
                    match objects.iter().any(|object| object["metadata"]["uid"] == uid) {
                        false => Judgement::Holds(()),
                        true => Judgement::NotYet(format!("{id} is still there")),
                    }
                })
                .await
                .map_err(|mut trouble| {
                    trouble.verdict = meshproof_model::event::Verdict::Error;
                    trouble
                })?;
                context.ledger.forget(id);
            }
            let names: Vec<_> = self.ids.iter().map(ToString::to_string).collect();
            let detail = names.iter().map(|id| json!({"object": id, "result": "deleted"})).collect();
            Ok(Observed { summary: format!("{} deleted", names.join("; ")), detail, ..Observed::default() })
        }
        .boxed()
    }
}
