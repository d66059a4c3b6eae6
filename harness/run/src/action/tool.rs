//! `kubectl: get gateway gateway-01 -n test-infra` and `helm: list -A`: a command of the document, literally. With `fails:
//! NotFound` it must fail, and say so: this is how an erratum's literal text is shown not to hold. With `says: alb-controller`
//! that is part of what it prints. `${charts.<release>}` stands for a chart of the implementation.

mod reads;

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::made;
use crate::context::{Context, Trouble};
use crate::ports::{Tool, ToolOutput};
use crate::word::Word;
use meshproof_model::event::Observed;
use meshproof_model::scenario::node::{Data, Fields, Node, Problem};
use meshproof_model::scenario::placeholder::fill_text;
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

/// What stands at the words.
pub(super) const ARGUMENTS: Type =
    Type::Any(&[Type::Form("\\S", "arguments as in a shell"), Type::List(&Type::Text)]);

/// Their other fields.
pub(super) const FIELDS: &[Field] = &[
    Field::at_most_one("fails", Type::Text, "It must fail, and say this on standard error."),
    Field::at_most_one("says", Type::Text, "It must succeed, and print this."),
];

#[derive(Debug)]
struct Command {
    tool: Tool,
    args: Vec<String>,
    /// The arguments as they are told.
    written: String,
    fails: Option<String>,
    says: Option<String>,
}

/// Reads a command.
///
/// # Errors
/// No arguments, or some that lead to another cluster.
pub(super) fn parse(tool: Tool, subject: &Node, fields: &mut Fields<'_>) -> Result<Box<dyn Word>, Problem> {
    let (args, written) = arguments(subject)?;
    if args.is_empty() {
        return Err(subject.problem("no arguments"));
    }
    if let Some(flag) = reads::leads_elsewhere(&args) {
        let problem = subject.problem(format!("`{flag}` leads to another cluster than that of the run"));
        return Err(problem.help("leave it out: the tools know the run's cluster"));
    }
    let fails = fields.take("fails").map(stated::text).transpose()?.map(str::to_owned);
    let says = fields.take("says").map(stated::text).transpose()?.map(str::to_owned);
    if fails.is_some() && says.is_some() {
        let problem = subject.problem("what fails says only why");
        return Err(problem.help("leave `says` out"));
    }
    Ok(Box::new(Command { tool, args, written, fails, says }))
}

/// The arguments, and how they are told: a list as it is, a text as a shell takes it apart, quotes and all.
fn arguments(subject: &Node) -> Result<(Vec<String>, String), Problem> {
    if let Data::List(list) = &subject.data {
        let args = list.iter().map(|node| node.text().map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
        let written = args.join(" ");
        return Ok((args, written));
    }
    let text = subject.text()?;
    let args = shlex::split(text).ok_or_else(|| {
        let problem = subject.problem("a quote or a backslash at the end is left open");
        problem.help("write it as in a shell, or as a list of arguments")
    })?;
    Ok((args, text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

impl Command {
    /// The arguments with values for placeholders; what is told of the command has none of them, for it is the same on every
    /// machine.
    fn args(&self, values: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
        let value = |name: &str| values.get(name).cloned();
        self.args.iter().map(|arg| fill_text(arg, &value)).collect()
    }

    /// Whether it changes nothing, whatever comes of it.
    fn only_reads(&self) -> bool {
        reads::only_reads(self.tool, &self.args)
    }

    fn is_as_wanted(&self, output: &ToolOutput) -> bool {
        match (&self.fails, &self.says) {
            (Some(why), _) => output.code != 0 && output.stderr.contains(why.as_str()),
            (None, Some(says)) => output.code == 0 && output.stdout.contains(says.as_str()),
            (None, None) => output.code == 0,
        }
    }

    fn line(&self) -> String {
        let tool = match self.tool {
            Tool::Kubectl => "kubectl",
            Tool::Helm => "helm",
        };
        format!("{tool} {}", self.written)
    }
}

impl Word for Command {
    fn name(&self) -> String {
        match &self.fails {
            Some(why) => format!("{} (must fail: {why})", self.line()),
            None => self.line(),
        }
    }

    /// What literal commands change is not known beforehand.
    fn needs_own_cluster(&self) -> bool {
        !self.only_reads()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let args = self.args(&context.outside.placeholders).map_err(|name| {
                let doing = format!("filling in {}", self.line());
                Trouble::error(
                    doing,
                    "a value for each placeholder",
                    format!("there is none for ${{{name}}}"),
                )
            })?;
            let output = context.outside.tools.run(self.tool, &args).await?;
            if !self.only_reads() {
                made::note(context, &output.stdout).await?;
            }
            let last = |text: &str| text.trim_end().rsplit('\n').next().unwrap_or_default().to_owned();
            let seen = match output.code {
                0 => last(&output.stdout),
                code => format!("exit code {code}: {}", last(&output.stderr)),
            };
            if !self.is_as_wanted(&output) {
                let expected = match (&self.fails, &self.says) {
                    (None, None) => "exit code 0".to_owned(),
                    (None, Some(says)) => format!("exit code 0, and to read `{says}`"),
                    (Some(why), _) => format!("a failure that says `{why}`"),
                };
                return Err(Trouble::failed(format!("running {}", self.line()), expected, seen));
            }
            let detail = json!({"command": self.line(), "exit_code": output.code, "last_line": seen});
            Ok(Observed { summary: seen, detail, ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use meshproof_model::scenario::node::Source;
    use meshproof_model::scenario::parse::document;

    fn command(fails: Option<&str>, says: Option<&str>) -> Command {
        let args = vec!["lint".to_owned(), "${charts.c}/x".to_owned()];
        let (fails, says) = (fails.map(Into::into), says.map(Into::into));
        Command { tool: Tool::Helm, written: args.join(" "), args, fails, says }
    }

    fn output(code: i32, stdout: &str, stderr: &str) -> ToolOutput {
        ToolOutput { code, stdout: stdout.into(), stderr: stderr.into(), took: Duration::ZERO }
    }

    #[test]
    fn what_is_printed_can_be_asked_for() {
        let right = output(0, "a\nb\n", "");
        assert!(command(None, None).is_as_wanted(&right));
        assert!(command(None, Some("b")).is_as_wanted(&right));
        assert!(!command(None, Some("c")).is_as_wanted(&right));
        let wrong = output(1, "b\n", "NotFound");
        assert!(!command(None, Some("b")).is_as_wanted(&wrong));
        assert!(command(Some("NotFound"), None).is_as_wanted(&wrong));
        assert!(!command(Some("Forbidden"), None).is_as_wanted(&wrong));
        assert!(!command(Some("NotFound"), None).is_as_wanted(&output(0, "", "NotFound")));
    }

    #[test]
    fn what_is_told_names_no_path_of_this_machine() {
        let values = BTreeMap::from([("charts.c".to_owned(), "/charts/c".to_owned())]);
        assert_eq!(command(None, None).args(&values).unwrap(), ["lint", "/charts/c/x"]);
        assert_eq!(command(None, None).args(&BTreeMap::new()), Err("charts.c".to_owned()));
        assert_eq!(command(None, None).line(), "helm lint ${charts.c}/x");
    }

    #[test]
    fn arguments_are_taken_apart_as_a_shell_does() {
        let split = |text: &str| {
            let source = Source { path: "s.yaml".into(), text: text.into() };
            arguments(&document(&Arc::new(source)).unwrap())
        };
        let of = |text: &str| split(text).unwrap();
        let (args, written) = of("get pods -o  jsonpath='{.items[*].metadata.name}' -l \"a in (b, c)\"");
        assert_eq!(args, ["get", "pods", "-o", "jsonpath={.items[*].metadata.name}", "-l", "a in (b, c)"]);
        assert_eq!(written, "get pods -o jsonpath='{.items[*].metadata.name}' -l \"a in (b, c)\"");
        assert_eq!(of("[get, \"a b\"]"), (vec!["get".to_owned(), "a b".to_owned()], "get a b".to_owned()));
        assert_eq!(of("status x --set provider=").0, ["status", "x", "--set", "provider="]);
        let error = split("get 'pods").unwrap_err();
        assert_eq!(error.to_string(), "s.yaml:1:1: a quote or a backslash at the end is left open");
    }
}
