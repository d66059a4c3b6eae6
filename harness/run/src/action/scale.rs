//! `scale: deployment/alb-controller-istio-extension` with `to: 0`; undone at the end of the scenario.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::restart::{self, DEPLOYMENT};
use super::rollout;
use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::word::{Definition, NAMESPACE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("scale", limits::ACTION, parse).says(Reference {
    summary: "Scales a Deployment and waits for the end of the rollout; undone at the end.",
    subject: DEPLOYMENT,
    fields: &[NAMESPACE, Field::needed("to", Type::Number(0, 2_147_483_647), "Replicas.")],
    examples: &["scale: deployment/alb-controller-istio-extension\nnamespace: azure-alb-system\nto: 0"],
});

#[derive(Debug)]
struct Scale {
    id: ObjectRef,
    to: u32,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let id = restart::deployment(subject, fields, scope)?;
    let to = fields.need("to")?.number()?;
    Ok(Box::new(Scale { id, to }))
}

impl Word for Scale {
    fn name(&self) -> String {
        format!("scale {} to {}", self.id, self.to)
    }

    fn changes(&self) -> Vec<ObjectRef> {
        vec![self.id.clone()]
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let patch = json!({"spec": {"replicas": self.to}});
            let before = context.outside.objects.patch(&self.id, &patch).await?;
            let replicas = before["spec"]["replicas"].as_u64().unwrap_or(1);
            context.ledger.note(Entry::Patched(self.id.clone(), json!({"spec": {"replicas": replicas}})));
            rollout::wait(context, &self.id).await?;
            let summary = format!("{} scaled from {replicas} to {}", self.id, self.to);
            Ok(Observed { summary, ..Observed::default() })
        }
        .boxed()
    }
}
