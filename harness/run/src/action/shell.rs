//! `shell: install.sh`: the commands of a file in the scenario's folder, literally, in a shell. What of them only the vendor's
//! cloud has is in a table (`substitute: substitutions.yaml`, see [`crate::word::substitution`]). With `fails: NotFound`
//! something must fail and say so; with `says: …` the output must.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::made;
use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::{PortError, Script, ToolOutput};
use crate::word::substitution::{Here, Substitutions};
use crate::word::{Definition, FILE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::{limits, stated};
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("shell", limits::ACTION, parse).says(Reference {
    summary: "Runs the commands of a file literally, in a shell. Only on a cluster of meshproof's own.",
    subject: FILE,
    fields: &[
        Field::optional("substitute", FILE, "A table of what only the vendor's cloud has, and what stands for it here: a list of `{printed, here or manifest, because}`.").or("nothing is replaced"),
        Field::at_most_one("says", Type::Text, "They must succeed, and a line of their output says this."),
        Field::at_most_one("fails", Type::Text, "Something must fail, and a line on standard error says this."),
    ],
    examples: &[
        "shell: install.sh\nsubstitute: substitutions.yaml\nsays: deployed",
        "shell: show-gateway.sh\nfails: NotFound",
    ],
});

#[derive(Debug)]
struct Shell {
    file: String,
    text: String,
    substitutions: Substitutions,
    outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The last command ends well.
    Succeeds,
    /// It does, and one line holds this.
    Says(String),
    /// A line on standard error holds this.
    Fails(String),
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (file, _, text) = scope.file(subject)?;
    let table = fields.take("substitute").map(|node| Substitutions::read(node, scope)).transpose()?;
    let text_of =
        |node: Option<&Node>| node.map(stated::text).transpose().map(|text| text.map(str::to_owned));
    let outcome = match (text_of(fields.take("says"))?, text_of(fields.take("fails"))?) {
        (None, None) => Outcome::Succeeds,
        (Some(says), None) => Outcome::Says(says),
        (None, Some(fails)) => Outcome::Fails(fails),
        (Some(_), Some(_)) => return Err(subject.problem("commands end well or fail, not both")),
    };
    Ok(Box::new(Shell { file, text, substitutions: table.unwrap_or_default(), outcome }))
}

impl Shell {
    /// What was seen of it, or what was expected and seen instead.
    fn judge(&self, output: &ToolOutput) -> Result<String, (String, String)> {
        // Columns are as wide as the names in them: another width in each run.
        let narrow = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = |text: &str, what: &str| text.lines().find(|line| line.contains(what)).map(narrow);
        let last = |text: &str| text.trim_end().rsplit('\n').next().unwrap_or_default().to_owned();
        let failed = || format!("exit code {}: {}", output.code, last(&output.stderr));
        match &self.outcome {
            Outcome::Fails(why) => {
                let found = line(&output.stderr, why).filter(|_| output.code != 0);
                found.map(|line| format!("exit code {}: {line}", output.code)).ok_or_else(|| {
                    let seen = if output.code == 0 { last(&output.stdout) } else { failed() };
                    (format!("a failure that says `{why}`"), seen)
                })
            }
            _ if output.code != 0 => Err(("exit code 0".to_owned(), failed())),
            Outcome::Succeeds => Ok(last(&output.stdout)),
            Outcome::Says(what) => line(&output.stdout, what)
                .ok_or_else(|| (format!("an output that says `{what}`"), last(&output.stdout))),
        }
    }
}

impl Word for Shell {
    fn name(&self) -> String {
        match &self.outcome {
            Outcome::Fails(why) => format!("run {} (must fail: {why})", self.file),
            _ => format!("run {}", self.file),
        }
    }

    /// The objects of manifests that are put in for what is printed, and nothing else: what a command says by itself is
    /// the scenario's to remove.
    fn creates(&self) -> Vec<ObjectRef> {
        let manifests = self.substitutions.of(&self.text).filter_map(|row| match &row.here {
            Here::Manifest(manifest) => Some(manifest),
            Here::Text(_) => None,
        });
        manifests.flat_map(|manifest| &manifest.objects).map(|object| object.id.clone()).collect()
    }

    /// What literal commands overwrite is not known beforehand.
    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let substituted = self.substitutions.apply(&self.text, &context.outside.placeholders);
            let substituted = substituted.map_err(|name| {
                PortError::new(
                    format!("running {}", self.file),
                    format!("placeholder ${{{name}}} has no value"),
                )
            })?;
            // Noted first: commands that stop half-way have to be undone as well.
            self.creates().into_iter().for_each(|id| context.ledger.note(Entry::Named(id)));
            let script = Script { text: substituted.text, files: substituted.files };
            let output = context.outside.tools.shell(&script).await?;
            made::note(context, &output.stdout).await?;
            let seen = self.judge(&output).map_err(|(expected, seen)| {
                Trouble::failed(format!("running {}", self.file), expected, seen)
            })?;
            let commands: Vec<_> = self.text.lines().filter(|line| !line.trim().is_empty()).collect();
            let mut detail = json!({"commands": commands, "exit_code": output.code});
            if !substituted.replaced.is_empty() {
                detail["replaced"] = json!(substituted.replaced);
            }
            Ok(Observed { summary: seen, detail, ..Observed::default() })
        }
        .boxed()
    }
}
