//! `kubectl: get gateway gateway-01 -n test-infra` and `helm: list -A`: a command of the document, literally. With `fails:
//! NotFound` it must fail, and say so: this is how an erratum's literal text is shown not to hold.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use crate::event::Observed;
use crate::ports::Tool;
use crate::runner::context::{Context, Trouble};
use crate::scenario::limits;
use crate::scenario::node::{Data, Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Word};

/// kubectl.
pub const KUBECTL: Definition =
    Definition::action("kubectl", limits::ACTION, |subject, fields, _: &Scope<'_>| {
        parse(Tool::Kubectl, subject, fields)
    });
/// helm.
pub const HELM: Definition = Definition::action("helm", limits::ACTION, |subject, fields, _: &Scope<'_>| {
    parse(Tool::Helm, subject, fields)
});

#[derive(Debug)]
struct Command {
    tool: Tool,
    args: Vec<String>,
    fails: Option<String>,
}

fn parse(tool: Tool, subject: &Node, fields: &mut Fields<'_>) -> Result<Box<dyn Word>, Problem> {
    let args: Vec<String> = match &subject.data {
        Data::List(list) => {
            list.iter().map(|node| node.text().map(str::to_owned)).collect::<Result<_, _>>()?
        }
        _ => subject.text()?.split_whitespace().map(str::to_owned).collect(),
    };
    if args.is_empty() {
        return Err(subject.problem("no arguments"));
    }
    let fails = fields.take("fails").map(Node::text).transpose()?.map(str::to_owned);
    Ok(Box::new(Command { tool, args, fails }))
}

impl Command {
    fn line(&self) -> String {
        let tool = match self.tool {
            Tool::Kubectl => "kubectl",
            Tool::Helm => "helm",
        };
        format!("{tool} {}", self.args.join(" "))
    }
}

impl Word for Command {
    fn name(&self) -> String {
        match &self.fails {
            Some(why) => format!("{} (must fail: {why})", self.line()),
            None => self.line(),
        }
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let output = context.outside.tools.run(self.tool, &self.args).await?;
            let last = |text: &str| text.trim_end().rsplit('\n').next().unwrap_or_default().to_owned();
            let seen = match output.code {
                0 => last(&output.stdout),
                code => format!("exit code {code}: {}", last(&output.stderr)),
            };
            let as_wanted = match &self.fails {
                None => output.code == 0,
                Some(why) => output.code != 0 && output.stderr.contains(why.as_str()),
            };
            if !as_wanted {
                let expected = match &self.fails {
                    None => "exit code 0".to_owned(),
                    Some(why) => format!("a failure that says `{why}`"),
                };
                return Err(Trouble::failed(format!("running {}", self.line()), expected, seen));
            }
            let detail = json!({"command": self.line(), "exit_code": output.code, "last_line": seen});
            Ok(Observed { summary: seen, detail, ..Observed::default() })
        }
        .boxed()
    }
}
