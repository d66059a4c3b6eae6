//! JSON Schemas (draft 2020-12).

use serde_json::{Map, Value, json};

use super::{common, says};
use crate::diagnosis;
use crate::scenario::vocabulary::{WITNESSES, WORDS};
use crate::word::Definition;
use meshproof_model::implementation::expectation::FIXED;
use meshproof_model::implementation::fields::{EXPECTATION, FIELDS, REASON};
use meshproof_model::pack::fields;
use meshproof_model::scenario::head;
use meshproof_model::scenario::kinds::KINDS;
use meshproof_model::scenario::limits::NAMED;
use meshproof_model::schema::{Field, document, of, of_map};

/// A duration as `limits::duration` reads it, in the forms that people write.
const DURATION: &str =
    "^([0-9]+(\\.[0-9]+)? ?(ms|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)[, ]*)+$";

/// The schema of a `scenario.yaml`.
pub fn scenario() -> Value {
    let mut definitions = shared();
    definitions.insert("step".into(), step());
    for definition in WORDS {
        definitions.insert(format!("step-{}", definition.word), step_with(definition));
    }
    document("meshproof: scenario.yaml", of_map(head::FIELDS), definitions)
}

/// The schema of a `pack.yaml`.
pub fn pack() -> Value {
    document("meshproof: pack.yaml", of_map(fields::FIELDS), Map::new())
}

/// The schema of an implementation file.
pub fn implementation() -> Value {
    let mut definitions = shared();
    definitions.retain(|name, _| ["limit", "duration"].contains(&name.as_str()));
    let mut expectation = of_map(EXPECTATION);
    // Of a step that nobody counts on any field can be replaced; those that say what the step is cannot.
    expectation["additionalProperties"] = true.into();
    expectation["minProperties"] = 2.into();
    for fixed in FIXED {
        expectation["properties"][*fixed] = false.into();
    }
    definitions.insert("expectation".into(), expectation);
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
    let kinds =
        json!({"type": "object", "propertyNames": {"enum": kinds}, "additionalProperties": of(&REASON)});
    definitions.insert("kinds".into(), kinds);
    document("meshproof: implementation file", needed_unless_extended(of_map(FIELDS)), definitions)
}

/// What a file has to say may be said by one that it extends, but for its name.
fn needed_unless_extended(mut schema: Value) -> Value {
    let needed = schema["required"].take();
    schema["required"] = json!(["name"]);
    schema["anyOf"] = json!([{"required": ["extends"]}, {"required": needed}]);
    schema
}

fn shared() -> Map<String, Value> {
    let named: Vec<Value> = NAMED
        .iter()
        .map(|(name, limit)| json!({"const": name, "description": format!("{} seconds", limit.as_secs())}))
        .collect();
    let duration =
        json!({"type": "string", "pattern": DURATION, "description": "A duration: 500ms, 30s, 2m."});
    let witnesses: Vec<Value> =
        WITNESSES.iter().map(|(name, about)| json!({"const": name, "description": about})).collect();
    let mut spellings: Vec<&str> = KINDS
        .iter()
        .flat_map(|kind| [kind.word, kind.kind, kind.plural])
        .filter(|word| !word.contains('.'))
        .collect();
    spellings.sort_unstable();
    spellings.dedup();
    // With its group a kind may be any that a cluster knows.
    let object = format!("^({}|[A-Za-z0-9]+\\.[A-Za-z0-9.-]+)/.+$", spellings.join("|"));
    let mut causes: Vec<&str> = diagnosis::causes().collect();
    causes.sort_unstable();
    causes.dedup();
    let all = [
        ("duration", duration),
        ("limit", json!({"anyOf": named.into_iter().chain([reference("duration")]).collect::<Vec<_>>()})),
        (
            "stays",
            json!({"anyOf": [
                reference("duration"),
                {"type": "string", "pattern": "^[1-9][0-9]* ?requests?$", "description": "So many requests."},
                {"type": "string", "pattern": "^[1-9][0-9]* ?x ?drain$", "description": "So many times as long as the mesh's proxies keep connections whose configuration has changed."},
            ]}),
        ),
        ("witness", json!({"oneOf": witnesses})),
        ("object", json!({"type": "string", "pattern": object, "description": "kind/name"})),
        ("requirement", json!({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9._-]*$"})),
        ("erratum", json!({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9._-]*$"})),
        (
            "diagnosis",
            json!({"anyOf": [
                {"enum": causes},
                {"type": "string", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$", "description": "One that the pack, or the gateway's file, knows itself."},
            ]}),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A step: which word it has says what else it may have.
fn step() -> Value {
    let words = || WORDS.iter().map(|definition| (definition.word, definition.reference.summary));
    let properties: Map<String, Value> =
        words().map(|(word, summary)| (word.to_owned(), json!({"description": summary}))).collect();
    let has = |word: &str| json!({"required": [word]});
    let then = |word: &str| json!({"if": has(word), "then": reference(&format!("step-{word}"))});
    json!({
        "type": "object",
        "properties": properties,
        "anyOf": words().map(|(word, _)| has(word)).collect::<Vec<_>>(),
        "allOf": words().map(|(word, _)| then(word)).collect::<Vec<_>>(),
    })
}

fn step_with(definition: &Definition) -> Value {
    let said = &definition.reference;
    let subject = Field::needed(definition.word, said.subject, said.summary);
    let mut fields = vec![subject];
    fields.extend(said.fields);
    fields.extend(common(definition));
    let mut schema = of_map(&fields);
    if let Some(field) = says(definition) {
        schema["properties"][head::MUST_FAIL] = json!({
            "type": "object",
            "description": "The claim has to fail, for this reason, and this is seen instead.",
            "properties": {"diagnosis": reference("diagnosis"), "sees": of(&field.takes)},
            "required": ["diagnosis", "sees"],
            "additionalProperties": false,
        });
    }
    schema
}
