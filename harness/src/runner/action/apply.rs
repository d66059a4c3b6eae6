//! `apply: [namespace.yaml, gateway.yaml]`: server-side apply of manifests.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use crate::event::Observed;
use crate::ports::{Applied, ObjectRef, PortError};
use crate::runner::context::{Context, Trouble};
use crate::runner::ledger::Entry;
use crate::scenario::limits;
use crate::scenario::manifest::{Manifest, substitute};
use crate::scenario::node::{Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Word};

/// The word.
pub const WORD: Definition = Definition::action("apply", limits::ACTION, parse);

#[derive(Debug)]
struct Apply(Vec<Manifest>);

fn parse(subject: &Node, _: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let manifests =
        subject.one_or_more().iter().map(|node| scope.manifest(node)).collect::<Result<Vec<_>, _>>()?;
    if manifests.is_empty() {
        return Err(subject.problem("nothing to apply"));
    }
    Ok(Box::new(Apply(manifests)))
}

impl Word for Apply {
    fn name(&self) -> String {
        format!("apply {}", self.0.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "))
    }

    fn creates(&self) -> Vec<ObjectRef> {
        self.0.iter().flat_map(|manifest| &manifest.objects).map(|object| object.id.clone()).collect()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let mut done = Vec::new();
            for object in self.0.iter().flat_map(|manifest| &manifest.objects) {
                let value = substitute(&object.value, &context.outside.placeholders).map_err(|name| {
                    PortError::new(
                        format!("applying {}", object.id),
                        format!("placeholder ${{{name}}} has no value"),
                    )
                })?;
                let applied = context.outside.objects.apply(&object.id, &value).await?;
                let result = match applied {
                    Applied::Created => {
                        context.ledger.note(Entry::Created(object.id.clone()));
                        "created"
                    }
                    Applied::Configured => "configured",
                };
                done.push((object.id.to_string(), result));
            }
            let summary =
                done.iter().map(|(id, result)| format!("{id} {result}")).collect::<Vec<_>>().join("; ");
            let detail = done.iter().map(|(id, result)| json!({"object": id, "result": result})).collect();
            Ok(Observed { summary, detail, ..Observed::default() })
        }
        .boxed()
    }
}
