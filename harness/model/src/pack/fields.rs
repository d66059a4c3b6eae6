//! What a `pack.yaml` holds.

use crate::diagnoses::DIAGNOSES;
use crate::scenario::head::VARIABLES;
use crate::schema::{Field, Type};

/// Keys of a `pack.yaml`.
pub const FIELDS: &[Field] = &[
    Field::needed("name", Type::Form("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", super::NAMES), "Short name."),
    Field::needed("about", Type::Text, "What it is about, in a sentence."),
    Field::optional("requirements", Type::Text, "File of its requirements.").or("requirements.yaml"),
    Field::needed("editions", Type::List(&Type::Text), "Dates of the document's editions, the oldest first."),
    Field::optional("documents", Type::Text, "Folder with what is known of the editions.").or("documents"),
    Field::optional("scenarios", Type::Text, "Folder of its scenarios.").or("scenarios"),
    Field::optional("vars", VARIABLES, "What is left to whoever runs it, used as `${vars.NAME}`.").or("none"),
    Field::optional(
        "diagnoses",
        Type::Any(&[DIAGNOSES, Type::Text]),
        "Causes that it knows, with the facts by which they are recognised; or the file that has them, below the same key.",
    )
    .or("none"),
];
