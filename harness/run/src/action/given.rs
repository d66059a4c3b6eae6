//! `given: implementation`: the gateway under test is installed, by its real charts if it has any. For scenarios that are not
//! about its installation: it is installed if it is not there, and stays for the next one.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::install::{IMPLEMENTATION, implementation};
use crate::context::{Context, Trouble};
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};

/// The word.
pub const WORD: Definition = Definition::action("given", limits::INSTALL, parse).says(Reference {
    summary: "The gateway under test is there: it is installed if it is not, and stays for the next scenario.",
    subject: IMPLEMENTATION,
    fields: &[],
    examples: &["given: implementation"],
});

#[derive(Debug)]
struct Given {
    edition: String,
}

fn parse(subject: &Node, _: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    implementation(subject)?;
    Ok(Box::new(Given { edition: scope.edition.to_owned() }))
}

impl Word for Given {
    fn name(&self) -> String {
        "the implementation is installed".into()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let releases = context.outside.installer.ensure(&self.edition).await?;
            let detail = releases.iter().cloned().map(Value::String).collect();
            Ok(Observed { summary: releases.join("; "), detail, ..Observed::default() })
        }
        .boxed()
    }
}
