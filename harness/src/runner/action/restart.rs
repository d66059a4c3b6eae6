//! `restart: deployment/alb-controller-istio-extension`: what `kubectl rollout restart` does, and the rollout's end.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::rollout;
use crate::event::Observed;
use crate::ports::ObjectRef;
use crate::runner::context::{Context, Trouble};
use crate::scenario::kinds::Kind;
use crate::scenario::limits;
use crate::scenario::node::{Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Word};

/// The word.
pub const WORD: Definition = Definition::action("restart", limits::ACTION, parse);

#[derive(Debug)]
struct Restart(ObjectRef);

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    Ok(Box::new(Restart(deployment(subject, fields, scope)?)))
}

/// Reads the Deployment a step is about.
pub(super) fn deployment(
    subject: &Node,
    fields: &mut Fields<'_>,
    scope: &Scope<'_>,
) -> Result<ObjectRef, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    if kind.word != "deployment" {
        return Err(subject
            .problem(format!("a {} cannot be rolled out", kind.word))
            .help("name a deployment"));
    }
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    Ok(ObjectRef { kind, namespace: Some(namespace.to_owned()), name })
}

impl Word for Restart {
    fn name(&self) -> String {
        format!("restart {}", self.0)
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let now = jiff::Timestamp::now().to_string();
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
            let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
            context.outside.objects.patch(&self.0, &patch).await?;
            rollout::wait(context, &self.0).await?;
            Ok(Observed { summary: format!("{} restarted", self.0), ..Observed::default() })
        }
        .boxed()
    }
}
