//! `install-istio: istio-system`: for scenarios that begin without a mesh, or with one that is not
//! to be used. With `version: oldest` it is that one of the versions that can be had (`newest`, `oldest`, `too-old`, or a
//! number); a second one takes the place of the first, as an upgrade does. Undone at the end.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::MeshRequest;
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::istio::{NEWEST, OLDEST, TOO_OLD, number};
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("install-istio", limits::INSTALL, parse).says(Reference {
    summary: "Installs an Istio control plane into a namespace; one that the scenario has installed before is replaced, as by an \
              upgrade. Only on a cluster of meshproof's own; undone at the end.",
    subject: Type::Form("\\S", "a namespace"),
    fields: &[
        Field::optional("revision", Type::Text, "Revision of the control plane.").or("none, the default one"),
        Field::optional(
            "version",
            Type::Any(&[Type::OneOf(&[NEWEST, OLDEST, TOO_OLD]), Type::Form("^\\d+\\.\\d+", "a number such as `1.24.0`")]),
            "Version of Istio: one of those that can be had, by key, or a number.",
        )
        .or("that of the cluster"),
    ],
    examples: &["install-istio: istio-system\nversion: oldest", "install-istio: second-istio\nrevision: canary"],
});

#[derive(Debug)]
struct Install(MeshRequest);

fn parse(subject: &Node, fields: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
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
