//! `status: gateway/gateway-01` with `becomes:` a file or a mapping that the object must hold (see [`crate::matching`]). For a
//! file as the document prints it, `substitute:` names a table of what cannot be equal.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::matching;
use crate::ports::Query;
use crate::word::substitution::Substitutions;
use crate::word::{Definition, FILE, NAMESPACE, OBJECT, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Data, Fields, Node, Problem, Source};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::{parse, stated};
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("status", Staying::Time, parse).says(Reference {
    summary: "The status of an object holds this: mappings may hold more, lists only if they end in `*`; within a text `*` and `?` stand for what differs.",
    subject: OBJECT,
    fields: &[
        NAMESPACE,
        Field::needed("becomes", Type::Any(&[Type::Map(BECOMES), Type::Form("\\S", "a file, seen from the scenario")]), "The status, or a file that holds it as kubectl prints it."),
        Field::optional("substitute", FILE, "For a file: a table of what cannot be as printed, as of `shell`.").or("nothing is replaced"),
    ],
    examples: &[
        "status: gateway/gateway-01\nnamespace: ns\nbecomes: {status: {listeners: [{name: http, attachedRoutes: 1}]}}\nwithin: programmed",
        "status: gateway/gateway-01\nbecomes: gateway-status.yaml\nsubstitute: substitutions.yaml\nwithin: programmed",
    ],
});

const BECOMES: &[Field] = &[Field::needed("status", Type::Object, "What its status holds.")];

#[derive(Debug)]
struct Status {
    id: ObjectRef,
    wanted: Value,
    file: Option<String>,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    let becomes = fields.need("becomes")?;
    let (wanted, file) = match &becomes.data {
        Data::Text(_) => {
            let (name, path, text) = scope.file(becomes)?;
            let table = fields.take("substitute").map(|node| Substitutions::read(node, scope)).transpose()?;
            let substituted = table.unwrap_or_default().apply(&text, &BTreeMap::new());
            let text = substituted
                .map_err(|name| becomes.problem(format!("placeholder ${{{name}}} has no value here")))?
                .text;
            let node = parse::document(&std::sync::Arc::new(Source { path, text }))?;
            (only_status(&scope.fill(&node)?)?, Some(name))
        }
        _ => (only_status(becomes)?, None),
    };
    let id = ObjectRef { kind, namespace: kind.namespaced.then(|| namespace.to_owned()), name };
    Ok(Box::new(Status { id, wanted, file }))
}

/// What is wanted, as the document prints it: one key, `status`.
fn only_status(node: &Node) -> Result<Value, Problem> {
    let mut fields = node.fields()?;
    let status = fields.need("status")?;
    fields.finish()?;
    status.fields()?;
    stated::piece(status)?;
    Ok(status.value())
}

impl Word for Status {
    fn name(&self) -> String {
        match &self.file {
            Some(file) => format!("status of {}/{} becomes {file}", self.id.kind.word, self.id.name),
            None => format!("status of {}/{} becomes {}", self.id.kind.word, self.id.name, self.wanted),
        }
    }

    fn about(&self) -> Option<ObjectRef> {
        Some(self.id.clone())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let id = &self.id;
            let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
            let doing = format!("waiting for the status of {id}");
            let expected = self.name();
            let mut differing = Value::Null;
            let held = becomes(context, &query, &doing, &expected, |objects| match objects.first() {
                None => Judgement::NotYet(format!("there is no {id}")),
                Some(object) => {
                    let status = matching::of_controllers_asked(&self.wanted, &object["status"]);
                    let differences = matching::differences(&self.wanted, &status);
                    match differences.is_empty() {
                        true => Judgement::Holds(status),
                        false => {
                            differing =
                                json!({"object": id.to_string(), "wanted": self.wanted, "status": status});
                            Judgement::NotYet(differences.join("; "))
                        }
                    }
                }
            })
            .await;
            let held = held.map_err(|trouble| trouble.detailed(differing))?;
            Ok(Observed {
                summary: format!("{id} has the status wanted"),
                detail: json!({"object": id.to_string(), "status": held.found}),
                became_ms: Some(held.became_ms),
                stayed: held.stayed,
                ..Observed::default()
            })
        }
        .boxed()
    }
}
