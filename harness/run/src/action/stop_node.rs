//! `stop-node: {holder-of: lease/…}`: the machine of a pod loses its power. A node that is still without power at the end is
//! started again.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::kill::{VICTIM, Victim};
use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::word::{Definition, NAMESPACE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::action("stop-node", limits::ACTION, parse).says(Reference {
    summary: "The node of a pod loses its power. Only on a cluster of meshproof's own; a node that is still stopped at the end is \
              started again.",
    subject: Type::Map(VICTIM),
    fields: &[NAMESPACE],
    examples: &[
        "stop-node: {holder-of: lease/alb-controller}\nnamespace: azure-alb-system",
        "stop-node: {pod: alb-proxy-}",
    ],
});

/// What stands at a word about nodes that were stopped.
pub(super) const STOPPED: Type = Type::OneOf(&["stopped"]);

#[derive(Debug)]
struct Stop {
    namespace: String,
    of: Victim,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespace =
        fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace).to_owned();
    let mut which = subject.fields()?;
    let of = Victim::parse(&mut which, subject, &namespace)?;
    which.finish()?;
    Ok(Box::new(Stop { namespace, of }))
}

/// Nodes that a step has stopped.
///
/// # Errors
/// Anything but `stopped`.
pub(super) fn stopped(subject: &Node) -> Result<(), Problem> {
    match subject.text()? {
        "stopped" => Ok(()),
        other => Err(subject.problem(format!("`{other}` is no node to do this to")).help("write `stopped`")),
    }
}

impl Word for Stop {
    fn name(&self) -> String {
        format!("stop the node of {} in {}", self.of.in_words(), self.namespace)
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let pod = self.of.find(context, &self.namespace).await?;
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
            context.ledger.note(Entry::Stopped(node.clone()));
            context.outside.machines.stop(&node).await?;
            // Which of them it is differs from run to run.
            let detail = json!({"measured": {"node": node}});
            Ok(Observed { summary: "its node stopped".into(), detail, ..Observed::default() })
        }
        .boxed()
    }
}
