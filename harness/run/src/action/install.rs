//! `install: implementation`: the gateway under test, by its real charts if it has any. What an earlier run or `meshproof up` left
//! is removed before the scenario begins. A second time in the same scenario brings the releases to other values, or adds one that
//! the first left out (`only: <release>`).

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::InstallRequest;
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("install", limits::INSTALL, parse).says(Reference {
    summary: "Installs the gateway under test afresh; a second time in a scenario brings it to other values, or adds a release.",
    subject: IMPLEMENTATION,
    fields: &[
        Field::optional("values", Type::Names(&Type::Object), "Values of the releases' charts, by release, over those of its file.")
            .or("those of its file"),
        Field::optional("only", Type::OneOrMore(&Type::Text), "Releases to install.").or("all"),
        Field::optional("without-extension", Type::Bool, "Leaves out the releases that are in the mesh.").or("false"),
        Field::optional("namespace", Type::Text, "Namespace to install into.").or("that of each release"),
        Field::optional("wait", Type::Bool, "Waits until the releases are ready.").or("true"),
    ],
    examples: &[
        "install: implementation\nwait: false",
        "install: implementation\nvalues: {alb-controller: {replicas: 3}}\nonly: alb-controller\nnamespace: helm-namespace",
        "install: implementation\nwithout-extension: true",
    ],
});

/// What stands at a word about the gateway under test.
pub(super) const IMPLEMENTATION: Type = Type::OneOf(&["implementation"]);

#[derive(Debug)]
struct Install(InstallRequest);

/// The gateway under test.
///
/// # Errors
/// Anything but `implementation`.
pub(super) fn implementation(subject: &Node) -> Result<(), Problem> {
    match subject.text()? {
        "implementation" => Ok(()),
        other => Err(subject.problem(format!("cannot install `{other}`")).help("write `implementation`")),
    }
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
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
    let (values, edition) = (Value::Object(values), scope.edition.to_owned());
    Ok(Box::new(Install(InstallRequest { values, without_extension, only, namespace, wait, edition })))
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
