//! `event: ingress/web` with `becomes: {type: Warning, reason: …, message: …}`: Kubernetes tells of it in an Event. The name
//! may be a pattern, for pods: `event: pod/backend-v1-*`.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::becomes::{Judgement, becomes};
use super::matching::glob;
use crate::event::Observed;
use crate::ports::{ObjectRef, Query};
use crate::runner::context::{Context, Trouble};
use crate::scenario::kinds::Kind;
use crate::scenario::node::{Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Staying, Word};

/// The word.
pub const WORD: Definition = Definition::claim("event", Staying::No, parse);

#[derive(Debug)]
struct Happens {
    about: ObjectRef,
    /// Pairs of an Event's field and the pattern it must fit.
    wanted: Vec<(&'static str, String)>,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    let namespace =
        fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace).to_owned();
    let mut becomes = fields.need("becomes")?.fields()?;
    let mut wanted = Vec::new();
    for field in ["type", "reason", "message"] {
        if let Some(node) = becomes.take(field) {
            wanted.push((field, node.text()?.to_owned()));
        }
    }
    becomes.finish()?;
    Ok(Box::new(Happens { about: ObjectRef { kind, namespace: Some(namespace), name }, wanted }))
}

impl Happens {
    fn fits(&self, event: &Value) -> bool {
        let about = &event["involvedObject"];
        let same = about["kind"] == self.about.kind.kind
            && about["name"].as_str().is_some_and(|name| glob(&self.about.name, name));
        same && self
            .wanted
            .iter()
            .all(|(field, pattern)| event[*field].as_str().is_some_and(|text| glob(pattern, text)))
    }
}

impl Word for Happens {
    fn name(&self) -> String {
        let wanted: Vec<_> =
            self.wanted.iter().map(|(field, pattern)| format!("{field} {pattern}")).collect();
        format!("an event about {}: {}", self.about, wanted.join(", "))
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let Some(kind) = Kind::by_word("event") else {
                return Err(Trouble::error("looking for events", "to know the kind", "it is unknown"));
            };
            let query = Query { kind, namespace: self.about.namespace.clone(), name: None };
            let doing = format!("waiting for an event about {}", self.about);
            let held = becomes(context, &query, &doing, &self.name(), |events| {
                match events.iter().find(|event| self.fits(event)) {
                    Some(event) => Judgement::Holds(event.clone()),
                    None => Judgement::NotYet("no event says so".into()),
                }
            })
            .await?;
            let event = held.found;
            let summary = format!(
                "{}: {}",
                event["reason"].as_str().unwrap_or(""),
                event["message"].as_str().unwrap_or("")
            );
            let detail =
                json!({"type": event["type"], "reason": event["reason"], "message": event["message"]});
            Ok(Observed { summary, detail, became_ms: Some(held.became_ms), ..Observed::default() })
        }
        .boxed()
    }
}
