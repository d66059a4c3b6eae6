//! `absent: secret/alb-controller-istio-extension-identity`: there is no such object.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::word::{Definition, NAMESPACE, OBJECT, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;

/// The word.
pub const WORD: Definition = Definition::claim("absent", Staying::Time, parse).says(Reference {
    summary: "There is no such object.",
    subject: OBJECT,
    fields: &[NAMESPACE],
    examples: &[
        "absent: secret/alb-controller-istio-extension-identity\nnamespace: azure-alb-system\nwithin: 5s",
    ],
});

#[derive(Debug)]
struct Absent(ObjectRef);

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    Ok(Box::new(Absent(ObjectRef { kind, namespace: kind.namespaced.then(|| namespace.to_owned()), name })))
}

impl Word for Absent {
    fn name(&self) -> String {
        format!("there is no {}", self.0)
    }

    fn about(&self) -> Option<ObjectRef> {
        Some(self.0.clone())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let id = &self.0;
            let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
            let held =
                becomes(context, &query, &format!("looking for {id}"), &self.name(), |objects| match objects
                    .is_empty()
                {
                    true => Judgement::Holds(()),
                    false => Judgement::NotYet(format!("{id} is there")),
                })
                .await?;
            let (became_ms, stayed) = (Some(held.became_ms), held.stayed);
            Ok(Observed { summary: self.name(), became_ms, stayed, ..Observed::default() })
        }
        .boxed()
    }
}
