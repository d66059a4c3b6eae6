//! `start-node: stopped`: the nodes that were stopped get their power back, and are awaited until they are Ready.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::stop_node::{STOPPED, stopped};
use crate::context::{Context, Trouble};
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};

/// The word.
pub const WORD: Definition = Definition::action("start-node", limits::INSTALL, parse).says(Reference {
    summary: "Starts the nodes that were stopped, and waits until they are Ready. Only on a cluster of meshproof's own.",
    subject: STOPPED,
    fields: &[],
    examples: &["start-node: stopped"],
});

#[derive(Debug)]
struct Start;

fn parse(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    stopped(subject)?;
    Ok(Box::new(Start))
}

impl Word for Start {
    fn name(&self) -> String {
        "start the stopped nodes".into()
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let nodes = context.ledger.stopped();
            for node in &nodes {
                context.outside.machines.start(node).await?;
                context.ledger.started(node);
            }
            let summary = format!("{} node(s) started and Ready", nodes.len());
            let detail = json!({"measured": {"nodes": nodes}});
            Ok(Observed { summary, detail, ..Observed::default() })
        }
        .boxed()
    }
}
