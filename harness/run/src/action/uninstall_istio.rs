//! `uninstall-istio: istio-system`: the control planes of these namespaces are removed. Undone at the end.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::context::{Context, Trouble};
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::action("uninstall-istio", limits::INSTALL, parse).says(Reference {
    summary: "Removes Istio's control planes from these namespaces. Only on a cluster of meshproof's own; undone at the end.",
    subject: Type::OneOrMore(&Type::Form("\\S", "a namespace")),
    fields: &[],
    examples: &["uninstall-istio: istio-system", "uninstall-istio: [istio-system, second-istio]"],
});

#[derive(Debug)]
struct Uninstall(Vec<String>);

fn parse(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespaces = subject.one_or_more().iter().map(|node| node.text().map(str::to_owned));
    Ok(Box::new(Uninstall(namespaces.collect::<Result<_, _>>()?)))
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
