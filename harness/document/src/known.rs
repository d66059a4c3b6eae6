//! What the scenarios know of an edition (`scenarios/documents/*.yaml`): its fragments as fingerprints and facts, what each says in
//! our words, and which requirements and errata came of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::facts::{self, Facts};
use super::lines::Lines;
use super::sentence::Shingles;
use super::{Fragment, Kind};
use meshproof_model::requirement::{Catalogue, Document};
use meshproof_model::yaml;

/// An edition of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The document.
    pub document: Document,
    /// What it says, in its order.
    pub fragments: Vec<KnownFragment>,
}

/// Something the document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFragment {
    /// Its name in reports; stays from edition to edition.
    pub id: String,
    /// What it is. A sentence that promises nothing is a remark: nothing has to prove it.
    pub kind: Kind,
    /// Where it stands.
    pub lines: Lines,
    /// What it says, in our words.
    pub says: String,
    /// Requirements that came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// Errata in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errata: Vec<String>,
    /// Why nothing has to prove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// Object's kind, command's skeleton or output's shape; see [`Fragment::what`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// Its values.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
    /// See [`Fragment::fingerprint`].
    pub fingerprint: String,
    /// See [`Fragment::shingles`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shingles: String,
}

/// The data of an edition is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KnownError(String);

impl Known {
    /// Reads the data of an edition.
    ///
    /// # Errors
    /// Not YAML of this shape, an id twice, a requirement or an erratum the catalogue does not have, nothing in our words, or facts
    /// that do not belong to the fingerprint.
    pub fn parse(text: &str, catalogue: &Catalogue) -> Result<Self, KnownError> {
        let mut all = yaml::documents::<Self>(text).map_err(|error| KnownError(error.to_string()))?;
        let known = match (all.pop(), all.is_empty()) {
            (Some(known), true) => known,
            _ => return Err(KnownError("expected exactly one YAML document".to_owned())),
        };
        let mut ids = BTreeSet::new();
        for fragment in &known.fragments {
            fragment
                .check(catalogue)
                .map_err(|what| KnownError(format!("fragment {}: {what}", fragment.id)))?;
            if !ids.insert(&fragment.id) {
                return Err(KnownError(format!("fragment {} is there twice", fragment.id)));
            }
        }
        Ok(known)
    }
}

impl KnownFragment {
    fn check(&self, catalogue: &Catalogue) -> Result<(), String> {
        if self.says.trim().is_empty() {
            return Err("`says` is empty; tell in your own words what it says".to_owned());
        }
        if let Some(id) = self.requirements.iter().find(|id| catalogue.requirement(id).is_none()) {
            return Err(format!("there is no requirement {id}"));
        }
        if let Some(id) = self.errata.iter().find(|id| catalogue.erratum(id).is_none()) {
            return Err(format!("there is no erratum {id}"));
        }
        if self.kind.is_prose() == self.shingles.is_empty() {
            return Err("a sentence has shingles, and nothing else has".to_owned());
        }
        if !self.kind.is_prose() && facts::fingerprint(&self.what, &self.facts) != self.fingerprint {
            return Err(
                "its fingerprint is not that of `what` and `facts`; `meshproof doc fingerprint` prints them"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What is kept of a fragment; what we say about it is still to be written.
    pub(super) fn of(fragment: &Fragment, id: String) -> Self {
        Self {
            id,
            kind: fragment.kind,
            lines: Lines::range(fragment.place.line, fragment.place.end),
            says: String::new(),
            requirements: Vec::new(),
            errata: Vec::new(),
            waived: None,
            what: fragment.what.clone(),
            facts: facts::kept_facts(&fragment.facts),
            fingerprint: fragment.fingerprint.clone(),
            shingles: fragment.shingles.to_string(),
        }
    }

    pub(super) fn shingles(&self) -> Shingles {
        Shingles::read(&self.shingles)
    }
}
