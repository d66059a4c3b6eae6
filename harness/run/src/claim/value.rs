//! `value: gateway/gateway-01` with `field: status.addresses[0].value` and `becomes: {named: its frontend}`: a field of an
//! object is what goes by this name. The first claim to use a name gives it; from then on, in this scenario, the name means
//! this one value, and no other name does. So a later claim says that a value is still the same, and two names that there are
//! two values, though nobody knows them beforehand. `like: fe-????????.*` says what it has to look like (see
//! [`crate::matching::glob`]).

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::matching::glob;
use crate::ports::Query;
use crate::word::{Definition, NAMESPACE, OBJECT, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("value", Staying::Time, parse).says(Reference {
    summary: "A field of an object has the value that goes by a name: the first claim to use a name gives it, later ones say that it is still that one.",
    subject: OBJECT,
    fields: &[
        NAMESPACE,
        Field::needed("field", Type::Form("^[A-Za-z0-9_-]+((\\[[0-9]+\\])*(\\.[A-Za-z0-9_-]+)?)*$", "names joined by dots, positions in brackets"), "Path of the field: `status.addresses[0].value`."),
        Field::needed("becomes", Type::Map(BECOMES), "What it is."),
    ],
    examples: &[
        "value: gateway/gateway-01\nnamespace: ns\nfield: status.addresses[0].value\nbecomes: {named: its frontend, like: \"fe-????????.*\"}\nwithin: programmed",
    ],
});

const BECOMES: &[Field] = &[
    Field::needed("named", Type::Text, "The name of the value."),
    Field::optional("like", Type::AnyText, "What it looks like; `*` and `?` stand for what differs.")
        .or("anything"),
];

#[derive(Debug)]
struct FieldOf {
    id: ObjectRef,
    /// As kubectl's JSONPath has it, without braces and the dot in front.
    path: String,
    /// The same as a JSON pointer (RFC 6901).
    pointer: String,
    named: String,
    like: Option<String>,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    let field = fields.need("field")?;
    let path = field.text()?.to_owned();
    let pointer = pointer(&path).ok_or_else(|| {
        let problem = field.problem(format!("`{path}` is no path to a field"));
        problem.help("names joined by dots, positions in brackets: status.addresses[0].value")
    })?;
    let mut becomes = fields.need("becomes")?.fields()?;
    let named = stated::text(becomes.need("named")?)?.to_owned();
    let like = becomes.take("like").map(Node::text).transpose()?.map(str::to_owned);
    becomes.finish()?;
    let id = ObjectRef { kind, namespace: kind.namespaced.then(|| namespace.to_owned()), name };
    Ok(Box::new(FieldOf { id, path, pointer, named, like }))
}

/// The JSON pointer of a path such as `status.addresses[0].value`.
fn pointer(path: &str) -> Option<String> {
    let mut pointer = String::new();
    for part in path.split('.') {
        let (name, positions) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.strip_suffix(']')?.split("][").collect()),
            None => (part, Vec::new()),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        pointer.push_str(&format!("/{name}"));
        for position in positions {
            pointer.push_str(&format!("/{}", position.parse::<usize>().ok()?));
        }
    }
    Some(pointer)
}

impl FieldOf {
    /// The value of an object's field, if it is the one that is meant; or why it is not.
    fn judge(&self, object: &Value, named: &BTreeMap<String, String>) -> Result<String, String> {
        let value = match object.pointer(&self.pointer) {
            None | Some(Value::Null) => return Err(format!("{} is missing", self.path)),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        if let Some(pattern) = self.like.as_ref().filter(|pattern| !glob(pattern, &value)) {
            return Err(format!("{} is {value}, wanted {pattern}", self.path));
        }
        match named.get(&self.named) {
            Some(known) if *known != value => {
                return Err(format!("{} is {value}, but {} is {known}", self.path, self.named));
            }
            Some(_) => return Ok(value),
            None => {}
        }
        match named.iter().find(|(_, known)| **known == value) {
            Some((other, _)) => Err(format!("{} is {value}, which is {other}", self.path)),
            None => Ok(value),
        }
    }
}

impl Word for FieldOf {
    fn name(&self) -> String {
        format!("{} of {} is {}", self.path, self.id, self.named)
    }

    fn about(&self) -> Option<ObjectRef> {
        Some(self.id.clone())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let id = &self.id;
            let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
            let doing = format!("reading {} of {id}", self.path);
            let named = context.values.clone();
            let mut first: Option<String> = None;
            let held = becomes(context, &query, &doing, &self.name(), |objects| {
                let value = match objects.first() {
                    None => Err(format!("there is no {id}")),
                    Some(object) => self.judge(object, &named),
                };
                // A name that is given here is given at once: while the claim stays it means the same.
                match (value, &first) {
                    (Ok(value), Some(first)) if value != *first => {
                        Judgement::NotYet(format!("{} is {value}, but was {first}", self.path))
                    }
                    (Ok(value), _) => {
                        first = Some(value.clone());
                        Judgement::Holds(value)
                    }
                    (Err(because), _) => Judgement::NotYet(because),
                }
            })
            .await?;
            let value = held.found;
            let again = context.values.insert(self.named.clone(), value.clone()).is_some();
            let summary = match again {
                true => format!("{value}, as before"),
                false => format!("{value}, from now on called: {}", self.named),
            };
            Ok(Observed {
                summary,
                detail: json!({"object": id.to_string(), "field": self.path, "value": value}),
                became_ms: Some(held.became_ms),
                stayed: held.stayed,
                ..Observed::default()
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(named: &str) -> FieldOf {
        let kind = Kind::by_word("gateway").unwrap();
        FieldOf {
            id: ObjectRef { kind, namespace: Some("ns".into()), name: "g".into() },
            path: "status.addresses[0].value".into(),
            pointer: pointer("status.addresses[0].value").unwrap(),
            named: named.into(),
            like: Some("fe-?.*".into()),
        }
    }

    #[test]
    fn a_path_is_written_as_kubectl_has_it() {
        assert_eq!(pointer("status.addresses[0].value").as_deref(), Some("/status/addresses/0/value"));
        assert_eq!(pointer("metadata.uid").as_deref(), Some("/metadata/uid"));
        assert_eq!(pointer("a[1][2]").as_deref(), Some("/a/1/2"));
        for wrong in ["", ".a", "a..b", "a[", "a[0", "a[x]", "[0]", "a[0]b", "a/b"] {
            assert_eq!(pointer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_means_one_value_and_no_other_name_does() {
        let object = json!({"status": {"addresses": [{"value": "fe-1.zone"}]}});
        let one = BTreeMap::from([("the first".to_owned(), "fe-1.zone".to_owned())]);
        let two = BTreeMap::from([("the first".to_owned(), "fe-2.zone".to_owned())]);
        let judge = |named, known| field(named).judge(&object, known);
        let none = BTreeMap::new();
        assert_eq!(judge("the first", &none).as_deref(), Ok("fe-1.zone"));
        assert_eq!(judge("the first", &one).as_deref(), Ok("fe-1.zone"));
        assert_eq!(judge("the second", &two).as_deref(), Ok("fe-1.zone"));
        let is = "status.addresses[0].value is fe-1.zone";
        assert_eq!(judge("the first", &two), Err(format!("{is}, but the first is fe-2.zone")));
        assert_eq!(judge("the second", &one), Err(format!("{is}, which is the first")));
    }

    #[test]
    fn what_is_missing_or_looks_otherwise_is_told() {
        let judge = |object: Value| field("f").judge(&object, &BTreeMap::new()).unwrap_err();
        assert_eq!(judge(json!({"status": {"addresses": []}})), "status.addresses[0].value is missing");
        let other = json!({"status": {"addresses": [{"value": "x"}]}});
        assert_eq!(judge(other), "status.addresses[0].value is x, wanted fe-?.*");
    }
}
