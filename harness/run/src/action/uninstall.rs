//! `uninstall: implementation`: every release of the gateway under test is removed.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::install::{IMPLEMENTATION, implementation};
use crate::context::{Context, Trouble};
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};

/// The word.
pub const WORD: Definition = Definition::action("uninstall", limits::INSTALL, parse).says(Reference {
    summary: "Removes every release of the gateway under test.",
    subject: IMPLEMENTATION,
    fields: &[],
    examples: &["uninstall: implementation"],
});

#[derive(Debug)]
struct Uninstall;

fn parse(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    implementation(subject)?;
    Ok(Box::new(Uninstall))
}

impl Word for Uninstall {
    fn name(&self) -> String {
        "uninstall the implementation".into()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let gone = context.outside.installer.uninstall().await?;
            context.ledger.uninstalled();
            Ok(Observed { summary: gone.join("; "), ..Observed::default() })
        }
        .boxed()
    }
}
