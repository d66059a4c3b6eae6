//! `end-connections: stopped`: connections to the nodes that were stopped end. A load balancer that probes its targets does so;
//! kube-proxy does not, and for two minutes would lead a new connection to the dead pod if it came from the port of an old one.

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
pub const WORD: Definition = Definition::action("end-connections", limits::ACTION, parse).says(Reference {
    summary: "Ends connections to the nodes that were stopped, as a load balancer does that has given them up. Only on a \
              cluster of meshproof's own.",
    subject: STOPPED,
    fields: &[],
    examples: &["end-connections: stopped"],
});

#[derive(Debug)]
struct End;

fn parse(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    stopped(subject)?;
    Ok(Box::new(End))
}

impl Word for End {
    fn name(&self) -> String {
        "end the connections to the stopped nodes, as a load balancer does".into()
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let nodes = context.ledger.stopped();
            for node in &nodes {
                context.outside.machines.forget(node).await?;
            }
            let summary = format!("nobody waits for {} node(s) any more", nodes.len());
            let detail = json!({"measured": {"nodes": nodes}});
            Ok(Observed { summary, detail, ..Observed::default() })
        }
        .boxed()
    }
}
