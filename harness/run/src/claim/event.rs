//! `event: ingress/web` with `becomes: {type: Warning, reason: …, message: …}`: Kubernetes tells of it in an Event. The name
//! may be a pattern, for pods: `event: pod/backend-v1-*`. Events outlive what they are about, so only those about an object
//! that is there now count.

use std::collections::BTreeSet;

use futures::future::{self, BoxFuture};
use futures::stream::{BoxStream, select};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::becomes::{Judgement, seen_in};
use crate::context::{Context, Trouble};
use crate::matching::glob;
use crate::ports::{PortError, Query};
use crate::word::{Definition, NAMESPACE, OBJECT, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("event", Staying::No, parse).says(Reference {
    summary: "Kubernetes tells of it in an Event about an object that is there now; the name may hold `*` and `?`.",
    subject: OBJECT,
    fields: &[
        NAMESPACE,
        Field::needed("becomes", Type::Map(BECOMES), "What the Event says; `*` and `?` stand for what differs."),
    ],
    examples: &[
        "event: pod/alb-controller-istio-extension-*\nnamespace: azure-alb-system\nbecomes: {type: Warning, reason: IstioTooOld, message: \"*too old*\"}\nwithin: rollout",
    ],
});

const BECOMES: &[Field] = &[
    Field::optional("type", Type::Text, "Normal or Warning.").or("any"),
    Field::any_of("reason", Type::Text, "Its reason."),
    Field::any_of("message", Type::Text, "Its message."),
];

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
    let place = fields.need("becomes")?;
    let mut becomes = place.fields()?;
    let mut wanted = Vec::new();
    for field in ["type", "reason", "message"] {
        if let Some(node) = becomes.take(field) {
            wanted.push((field, stated::text(node)?.to_owned()));
        }
    }
    becomes.finish()?;
    // Every Event has a type, and any Warning would do for one.
    if !wanted.iter().any(|(field, _)| *field != "type") {
        let problem = place.problem("any event about it would do");
        return Err(problem.help("name its `reason` or a part of its `message`"));
    }
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

/// Objects as the API server has them.
type Watched = BoxStream<'static, Result<Vec<Value>, PortError>>;

/// What a watch brings.
enum News {
    Events(Vec<Value>),
    Objects(Vec<Value>),
}

/// Events, and the UIDs of the objects that are there and stay.
#[derive(Debug, Clone, Default)]
struct Seen {
    events: Vec<Value>,
    living: BTreeSet<String>,
}

/// Both as they are now and after each change of either, from when both are known.
fn both(events: Watched, objects: Watched) -> BoxStream<'static, Result<Seen, PortError>> {
    let events = events.map(|events| events.map(News::Events));
    let objects = objects.map(|objects| objects.map(News::Objects));
    let known: (Option<Vec<Value>>, Option<BTreeSet<String>>) = (None, None);
    let seen = select(events, objects).scan(known, |known, news| {
        match news {
            Err(error) => return future::ready(Some(Some(Err(error)))),
            Ok(News::Events(events)) => known.0 = Some(events),
            Ok(News::Objects(objects)) => known.1 = Some(objects.iter().filter_map(uid).collect()),
        }
        let seen = known.0.clone().zip(known.1.clone());
        future::ready(Some(seen.map(|(events, living)| Ok(Seen { events, living }))))
    });
    seen.filter_map(future::ready).boxed()
}

/// An object's UID, unless it is on its way out.
fn uid(object: &Value) -> Option<String> {
    let metadata = &object["metadata"];
    metadata["uid"].as_str().filter(|_| metadata["deletionTimestamp"].is_null()).map(str::to_owned)
}

impl Happens {
    fn judge(&self, seen: &Seen) -> Judgement<Value> {
        let fitting = || seen.events.iter().filter(|event| self.fits(event));
        let living = |event: &&Value| {
            let uid = event["involvedObject"]["uid"].as_str();
            uid.is_some_and(|uid| seen.living.contains(uid))
        };
        match (fitting().find(living), fitting().next()) {
            (Some(event), _) => Judgement::Holds(event.clone()),
            (None, Some(event)) => {
                let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
                Judgement::NotYet(format!("an event says so, but {name}, which it is about, is no more"))
            }
            (None, None) => Judgement::NotYet("no event says so".into()),
        }
    }
}

impl Word for Happens {
    fn name(&self) -> String {
        let wanted: Vec<_> =
            self.wanted.iter().map(|(field, pattern)| format!("{field} {pattern}")).collect();
        format!("an event about {}: {}", self.about, wanted.join(", "))
    }

    fn about(&self) -> Option<ObjectRef> {
        Some(self.about.clone())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let Some(kind) = Kind::by_word("event") else {
                return Err(Trouble::error("looking for events", "to know the kind", "it is unknown"));
            };
            let all = |kind| Query { kind, namespace: self.about.namespace.clone(), name: None };
            let objects = &context.outside.objects;
            let seen = || both(objects.observe(&all(kind)), objects.observe(&all(self.about.kind)));
            let doing = format!("waiting for an event about {}", self.about);
            let held = seen_in(context, seen, &doing, &self.name(), |seen| self.judge(seen)).await?;
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

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn happens() -> Happens {
        let kind = Kind::by_word("pod").unwrap();
        let about = ObjectRef { kind, namespace: Some("ns".into()), name: "extension-*".into() };
        Happens { about, wanted: vec![("reason", "Unsupported".into())] }
    }

    fn event(uid: Option<&str>) -> Value {
        json!({"reason": "Unsupported", "involvedObject": {"kind": "Pod", "name": "extension-1", "uid": uid}})
    }

    fn pod(uid: &str, going: bool) -> Value {
        let deleted = going.then_some("2026-11-23T12:00:00Z");
        json!({"metadata": {"name": "extension-1", "uid": uid, "deletionTimestamp": deleted}})
    }

    /// What such events and pods amount to: nothing if it holds.
    async fn against(events: Vec<Value>, pods: Vec<Value>) -> Option<String> {
        let given = |objects| stream::iter([Ok(objects)]).boxed();
        let seen = both(given(events), given(pods)).collect::<Vec<_>>().await;
        let [Ok(seen)] = seen.as_slice() else { panic!("both are known once: {seen:?}") };
        match happens().judge(seen) {
            Judgement::Holds(_) => None,
            Judgement::NotYet(because) => Some(because),
        }
    }

    #[tokio::test]
    async fn an_event_about_what_is_there_counts() {
        assert_eq!(
            against(vec![event(Some("old")), event(Some("new"))], vec![pod("new", false)]).await,
            None
        );
        assert_eq!(against(vec![], vec![pod("new", false)]).await.as_deref(), Some("no event says so"));
    }

    #[tokio::test]
    async fn an_event_about_what_was_there_does_not() {
        let gone = Some("an event says so, but extension-1, which it is about, is no more".to_owned());
        assert_eq!(against(vec![event(Some("old"))], vec![pod("new", false)]).await, gone);
        assert_eq!(against(vec![event(Some("old"))], vec![]).await, gone);
        assert_eq!(against(vec![event(Some("old"))], vec![pod("old", true)]).await, gone);
        assert_eq!(against(vec![event(None)], vec![pod("new", false)]).await, gone);
    }

    #[tokio::test]
    async fn trouble_with_either_watch_is_told() {
        let error = || Err(PortError::new("watching", "gone"));
        let events = stream::iter([error(), Ok(vec![event(Some("new"))])]).boxed();
        let objects = stream::iter([Ok(vec![pod("new", false)]), error()]).boxed();
        let seen = both(events, objects).collect::<Vec<_>>().await;
        assert_eq!(seen.iter().filter(|seen| seen.is_err()).count(), 2);
        assert!(seen.iter().flatten().all(|seen| matches!(happens().judge(seen), Judgement::Holds(_))));
    }
}
