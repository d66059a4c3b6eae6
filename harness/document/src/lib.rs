//! The document that is proved, as data: what an edition says (fragments), what the scenarios know of it, and how the two differ.
//! Nothing here reads a file. The document's own text is never kept: hashes of it, facts, and what we say about it in our words.

mod clean;
mod command;
pub mod compare;
pub mod cover;
pub mod extract;
pub mod facts;
pub mod hints;
pub mod input;
pub mod known;
pub mod lines;
mod manifest;
mod markup;
pub mod page;
mod pairing;
pub mod places;
pub mod report;
pub mod scaffold;
pub mod sentence;
mod shell;
mod table;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use facts::Facts;
use page::Place;
use sentence::Shingles;

/// What a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An object to apply.
    Manifest,
    /// A command to run.
    Command,
    /// What a command is said to print.
    Output,
    /// A sentence about behaviour.
    Promise,
    /// A sentence that promises nothing.
    Remark,
}

impl Kind {
    /// Whether it is a sentence.
    pub fn is_prose(self) -> bool {
        matches!(self, Self::Promise | Self::Remark)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Command => "command",
            Self::Output => "output",
            Self::Promise => "promise",
            Self::Remark => "remark",
        })
    }
}

/// Something a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    /// What stays the same from edition to edition: an object's kind, a command's skeleton, an output's shape.
    pub what: String,
    /// Its values.
    pub facts: Facts,
    /// Hash of all that counts.
    pub fingerprint: String,
    /// Of a sentence: hashes of its words and pairs of words.
    pub shingles: Shingles,
    /// How to find it in the document, for people; never kept.
    pub excerpt: String,
    /// Why it cannot be read.
    pub problem: Option<String>,
}
