//! The one module that knows YAML: whole documents by one library, their pieces with their places by another.

pub mod events;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A document as it is: mappings keep the order of the file, and a key given twice is an error.
pub use serde_yaml::Value as Tree;

/// Text that is not the YAML wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong.
    pub message: String,
    /// Line, from 1, where known.
    pub line: Option<usize>,
    /// Column, from 1, where known.
    pub column: Option<usize>,
    /// Byte offset, where known.
    pub offset: Option<usize>,
}

impl From<serde_yaml::Error> for Error {
    fn from(error: serde_yaml::Error) -> Self {
        let place = error.location();
        Self {
            message: error.to_string(),
            line: place.as_ref().map(serde_yaml::Location::line),
            column: place.as_ref().map(serde_yaml::Location::column),
            offset: place.as_ref().map(serde_yaml::Location::index),
        }
    }
}

/// Reads all documents of a text; empty ones (only comments, say) are left out.
///
/// # Errors
/// When the text is not YAML, or a document is not a `T`.
pub fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        if let Some(item) = Option::<T>::deserialize(document)? {
            all.push(item);
        }
    }
    Ok(all)
}

/// Reads a text of one document.
///
/// # Errors
/// When the text is not YAML, or not a `T`.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    Ok(serde_yaml::from_str(text)?)
}

/// Writes a value as one document.
///
/// # Errors
/// When the value has no form in YAML (a map with maps as keys, say).
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    Ok(serde_yaml::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_one_by_one_and_empty_ones_left_out() {
        let all: Vec<serde_json::Value> = documents("# nothing\n---\na: 1\n---\nb: 2\n").unwrap();
        assert_eq!(all, [serde_json::json!({"a": 1}), serde_json::json!({"b": 2})]);
    }

    #[test]
    fn an_error_names_its_place() {
        let error = documents::<serde_json::Value>("a: 1\nb: [\n").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 2), "{error:?}");
    }
}
