//! Scenarios that break the world on purpose: which step has to fail, and how.

use super::{Expects, must_fail};
use meshproof_model::scenario::node::{Data, Node, Problem};

pub(super) fn expects(node: &Node) -> Result<Expects, Problem> {
    let mut fields = node.fields()?;
    let verdict = fields.need("verdict")?;
    if verdict.text()? != "failed" {
        return Err(verdict.problem("only `failed` can be expected").help("leave `expects` out otherwise"));
    }
    let step = fields.need("step")?.text()?.to_owned();
    let diagnosis = fields.need("diagnosis")?.text()?.to_owned();
    fields.need("sees")?;
    fields.finish()?;
    Ok(Expects { diagnosis, step })
}

/// The steps of a scenario that breaks the world on purpose: the one that has to fail is said to.
pub(super) fn breaking(steps: &Node, said: &Node, expects: &Expects) -> Result<Node, Problem> {
    let (Data::Map(fields), Some(place)) = (&said.data, said.get("step")) else {
        return Err(said.problem("what is to fail, and how?"));
    };
    let with = fields.iter().filter(|(key, _)| matches!(key.name.as_str(), "diagnosis" | "sees")).cloned();
    let with: Vec<_> = with.collect();
    let label = |step: &Node| step.get("as").and_then(|node| node.text().ok()).map(str::to_owned);
    let mut list = steps.list()?.to_vec();
    let Some(step) = list.iter_mut().find(|step| label(step).as_ref() == Some(&expects.step)) else {
        let labels: Vec<String> = steps.list()?.iter().filter_map(label).collect();
        let help = match labels.is_empty() {
            true => format!("give the step that fails a label: `as: {}`", expects.step),
            false => format!("labels there are: {}", labels.join(", ")),
        };
        return Err(place.problem(format!("no step has the label `{}`", expects.step)).help(help));
    };
    *step = must_fail::onto(step, said, with)?;
    Ok(Node { data: Data::List(list), span: steps.span.clone() })
}
