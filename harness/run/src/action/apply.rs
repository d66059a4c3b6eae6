//! `apply: [namespace.yaml, gateway.yaml]`: server-side apply of manifests.

mod beside;

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use beside::Beside;

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::PortError;
use crate::word::{Definition, FILE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::manifest::{Manifest, Object};
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::placeholder::substitute;
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::action("apply", limits::ACTION, parse).says(Reference {
    summary: "Applies manifests (server-side apply), in the order of their objects. What it makes is removed at the end.",
    subject: Type::OneOrMore(&FILE),
    fields: &[],
    examples: &[
        "apply: [namespace.yaml, gateway.yaml]",
        "apply: route.yaml",
    ],
});

#[derive(Debug)]
struct Apply {
    manifests: Vec<Manifest>,
    /// What the gateway under test needs beside them, after everything else.
    beside: Vec<Beside>,
    /// Why objects of a kind are left out, by kind.
    left_out: BTreeMap<String, String>,
}

fn parse(subject: &Node, _: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let manifests =
        subject.one_or_more().iter().map(|node| scope.manifest(node)).collect::<Result<Vec<_>, _>>()?;
    if manifests.is_empty() {
        return Err(subject.problem("nothing to apply"));
    }
    let beside = beside::all(scope.implementation, manifests.iter().flat_map(|manifest| &manifest.objects))?;
    let left_out = scope.implementation.waived.kinds.clone();
    Ok(Box::new(Apply { manifests, beside, left_out }))
}

impl Apply {
    fn objects(&self) -> impl Iterator<Item = &Object> {
        self.manifests.iter().flat_map(|manifest| &manifest.objects)
    }

    /// Applies an object; says what came of it.
    async fn one(context: &mut Context<'_>, object: &Object) -> Result<(String, String), Trouble> {
        let value = substitute(&object.value, &context.outside.placeholders).map_err(|name| {
            PortError::new(format!("applying {}", object.id), format!("placeholder ${{{name}}} has no value"))
        })?;
        let applied = context.outside.objects.apply(&object.id, &value).await?;
        if let Some(refused) = &applied.refused {
            context.not_yet(&format!("{} was refused at first: {refused}", object.id));
        }
        let result = if applied.created { "created" } else { "configured" };
        if applied.created {
            context.ledger.note(Entry::Created(object.id.clone(), applied.uid));
        }
        Ok((object.id.to_string(), result.to_owned()))
    }

    /// Why the implementation wants no such object.
    fn left_out(&self, id: &ObjectRef) -> Option<&str> {
        self.left_out.get(id.kind.word).map(String::as_str)
    }
}

impl Word for Apply {
    fn name(&self) -> String {
        format!("apply {}", self.manifests.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "))
    }

    fn creates(&self) -> Vec<ObjectRef> {
        let wanted = self.objects().filter(|object| self.left_out(&object.id).is_none());
        wanted
            .chain(self.beside.iter().map(|beside| &beside.object))
            .map(|object| object.id.clone())
            .collect()
    }

    fn applies(&self) -> Vec<&serde_json::Value> {
        let wanted = self.objects().filter(|object| self.left_out(&object.id).is_none());
        wanted.chain(self.beside.iter().map(|beside| &beside.object)).map(|object| &object.value).collect()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let mut done = Vec::new();
            for object in self.objects() {
                if let Some(because) = self.left_out(&object.id) {
                    done.push((object.id.to_string(), format!("left out: {because}")));
                    continue;
                }
                done.push(Self::one(context, object).await?);
            }
            for beside in &self.beside {
                if beside.is_wanted(context.outside.objects.as_ref()).await? {
                    let (id, result) = Self::one(context, &beside.object).await?;
                    done.push((id, format!("{result} for the gateway")));
                }
            }
            let summary =
                done.iter().map(|(id, result)| format!("{id} {result}")).collect::<Vec<_>>().join("; ");
            let detail = done.iter().map(|(id, result)| json!({"object": id, "result": result})).collect();
            Ok(Observed { summary, detail, ..Observed::default() })
        }
        .boxed()
    }
}
