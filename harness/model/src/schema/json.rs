//! JSON Schema (draft 2020-12) of what [`super::Type`] says.

use serde_json::{Map, Value, json};

use super::{Field, Presence, Type};

/// A whole schema: what `root` says, with definitions that parts of it refer to.
pub fn document(title: &str, root: Value, definitions: Map<String, Value>) -> Value {
    let mut schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title});
    merge(&mut schema, root);
    if !definitions.is_empty() {
        merge(&mut schema, json!({"$defs": definitions}));
    }
    schema
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// The schema of a value.
pub fn of(takes: &Type) -> Value {
    match takes {
        Type::Text => json!({"type": "string", "minLength": 1}),
        Type::AnyText => json!({"type": "string"}),
        Type::Form(pattern, words) => json!({"type": "string", "pattern": pattern, "description": words}),
        Type::OneOf(words) => json!({"enum": words}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Nothing => json!({"type": "null"}),
        Type::Number(least, u64::MAX) => json!({"type": "integer", "minimum": least}),
        Type::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Type::List(one) => list(one),
        Type::OneOrMore(one) => json!({"anyOf": [of(one), list(one)]}),
        Type::Map(fields) => of_map(fields),
        Type::Names(one) => json!({"type": "object", "minProperties": 1, "additionalProperties": of(one)}),
        Type::Any(all) => json!({"anyOf": all.iter().map(of).collect::<Vec<_>>()}),
        Type::Defined(name, _) => json!({"$ref": format!("#/$defs/{name}")}),
        Type::Object => json!({"type": "object", "minProperties": 1}),
    }
}

fn list(one: &Type) -> Value {
    json!({"type": "array", "minItems": 1, "items": of(one)})
}

/// The schema of a mapping with these keys and no others.
pub fn of_map(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut value = of(&field.takes);
        // What the key is for goes over what its form is: that is told by the pattern.
        let about = match field.default {
            Some(default) => format!("{} Left out: {default}.", field.about),
            None => field.about.to_owned(),
        };
        merge(&mut value, json!({"description": about}));
        properties.insert(field.name.to_owned(), value);
    }
    let marked = |presence: Presence| {
        let marked = fields.iter().filter(move |field| field.presence == presence);
        marked.map(|field| field.name).collect::<Vec<_>>()
    };
    let each = |names: &[&str]| names.iter().map(|name| json!({"required": [name]})).collect::<Vec<_>>();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    let needed = marked(Presence::Needed);
    if !needed.is_empty() {
        merge(&mut schema, json!({"required": needed}));
    }
    let one = marked(Presence::OneOf);
    if !one.is_empty() {
        merge(&mut schema, json!({"oneOf": each(&one)}));
    }
    let any = marked(Presence::AnyOf);
    if !any.is_empty() {
        merge(&mut schema, json!({"anyOf": each(&any)}));
    }
    let most = marked(Presence::AtMostOne);
    if !most.is_empty() {
        merge(&mut schema, json!({"not": {"required": most}}));
    }
    schema
}
