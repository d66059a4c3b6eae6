//! `rotate-root: istio-system`: the root of Istio's certificates is replaced while everything runs, as its operator would with
//! plugged-in CA certificates. First old and new are trusted, then the new one issues, then the old one is trusted no more; a
//! stage ends when every sidecar has followed, which it does when it renews its certificate. Undone at the end.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::action("rotate-root", limits::ACTION, parse).says(Reference {
    summary: "Replaces the root of Istio's certificates while everything runs, as its operator would with plugged-in CA certificates: both are trusted, the new one issues, the old one goes. Only on a cluster of meshproof's own; undone at the end.",
    subject: Type::Form("\\S", "the namespace of Istio"),
    fields: &[],
    examples: &[
        "rotate-root: istio-system",
    ],
});

#[derive(Debug)]
struct Rotate {
    namespace: String,
}

fn parse(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    Ok(Box::new(Rotate { namespace: subject.text()?.to_owned() }))
}

impl Word for Rotate {
    fn name(&self) -> String {
        format!("replace the root of Istio in {}", self.namespace)
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            // Noted first: a change that stops half-way has to be undone as well.
            context.ledger.note(Entry::Root(self.namespace.clone()));
            let stages = context.outside.mesh.rotate_root(&self.namespace).await?;
            Ok(Observed { summary: stages.join("; "), detail: json!(stages), ..Observed::default() })
        }
        .boxed()
    }
}
