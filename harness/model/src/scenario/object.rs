//! How one object of a cluster is named, and how it is known whose it is.

use serde_json::{Value, json};

use crate::scenario::kinds::Kind;

/// Label of everything that a run makes; its value is the run's id, which is also the name of its folder of results.
pub const LABEL: &str = "dev.meshproof/run";

/// Names one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its namespace; nothing for cluster-wide kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.word, self.name)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// The object with the label of a run.
pub fn labelled(object: &Value, run: &str) -> Value {
    let mut object = object.clone();
    if let Some(whole) = object.as_object_mut() {
        let metadata = whole.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if labels.is_null() {
                *labels = json!({});
            }
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(LABEL.to_owned(), run.into());
            }
        }
    }
    object
}
