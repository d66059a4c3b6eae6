//! The keys that are said to be known are those that are read: a key that is not is put into each mapping of an example, and the
//! error lists the ones that are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use meshproof_model::implementation::{Implementation, fields};
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::head;
use meshproof_model::scenario::node::Problem;
use meshproof_model::schema::{Field, Presence, Type};
use meshproof_run::reference::{common, says};
use meshproof_run::scenario::Scenario;
use meshproof_run::scenario::vocabulary::WORDS;
use meshproof_run::word::Definition;
use serde_json::Value;

const UNKNOWN: &str = "nobody-knows-this-key";

/// A mapping within a value: what leads to it (JSON pointer), what it is called whichever element it is, and its keys.
struct Mapping {
    pointer: String,
    called: String,
    fields: &'static [Field],
}

/// All mappings of fixed keys in a value.
fn mappings(takes: &Type, value: &Value, pointer: &str, called: &str, all: &mut Vec<Mapping>) {
    match (takes, value) {
        (Type::Map(fields), Value::Object(entries)) => {
            all.push(Mapping { pointer: pointer.to_owned(), called: called.to_owned(), fields });
            for field in *fields {
                if let Some(value) = entries.get(field.name) {
                    let (pointer, called) =
                        (format!("{pointer}/{}", field.name), format!("{called}.{}", field.name));
                    mappings(&field.takes, value, &pointer, &called, all);
                }
            }
        }
        (Type::List(one) | Type::OneOrMore(one), Value::Array(list)) => {
            for (at, value) in list.iter().enumerate() {
                mappings(one, value, &format!("{pointer}/{at}"), called, all);
            }
        }
        (Type::OneOrMore(one), value) => mappings(one, value, pointer, called, all),
        (Type::Names(one), Value::Object(entries)) => {
            for (name, value) in entries {
                mappings(one, value, &format!("{pointer}/{name}"), called, all);
            }
        }
        (Type::Any(several), value) => {
            for one in *several {
                mappings(one, value, pointer, called, all);
            }
        }
        _ => {}
    }
}

/// The keys that are known where an unknown one was put.
fn known(
    value: &Value,
    pointer: &str,
    read: &dyn Fn(&Value) -> Result<(), Problem>,
) -> Result<BTreeSet<String>> {
    let mut value = value.clone();
    let mapping = value.pointer_mut(pointer).and_then(Value::as_object_mut).context("no mapping")?;
    mapping.insert(UNKNOWN.to_owned(), 1.into());
    let Err(problem) = read(&value) else { bail!("at {pointer:?} any key is taken") };
    ensure!(problem.message == format!("unknown key `{UNKNOWN}`"), "at {pointer:?}: {problem}");
    let help =
        problem.help.as_deref().and_then(|help| help.strip_prefix("known here: ")).context("no help")?;
    Ok(help.split(", ").map(str::to_owned).collect())
}

fn names(fields: &[Field]) -> BTreeSet<String> {
    fields.iter().map(|field| field.name.to_owned()).collect()
}

/// What is needed cannot be left out, and what is optional can.
fn presence(value: &Value, mapping: &Mapping, read: &dyn Fn(&Value) -> Result<(), Problem>) -> Result<()> {
    for field in mapping.fields {
        let mut value = value.clone();
        let entries =
            value.pointer_mut(&mapping.pointer).and_then(Value::as_object_mut).context("no mapping")?;
        if entries.remove(field.name).is_none() {
            continue;
        }
        let without = read(&value);
        match field.presence {
            Presence::Needed => ensure!(without.is_err(), "{}.{} is not needed", mapping.called, field.name),
            Presence::Optional if entries_left(&value, &mapping.pointer) => {
                ensure!(without.is_ok(), "{}.{} is needed: {without:?}", mapping.called, field.name);
            }
            _ => {}
        }
    }
    Ok(())
}

/// A mapping without any key says nothing, and is refused for that.
fn entries_left(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_object).is_some_and(|entries| !entries.is_empty())
}

/// What the mappings of several values are said to know is what they know.
fn hold(
    takes: &Type,
    values: &[Value],
    below: &str,
    read: &dyn Fn(&Value) -> Result<(), Problem>,
) -> Result<()> {
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for value in values {
        let mut all = Vec::new();
        let start = value.pointer(below).context("nothing there")?;
        mappings(takes, start, below, "", &mut all);
        for mapping in &all {
            said.entry(mapping.called.clone()).or_default().extend(names(mapping.fields));
            let mut keys = known(value, &mapping.pointer, read)?;
            for key in &keys.clone() - &names(mapping.fields) {
                // A key may be known only to be refused with the reason.
                let mut with = value.clone();
                let entries = with.pointer_mut(&mapping.pointer).and_then(Value::as_object_mut);
                entries.context("no mapping")?.insert(key.clone(), "x".into());
                if read(&with).is_err_and(|problem| !problem.message.starts_with("expected ")) {
                    keys.remove(&key);
                }
            }
            seen.entry(mapping.called.clone()).or_default().extend(keys);
            presence(value, mapping, read)?;
        }
    }
    ensure!(said == seen, "said: {said:#?}\nread: {seen:#?}");
    Ok(())
}

fn scenario(catalogue: &Catalogue, implementation: &Implementation, value: &Value) -> Result<(), Problem> {
    let text = meshproof_model::yaml::to_string(value).unwrap_or_default();
    let read = move |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("scenario.yaml") => Ok(text.clone()),
        Some("substitutions.yaml") => Ok("- {printed: <name>, here: b, because: c}\n".to_owned()),
        Some(name) if name.contains("status") => Ok("status: {a: b}\n".to_owned()),
        Some(name) if name.ends_with(".yaml") => {
            Ok("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n".to_owned())
        }
        Some(name) if name.ends_with(".sh") => Ok("true\n".to_owned()),
        _ => Err(Error::from(ErrorKind::NotFound)),
    };
    match Scenario::load_with(Path::new("s"), "s", catalogue, implementation, &read) {
        Ok(_) => Ok(()),
        Err(problems) => problems.0.into_iter().next().map_or(Ok(()), Err),
    }
}

fn example(definition: &Definition, text: &str) -> Result<Value> {
    let step: Value = meshproof_model::yaml::from_str(text).with_context(|| text.to_owned())?;
    let mut steps = vec![step];
    if definition.word == "traffic" {
        steps.push(serde_json::json!({"unbroken": "traffic", "within": "1s"}));
    }
    Ok(serde_json::json!({
        "title": "t", "document": {"name": "d", "edition": "2025-08-25"}, "namespace": "azure-alb-system", "steps": steps,
    }))
}

#[test]
fn the_fields_of_each_word_are_those_that_it_reads() -> Result<()> {
    let (catalogue, implementation) = (Catalogue::built_in()?, Implementation::built_in()?);
    let scenario = |value: &Value| scenario(&catalogue, &implementation, value);
    let words: BTreeSet<String> = WORDS.iter().map(|definition| definition.word.to_owned()).collect();
    for definition in WORDS {
        let said = &definition.reference;
        let about = || format!("the word `{}`", definition.word);
        ensure!(
            said.summary.ends_with('.') && !said.examples.is_empty(),
            "{} says nothing of itself",
            about()
        );
        let examples: Vec<Value> = said
            .examples
            .iter()
            .map(|text| example(definition, text))
            .collect::<Result<_>>()
            .with_context(about)?;
        let mut read = BTreeSet::new();
        for value in &examples {
            scenario(value).with_context(about)?;
            read.extend(known(value, "/steps/0", &scenario).with_context(about)?);
        }
        let mut wanted = names(said.fields);
        wanted.extend(names(&common(definition)));
        wanted.extend(says(definition).map(|_| head::MUST_FAIL.to_owned()));
        // Any claim may be said to have to fail, and is then told why it cannot.
        read.retain(|key| !words.contains(key) && (key != head::MUST_FAIL || says(definition).is_some()));
        ensure!(wanted == read, "{}: said: {wanted:?}; read: {read:?}", about());
        for field in said.fields.iter().chain([&Field::needed(definition.word, said.subject, "")]) {
            let with: Vec<Value> = examples
                .iter()
                .filter(|value| value.pointer(&format!("/steps/0/{}", field.name)).is_some())
                .cloned()
                .collect();
            ensure!(!with.is_empty(), "{}: no example has `{}`", about(), field.name);
            hold(&field.takes, &with, &format!("/steps/0/{}", field.name), &scenario).with_context(about)?;
            for value in &with {
                let fields: &'static [Field] = said.fields;
                let mapping =
                    Mapping { pointer: "/steps/0".to_owned(), called: definition.word.to_owned(), fields };
                presence(value, &mapping, &scenario).with_context(about)?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_keys_of_a_scenario_are_those_that_are_read() -> Result<()> {
    let value = serde_json::json!({
        "title": "t",
        "document": {"name": "d", "edition": "2025-08-25"},
        "needs": {"istio": ">=1.24", "nodes": 1, "implementation": "alb"},
        "namespace": "ns",
        "vars": {"path": {"description": "where", "default": "/"}},
        "expects": {"verdict": "failed", "step": "x", "diagnosis": "no-client-certificate", "sees": {"status": 503}},
        "steps": [{"request": {"gateway": "g"}, "becomes": {"status": 200}, "within": "1s", "as": "x"}],
    });
    let (catalogue, implementation) = (Catalogue::built_in()?, Implementation::built_in()?);
    let scenario = |value: &Value| scenario(&catalogue, &implementation, value);
    scenario(&value)?;
    hold(&Type::Map(head::FIELDS), &[value], "", &scenario)
}

#[test]
fn the_keys_of_an_implementation_file_are_those_that_are_read() -> Result<()> {
    let read = |value: &Value| {
        let text = meshproof_model::yaml::to_string(value).unwrap_or_default();
        match Implementation::parse(Path::new("nowhere/x.yaml"), text) {
            // What two keys have to say together is another matter.
            Err(problem) if problem.message.ends_with("which is not heard, and is not waived") => Ok(()),
            read => read.map(drop),
        }
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../implementations");
    let mut files = Vec::new();
    for name in ["alb.yaml", "istio.yaml"] {
        let text = std::fs::read_to_string(folder.join(name))?;
        files.push(meshproof_model::yaml::from_str::<Value>(&text)?);
    }
    // What no file of ours uses.
    files[1]["vars"] = serde_json::json!({"host": {"description": "who", "default": "a"}});
    let object = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    for key in ["objects", "per-namespace", "per-service"] {
        files[1][key] = serde_json::json!({"one": object});
    }
    files[1]["limits"] = serde_json::json!({
        "rollout": "5m", "programmed": "5m", "answers": "5m", "drain": "5m", "gone": "5m", "install": "5m",
    });
    files[1]["waived"]["witnesses"] =
        serde_json::json!({"nothing-made-by-hand": {"shows": "R3", "because": "It is so."}});
    files[1]["proxies"]["container"] = "envoy".into();
    files[1]["proxies"]["access-log"] = serde_json::json!({"reasons": {"UH": "no_endpoint"}, "fields": {
        "time": "a", "request-id": "b", "traceparent": "c", "path": "d", "status": "e", "reason": "f",
        "upstream-address": "g", "client-identity": "h", "server-identity": "i",
    }});
    files[1]["diagnoses"] = serde_json::json!([{
        "id": "cache-full", "title": "It is full.", "because": "It is small.", "next": "raise it", "when": [
            {"claim": "request"},
            {"answer": {"status": 503, "reason": "no_*"}},
            {"log": {"namespace": "a", "pod": "b-*", "container": "c", "matches": "full"}},
            {"object": {"of": "configmap/a", "namespace": "a", "field": "data.a", "there": true}},
        ],
    }]);
    let mut installed = files[1].clone();
    installed["installed"] = true.into();
    installed["requires"] =
        serde_json::json!({"namespaces": ["a"], "deployments": ["a/b"], "definitions": ["c.example"]});
    files.push(installed);
    files[0]["manifests"] = serde_json::json!([
        {"files": "a.yaml", "namespace": "a", "in-mesh": true, "deployments": ["a/b"]},
    ]);
    hold(&Type::Map(fields::FIELDS), &files, "", &read)
}
