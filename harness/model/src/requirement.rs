//! The catalogue: what a document promises, as data (`requirements.yaml` of a pack).

use serde::{Deserialize, Serialize};

use crate::yaml;

/// The catalogue of the built-in pack, as it was when this program was built.
const TEXT: &str = include_str!("../../../scenarios/requirements.yaml");

/// How a requirement can be treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Provable on kind.
    #[default]
    K,
    /// An erratum: the literal text cannot hold.
    E,
    /// Unspecified: measured, never failed on.
    U,
    /// Azure only: waived.
    A,
}

/// One testable promise of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Stable id, e.g. `R43`.
    pub id: String,
    /// How it can be treated; provable unless it says something else.
    #[serde(default)]
    pub kind: Kind,
    /// Lines of the document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lines: String,
    /// What is promised, in our words.
    pub text: String,
    /// Why it is not proved here at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// It says that no request fails: claims that forgive some prove nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbroken: bool,
    /// Why it is only measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// The first edition that says it; nothing if the first of all does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The last edition that says it; nothing if the newest does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Requirement {
    /// Why nothing has to prove it: it is waived, or only measured.
    pub fn reason(&self) -> Option<&str> {
        self.waived.as_deref().or(self.measured.as_deref())
    }
}

/// A place where the document's literal text cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erratum {
    /// Stable id, e.g. `E1`.
    pub id: String,
    /// What is wrong, in our words.
    pub problem: String,
    /// What a literal run shows.
    pub literal: String,
    /// The smallest change to the text that makes it hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
    /// The first edition that has it; nothing if the first of all does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The last edition that has it; nothing if the newest does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// From which edition to which something is meant, both of them included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Editions<'a> {
    /// The first; nothing if the first of all is.
    pub since: Option<&'a str>,
    /// The last; nothing if the newest is.
    pub until: Option<&'a str>,
}

impl Requirement {
    /// The editions that say it.
    pub fn editions(&self) -> Editions<'_> {
        Editions { since: self.since.as_deref(), until: self.until.as_deref() }
    }
}

impl Erratum {
    /// The editions that have it.
    pub fn editions(&self) -> Editions<'_> {
        Editions { since: self.since.as_deref(), until: self.until.as_deref() }
    }
}

impl std::fmt::Display for Editions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.since, self.until) {
            (None, None) => f.write_str("every edition"),
            (Some(since), None) => write!(f, "edition {since} and later"),
            (None, Some(until)) => write!(f, "editions up to {until}"),
            (Some(since), Some(until)) if since == until => write!(f, "edition {since} alone"),
            (Some(since), Some(until)) => write!(f, "editions {since} to {until}"),
        }
    }
}

/// Name and edition of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Short name.
    pub name: String,
    /// Date of the edition.
    pub edition: String,
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.edition)
    }
}

/// Every requirement and erratum of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The document.
    pub document: Document,
    /// Its promises, in its order.
    pub requirements: Vec<Requirement>,
    /// Its errata.
    #[serde(default)]
    pub errata: Vec<Erratum>,
}

/// The catalogue is not well formed.
#[derive(Debug, thiserror::Error)]
#[error("requirements.yaml: {message}")]
pub struct CatalogueError {
    /// What is wrong.
    pub message: String,
    /// Byte offset in the text, where known.
    pub offset: Option<usize>,
    /// The requirement or erratum it is about.
    pub id: Option<String>,
}

impl CatalogueError {
    fn about(id: &str, message: String) -> Self {
        Self { message, offset: None, id: Some(id.to_owned()) }
    }
}

impl Catalogue {
    /// The catalogue of the built-in pack.
    ///
    /// # Errors
    /// When the file was not well formed at build time; a test guards against that.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::parse(TEXT)
    }

    /// Reads a catalogue.
    ///
    /// # Errors
    /// Not YAML of this shape, an id twice, or a reason not to prove something where none belongs.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let mut documents = yaml::documents::<Self>(text).map_err(|error| {
            let offset = error.offset;
            CatalogueError { message: error.to_string(), offset, id: None }
        })?;
        let empty = || CatalogueError { message: "it is empty".to_owned(), offset: None, id: None };
        let catalogue = documents.pop().ok_or_else(empty)?;
        let ids = catalogue.requirements.iter().map(|r| &r.id).chain(catalogue.errata.iter().map(|e| &e.id));
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = ids.clone().find(|id| !seen.insert(*id)) {
            return Err(CatalogueError::about(twice, format!("{twice} is there twice")));
        }
        for r in &catalogue.requirements {
            if (r.kind == Kind::A) != r.waived.is_some() {
                return Err(CatalogueError::about(
                    &r.id,
                    format!("{}: kind A and `waived` go together", r.id),
                ));
            }
            if (r.kind == Kind::U) != r.measured.is_some() {
                return Err(CatalogueError::about(
                    &r.id,
                    format!("{}: kind U and `measured` go together", r.id),
                ));
            }
        }
        Ok(catalogue)
    }

    /// A requirement by id.
    pub fn requirement(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|r| r.id == id)
    }

    /// An erratum by id.
    pub fn erratum(&self, id: &str) -> Option<&Erratum> {
        self.errata.iter().find(|e| e.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_complete() {
        let catalogue = Catalogue::built_in().unwrap();
        let ids: Vec<_> = catalogue.requirements.iter().map(|r| r.id.clone()).collect();
        assert_eq!(ids, (1..=54).map(|n| format!("R{n}")).collect::<Vec<_>>());
        let errata: Vec<_> = catalogue.errata.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(errata, ["E1", "E2", "E3", "E4", "E5", "E6", "E9", "E10"]);
    }

    #[test]
    fn an_id_given_twice_is_refused() {
        let text = "document: {name: d, edition: e}\nrequirements:\n- {id: R1, kind: K, lines: L1, text: t}\n\
                    - {id: R1, kind: K, lines: L2, text: t}\nerrata: []\n";
        assert!(Catalogue::parse(text).unwrap_err().to_string().contains("R1 is there twice"));
    }

    #[test]
    fn a_reason_not_to_prove_something_needs_the_right_kind() {
        for fields in ["kind: K, waived: because", "kind: K, measured: because", "kind: A", "kind: U"] {
            let text = format!(
                "document: {{name: d, edition: e}}\nrequirements:\n- {{id: R1, lines: L1, text: t, {fields}}}\nerrata: []\n"
            );
            assert!(Catalogue::parse(&text).unwrap_err().to_string().contains("R1"), "{fields}");
        }
    }
}
