//! What a `scenario.yaml` holds beside its steps, and what every step may hold, as far as it is no matter of its word.

use super::needs;
use crate::schema::{Field, Type};

/// What a declaration of a variable may say.
const VARIABLE: &[Field] = &[
    Field::optional("description", Type::Text, "What it is for."),
    Field::optional("default", Type::AnyText, "Its value if nobody gives another.")
        .or("somebody has to give one"),
];

/// What may stand under `vars:`: a default, a description, or the name alone.
pub const VARIABLES: Type = Type::Names(&Type::Any(&[Type::AnyText, Type::Map(VARIABLE), Type::Nothing]));

/// Keys of a `scenario.yaml`.
pub const FIELDS: &[Field] = &[
    Field::needed("title", Type::Text, "What it shows."),
    Field::needed("document", Type::Map(DOCUMENT), "The document that it follows."),
    Field::optional("needs", Type::Map(needs::FIELDS), "What it needs of the cluster and of the gateway.")
        .or("one node"),
    Field::needed("namespace", Type::Text, "Namespace of everything that names none."),
    Field::optional("vars", VARIABLES, "What is left to whoever runs it, used as `${vars.NAME}`.").or("none"),
    Field::optional(
        "expects",
        Type::Map(EXPECTS),
        "Only for a scenario that breaks the world on purpose: how it has to fail.",
    ),
    Field::needed(
        "steps",
        Type::List(&Type::Defined("step", "a step")),
        "What is done and claimed, in order.",
    ),
];

const DOCUMENT: &[Field] = &[
    Field::needed("name", Type::Text, "Its name."),
    Field::needed("edition", Type::Text, "The date of the edition whose lines it cites."),
    Field::optional("since", Type::Text, "The first edition that it proves.").or("that edition"),
    Field::optional("until", Type::Text, "The last edition that it proves.").or("the newest"),
];

const EXPECTS: &[Field] = &[
    Field::needed("verdict", Type::OneOf(&["failed"]), "Always `failed`."),
    Field::needed("step", Type::Text, "Label (`as:`) of the step that fails."),
    Field::needed("diagnosis", Type::Defined("diagnosis", "a diagnosis"), "Why it fails."),
    Field::needed(
        "sees",
        Type::Object,
        "What the same claim would say if it were right: what is seen instead.",
    ),
];

/// Keys that every step may have beside its word and the word's own.
pub const STEP: &[Field] = &[
    Field::optional(
        "as",
        Type::Text,
        "Label by which implementation files speak of the step; given once in a scenario.",
    ),
    Field::optional("name", Type::Text, "What reports call the step.").or("what its word says"),
    Field::optional("cites", Type::Text, "Lines of the document: `L47-49`."),
    Field::optional(
        "proves",
        Type::OneOrMore(&Type::Defined("requirement", "the id of a requirement")),
        "Requirements that it proves.",
    ),
    Field::optional(
        "erratum",
        Type::OneOrMore(&Type::Defined("erratum", "the id of an erratum")),
        "Errata that it meets.",
    ),
];

/// Keys of claims alone.
pub const CLAIM: &[Field] = &[
    Field::optional(
        "measured",
        Type::Bool,
        "What comes of it is told and judged by nobody; for what the document leaves open (kind U).",
    )
    .or("false"),
    Field::optional(
        "meanwhile",
        Type::Bool,
        "Awaited while objects are applied and statuses read, up to the first step that is more.",
    )
    .or("false"),
];

/// The key with a step's time limit.
pub const WITHIN: &str = "within";
/// What is said of a step's time limit.
pub const LIMIT: Type = Type::Defined("limit", "a duration (`30s`, `2m`) or a named limit");
/// The key with how long a claim goes on holding.
pub const STAYS: &str = "stays";
/// The key with the witnesses of a claim.
pub const WITNESS: &str = "witness";
/// The key with how a claim has to fail.
pub const MUST_FAIL: &str = "must-fail";
