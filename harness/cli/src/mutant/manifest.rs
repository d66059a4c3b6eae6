//! A manifest with objects that are other ones, or not there.

use std::path::Path;

use serde_json::Value;

use meshproof_model::scenario::kinds::Kind;
use meshproof_model::yaml;

/// What becomes of the objects of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A merge patch (RFC 7396) of an object.
    Merge {
        /// Its kind.
        kind: &'static Kind,
        /// Its name.
        name: String,
        /// The patch.
        with: Value,
    },
    /// An object is left out.
    Omit {
        /// Its kind.
        kind: &'static Kind,
        /// Its name.
        name: String,
    },
    /// One more object, after the others.
    Add(Value),
    /// Another file instead, beside the mutants.
    Replace(String),
}

/// The text of a manifest after these changes; `folder` is where files stand that replace others.
///
/// # Errors
/// It is not YAML, a file cannot be read, or the object that is to be changed is not there.
pub fn changed(text: &str, changes: &[Change], folder: &Path) -> Result<String, String> {
    let read = |text: &str| yaml::documents::<Value>(text).map_err(|error| error.to_string());
    let mut objects = read(text)?;
    for change in changes {
        match change {
            Change::Merge { kind, name, with } => merge(object(&mut objects, kind, name)?, with),
            Change::Omit { kind, name } => {
                object(&mut objects, kind, name)?;
                objects.retain(|object| !is(object, kind, name));
            }
            Change::Add(object) => objects.push(object.clone()),
            Change::Replace(file) => {
                let path = folder.join(file);
                let text = std::fs::read_to_string(&path);
                objects = read(&text.map_err(|error| format!("reading {}: {error}", path.display()))?)?;
            }
        }
    }
    // JSON is YAML, and its texts keep placeholders as they are.
    Ok(objects.iter().map(|object| format!("---\n{object}\n")).collect())
}

fn is(object: &Value, kind: &Kind, name: &str) -> bool {
    object["kind"] == kind.kind && object["metadata"]["name"] == name
}

fn object<'a>(objects: &'a mut [Value], kind: &Kind, name: &str) -> Result<&'a mut Value, String> {
    objects
        .iter_mut()
        .find(|object| is(object, kind, name))
        .ok_or_else(|| format!("there is no {}/{name} in it for the mutant to change", kind.word))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            match value {
                Value::Null => drop(target.remove(key)),
                value => merge(target.entry(key.clone()).or_insert(Value::Null), value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {x: \"1\"}}\n---\napiVersion: v1\n\
                        kind: Service\nmetadata: {name: b}\nimage: ${images.echo}\n";

    fn service(name: &str) -> (&'static Kind, String) {
        (Kind::by_word("service").unwrap(), name.to_owned())
    }

    fn objects(changes: &[Change]) -> Vec<Value> {
        yaml::documents(&changed(TEXT, changes, Path::new(".")).unwrap()).unwrap()
    }

    #[test]
    fn objects_are_patched_left_out_and_added_and_placeholders_stay() {
        let (kind, name) = service("a");
        let with = json!({"metadata": {"labels": {"x": null, "y": "2"}}});
        let patched = objects(&[Change::Merge { kind, name: name.clone(), with }]);
        assert_eq!(patched[0]["metadata"], json!({"name": "a", "labels": {"y": "2"}}));
        assert_eq!(patched[1]["image"], "${images.echo}");
        let others = objects(&[Change::Omit { kind, name }, Change::Add(json!({"kind": "Pod"}))]);
        assert_eq!(others.len(), 2);
        assert_eq!(others[1]["kind"], "Pod");
    }

    #[test]
    fn what_is_not_there_cannot_be_changed() {
        let (kind, name) = service("c");
        let error = changed(TEXT, &[Change::Omit { kind, name }], Path::new(".")).unwrap_err();
        assert!(error.contains("no service/c"), "{error}");
        let error = changed(TEXT, &[Change::Replace("nowhere.yaml".into())], Path::new(".")).unwrap_err();
        assert!(error.contains("nowhere.yaml"), "{error}");
    }
}
