//! `given: implementation`, `install: implementation` and `uninstall: implementation`: the gateway under test, by its real
//! charts if it has any.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::InstallRequest;
use crate::word::{Definition, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};

/// The implementation as it comes, for scenarios that are not about its installation: it is installed if it is not there, and
/// stays for the next one.
pub const GIVEN: Definition = Definition::action("given", limits::INSTALL, parse_given);
/// Installs afresh: what an earlier run or `meshproof up` left is removed before the scenario begins. A second time in the
/// same scenario brings the releases to other values, or adds one that the first left out (`only: <release>`).
pub const INSTALL: Definition = Definition::action("install", limits::INSTALL, parse_install);
/// Removes every release of the implementation.
pub const UNINSTALL: Definition = Definition::action("uninstall", limits::INSTALL, parse_uninstall);

#[derive(Debug)]
struct Install(InstallRequest);

#[derive(Debug)]
struct Uninstall;

#[derive(Debug)]
struct Given;

fn implementation(subject: &Node) -> Result<(), Problem> {
    match subject.text()? {
        "implementation" => Ok(()),
        other => Err(subject.problem(format!("cannot install `{other}`")).help("write `implementation`")),
    }
}

fn parse_install(
    subject: &Node,
    fields: &mut Fields<'_>,
    scope: &Scope<'_>,
) -> Result<Box<dyn Word>, Problem> {
    implementation(subject)?;
    let mut values = serde_json::Map::new();
    if let Some(node) = fields.take("values") {
        // By release; each release's values as its chart wants them.
        let mut releases = node.fields()?;
        for release in &scope.implementation.releases {
            if let Some(own) = releases.take(&release.name) {
                own.fields()?;
                values.insert(release.name.clone(), own.value());
            }
        }
        releases.finish()?;
    }
    let without_extension = fields.take("without-extension").map_or(Ok(false), Node::bool)?;
    let only = fields.take("only").map(Node::one_or_more).unwrap_or_default();
    let only = only.iter().map(|node| release(node, scope)).collect::<Result<_, _>>()?;
    let namespace = fields.take("namespace").map(Node::text).transpose()?.map(str::to_owned);
    let wait = fields.take("wait").map_or(Ok(true), Node::bool)?;
    let values = Value::Object(values);
    Ok(Box::new(Install(InstallRequest { values, without_extension, only, namespace, wait })))
}

/// The name of one of the implementation's releases.
fn release(node: &Node, scope: &Scope<'_>) -> Result<String, Problem> {
    let name = node.text()?;
    let known: Vec<_> = scope.implementation.releases.iter().map(|release| release.name.as_str()).collect();
    if known.contains(&name) {
        return Ok(name.to_owned());
    }
    let problem = node.problem(format!("there is no release `{name}`"));
    Err(problem.help(format!("releases of {}: {}", scope.implementation.name, known.join(", "))))
}

fn parse_given(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    implementation(subject)?;
    Ok(Box::new(Given))
}

fn parse_uninstall(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    implementation(subject)?;
    Ok(Box::new(Uninstall))
}

impl Word for Install {
    fn name(&self) -> String {
        let what = match self.0.only.as_slice() {
            [] => "the implementation".to_owned(),
            only => only.join(" and "),
        };
        let extension = if self.0.without_extension { ", without its extension" } else { "" };
        let namespace = self.0.namespace.iter().map(|namespace| format!(", in namespace {namespace}"));
        format!("install {what}{extension}{}", namespace.collect::<String>())
    }

    fn installs(&self) -> bool {
        true
    }

    fn installs_into(&self) -> Option<&str> {
        self.0.namespace.as_deref()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            // Noted first: an install that stops half-way has to be undone as well.
            context.ledger.note(Entry::Installed);
            let releases = context.outside.installer.install(&self.0).await?;
            let detail = releases.iter().cloned().map(Value::String).collect();
            Ok(Observed { summary: releases.join("; "), detail, ..Observed::default() })
        }
        .boxed()
    }
}

impl Word for Given {
    fn name(&self) -> String {
        "the implementation is installed".into()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let releases = context.outside.installer.ensure().await?;
            let detail = releases.iter().cloned().map(Value::String).collect();
            Ok(Observed { summary: releases.join("; "), detail, ..Observed::default() })
        }
        .boxed()
    }
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
