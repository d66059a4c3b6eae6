//! `stop-node: {holder-of: lease/…}`, `end-connections: stopped` and `start-node: stopped`: a machine loses its power, the load
//! balancer gives it up, and it gets its power back. A node that is still without power at the end is started again.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::kill::Victim;
use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::word::{Definition, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};

/// Stops the node of a pod.
pub const STOP: Definition = Definition::action("stop-node", limits::ACTION, parse_stop);
/// Ends connections to the nodes that were stopped. A load balancer that probes its targets does so; kube-proxy does not, and
/// for two minutes would lead a new connection to the dead pod if it came from the port of an old one.
pub const END: Definition = Definition::action("end-connections", limits::ACTION, parse_end);
/// Starts the nodes that were stopped, and waits until they are Ready.
pub const START: Definition = Definition::action("start-node", limits::INSTALL, parse_start);

#[derive(Debug)]
struct Stop {
    namespace: String,
    of: Victim,
}

#[derive(Debug)]
struct End;

#[derive(Debug)]
struct Start;

fn parse_stop(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespace =
        fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace).to_owned();
    let mut which = subject.fields()?;
    let of = Victim::parse(&mut which, subject, &namespace)?;
    which.finish()?;
    Ok(Box::new(Stop { namespace, of }))
}

fn parse_end(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    stopped(subject)?;
    Ok(Box::new(End))
}

fn parse_start(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    stopped(subject)?;
    Ok(Box::new(Start))
}

fn stopped(subject: &Node) -> Result<(), Problem> {
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
