//! The form of an access log.

use std::collections::BTreeMap;

use super::map;
use crate::implementation::{LogFields, LogFormat};
use crate::scenario::node::{Data, Node, Problem};

/// Reads the form; nothing if no log is kept that can be read.
pub(super) fn format(node: &Node) -> Result<Option<LogFormat>, Problem> {
    match &node.data {
        Data::Text(text) => match text.as_str() {
            "alb" => Ok(Some(LogFormat::Alb)),
            "istio" => Ok(Some(LogFormat::Istio)),
            "none" => Ok(None),
            other => {
                let problem = node.problem(format!("`{other}` is no access log that can be read"));
                Err(problem.help("alb, istio, none, or {fields: …}"))
            }
        },
        _ => Ok(Some(LogFormat::Fields(Box::new(fields(node)?)))),
    }
}

fn fields(node: &Node) -> Result<LogFields, Problem> {
    let mut own = node.fields().map_err(|problem| problem.help("alb, istio, none, or {fields: …}"))?;
    let named = own.need("fields")?;
    let mut known = named.fields()?;
    let mut fields = BTreeMap::new();
    for what in LogFields::KNOWN {
        if let Some(node) = known.take(what) {
            fields.insert(what.to_owned(), node.text()?.to_owned());
        }
    }
    known.finish()?;
    let has = |name: &str| fields.contains_key(name);
    if !has("status") || !(has("request-id") || has("traceparent")) {
        let problem = named.problem("a request could not be found in such a log");
        return Err(problem.help("`status` is needed, and `request-id` or `traceparent`"));
    }
    let reasons = own
        .take("reasons")
        .map_or(Ok(BTreeMap::new()), |node| map(Some(node), |_, node| node.text().map(str::to_owned)))?;
    own.finish()?;
    Ok(LogFields { fields, reasons })
}
