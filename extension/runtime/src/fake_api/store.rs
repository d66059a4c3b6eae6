//! The objects of the fake server, their versions, and what happened to them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::path::Target;

/// `/api/v1`, plural, namespace ("" for the cluster's own), name.
type Key = (String, String, String, String);

#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    log: Vec<(u64, &'static str, Key, Value)>,
    version: u64,
    names: u64,
}

/// Why the server does not do as asked.
#[derive(Debug)]
pub(super) enum Failure {
    NotFound(String),
    AlreadyExists(String),
    Conflict(String),
    BadRequest(String),
    Refused(StatusCode),
}

impl Failure {
    pub(super) fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, "NotFound", format!("{what} not found")),
            Self::AlreadyExists(what) => {
                (StatusCode::CONFLICT, "AlreadyExists", format!("{what} already exists"))
            }
            Self::Conflict(what) => {
                (StatusCode::CONFLICT, "Conflict", format!("{what}: the object has been modified"))
            }
            Self::BadRequest(what) => (StatusCode::BAD_REQUEST, "BadRequest", what),
            Self::Refused(code) => (code, "InternalError", "the weather is bad".to_owned()),
        }
    }
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, target: &Target) -> Result<Value, Failure> {
        let key = key(target, target.name.as_deref().unwrap_or_default());
        self.objects.get(&key).cloned().ok_or_else(|| not_found(&key))
    }

    pub(super) fn list(&self, target: &Target) -> Vec<Value> {
        self.objects
            .iter()
            .filter(|(key, object)| matches(target, key, object))
            .map(|(_, o)| o.clone())
            .collect()
    }

    /// What happened to the objects of `target` after version `since`, as lines of a watch.
    pub(super) fn events(&self, target: &Target, since: u64) -> Vec<Value> {
        let later = self.log.iter().filter(|(version, ..)| *version > since);
        later
            .filter(|(_, _, key, object)| matches(target, key, object))
            .map(|(_, what, _, object)| json!({"type": what, "object": object}))
            .collect()
    }

    pub(super) fn create(&mut self, target: &Target, mut object: Value) -> Result<Value, Failure> {
        let meta = metadata(&mut object);
        let name = match (meta.get("name").and_then(Value::as_str), meta.get("generateName")) {
            (Some(name), _) => name.to_owned(),
            (None, Some(Value::String(prefix))) => {
                self.names += 1;
                format!("{prefix}{:05}", self.names)
            }
            _ => return Err(Failure::BadRequest("the object has no name".to_owned())),
        };
        let key = key(target, &name);
        if self.objects.contains_key(&key) {
            return Err(Failure::AlreadyExists(format!("{key:?}")));
        }
        Ok(self.write("ADDED", key, object))
    }

    pub(super) fn replace(&mut self, target: &Target, object: Value) -> Result<Value, Failure> {
        let current = self.get(target)?;
        let object = if target.status {
            let mut kept = current.clone();
            kept["status"] = object.get("status").cloned().unwrap_or(Value::Null);
            carry_version(&object, &mut kept);
            kept
        } else {
            object
        };
        self.update(target, &current, object)
    }

    /// RFC 7386. With `creates` (server-side apply, roughly), an absent object is created.
    pub(super) fn patch(&mut self, target: &Target, patch: &Value, creates: bool) -> Result<Value, Failure> {
        let current = match self.get(target) {
            Err(Failure::NotFound(_)) if creates => return self.create(target, patch.clone()),
            current => current?,
        };
        let mut object = current.clone();
        if target.status {
            merge(&mut object["status"], patch.get("status").unwrap_or(&Value::Null));
            carry_version(patch, &mut object);
        } else {
            merge(&mut object, patch);
        }
        self.update(target, &current, object)
    }

    pub(super) fn delete(&mut self, target: &Target) -> Result<Value, Failure> {
        let key = key(target, target.name.as_deref().unwrap_or_default());
        let mut object = self.objects.remove(&key).ok_or_else(|| not_found(&key))?;
        self.version += 1;
        metadata(&mut object).insert("resourceVersion".to_owned(), self.version.to_string().into());
        self.log.push((self.version, "DELETED", key, object.clone()));
        Ok(object)
    }

    pub(super) fn put(&mut self, target: &Target, object: Value) {
        let key = key(target, target.name.as_deref().unwrap_or_default());
        let what = if self.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        self.write(what, key, object);
    }

    fn update(&mut self, target: &Target, current: &Value, object: Value) -> Result<Value, Failure> {
        let key = key(target, target.name.as_deref().unwrap_or_default());
        let given = object.pointer("/metadata/resourceVersion");
        let conflicts =
            given.is_some_and(|given| Some(given) != current.pointer("/metadata/resourceVersion"));
        if conflicts {
            return Err(Failure::Conflict(format!("{key:?}")));
        }
        if object == *current {
            return Ok(object);
        }
        Ok(self.write("MODIFIED", key, object))
    }

    fn write(&mut self, what: &'static str, key: Key, mut object: Value) -> Value {
        self.version += 1;
        let uid = self.objects.get(&key).and_then(|o| o.pointer("/metadata/uid").cloned());
        let uid = uid.unwrap_or_else(|| format!("uid-{}", self.version).into());
        let meta = metadata(&mut object);
        meta.insert("name".to_owned(), key.3.clone().into());
        if !key.2.is_empty() {
            meta.insert("namespace".to_owned(), key.2.clone().into());
        }
        meta.insert("resourceVersion".to_owned(), self.version.to_string().into());
        meta.entry("uid").or_insert(uid);
        self.objects.insert(key.clone(), object.clone());
        self.log.push((self.version, what, key, object.clone()));
        object
    }
}

fn key(target: &Target, name: &str) -> Key {
    let namespace = target.namespace.clone().unwrap_or_default();
    (target.api.clone(), target.plural.clone(), namespace, name.to_owned())
}

fn not_found(key: &Key) -> Failure {
    Failure::NotFound(format!("{key:?}"))
}

fn matches(target: &Target, (api, plural, namespace, name): &Key, object: &Value) -> bool {
    let label = |key: &str| object.get("metadata")?.get("labels")?.get(key)?.as_str();
    *api == target.api
        && *plural == target.plural
        && target.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
        && target.only.as_ref().is_none_or(|only| only == name)
        && target.labels.iter().all(|(key, value)| label(key) == Some(value))
}

/// The object's metadata, made if it is not there.
fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        _ => unreachable!("made just above"),
    }
}

fn carry_version(from: &Value, to: &mut Value) {
    if let Some(version) = from.pointer("/metadata/resourceVersion") {
        to["metadata"]["resourceVersion"] = version.clone();
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}
