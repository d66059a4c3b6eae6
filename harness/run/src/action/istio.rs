//! `install-istio: istio-system` and `uninstall-istio: all`: for scenarios that begin without a mesh, or with one that is not
//! to be used. With `version: oldest` it is that one of the versions that can be had (`newest`, `oldest`, `too-old`, or a
//! number); a second one takes the place of the first, as an upgrade does. Undone at the end.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::MeshRequest;
use crate::word::{Definition, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::istio::{NEWEST, OLDEST, TOO_OLD, number};
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};

/// Installs a control plane into a namespace, under a `revision` and of a `version` if one is given.
pub const INSTALL: Definition = Definition::action("install-istio", limits::INSTALL, parse_install);
/// Removes every control plane that the scenario installed.
pub const UNINSTALL: Definition = Definition::action("uninstall-istio", limits::INSTALL, parse_uninstall);

#[derive(Debug)]
struct Install(MeshRequest);

#[derive(Debug)]
struct Uninstall(Vec<String>);

fn parse_install(subject: &Node, fields: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespace = subject.text()?.to_owned();
    let revision = fields.take("revision").map(Node::text).transpose()?.map(str::to_owned);
    let version = fields.take("version").map(version).transpose()?;
    Ok(Box::new(Install(MeshRequest { namespace, revision, version })))
}

/// A key, or a number.
fn version(node: &Node) -> Result<String, Problem> {
    let text = node.text()?;
    if [NEWEST, OLDEST, TOO_OLD].contains(&text) || number(text).is_some() {
        return Ok(text.to_owned());
    }
    let problem = node.problem(format!("`{text}` is no version of Istio"));
    Err(problem.help(format!("{}, {}, {} or a number", NEWEST, OLDEST, TOO_OLD)))
}

fn parse_uninstall(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespaces = subject.one_or_more().iter().map(|node| node.text().map(str::to_owned));
    Ok(Box::new(Uninstall(namespaces.collect::<Result<_, _>>()?)))
}

impl Word for Install {
    fn name(&self) -> String {
        let MeshRequest { namespace, revision, version } = &self.0;
        let revision = revision.iter().map(|revision| format!(" as revision {revision}"));
        let version = version.iter().map(|version| format!(", version {version}"));
        format!("install Istio into {namespace}{}", revision.chain(version).collect::<String>())
    }

    fn istio(&self) -> Option<&str> {
        self.0.version.as_deref()
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            // Noted first: an install that stops half-way has to be undone as well.
            context.ledger.note(Entry::Mesh(self.0.namespace.clone()));
            let summary = context.outside.mesh.install(&self.0).await?;
            Ok(Observed { summary, ..Observed::default() })
        }
        .boxed()
    }
}

impl Word for Uninstall {
    fn name(&self) -> String {
        format!("uninstall Istio from {}", self.0.join(", "))
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            context.outside.mesh.uninstall(&self.0).await?;
            context.ledger.mesh_uninstalled();
            Ok(Observed { summary: "Istio is gone".into(), ..Observed::default() })
        }
        .boxed()
    }
}
