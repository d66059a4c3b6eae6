//! What a diagnosis holds, for the reference and the schemas.

use crate::schema::{Field, Type};

const STATUS: Type = Type::Number(100, 599);
const OBJECT_NAME: Type = Type::Form("^[A-Za-z][A-Za-z0-9.-]*/.+$", "`kind/name`");

/// A list of diagnoses.
pub const DIAGNOSES: Type = Type::List(&Type::Map(FIELDS));

/// Keys of a diagnosis.
pub const FIELDS: &[Field] = &[
    Field::needed(
        "id",
        Type::Form("^[a-z]([a-z0-9-]*[a-z0-9])?$", "lower-case letters, digits and inner hyphens"),
        "Its id, which `must-fail` and `expects` may name.",
    ),
    Field::needed("title", Type::Text, "What is wrong, in a sentence."),
    Field::needed("when", Type::OneOrMore(&Type::Map(CONDITION)), "What has to be seen, all of it."),
    Field::optional("because", Type::OneOrMore(&Type::Text), "Why that is the cause, beside what was seen.")
        .or("what was seen"),
    Field::needed("next", Type::Text, "What to do next."),
];

const CONDITION: &[Field] = &[
    Field::one_of(
        "claim",
        Type::OneOrMore(&Type::Text),
        "The word of the claim that did not hold, or several; only beside something that is seen.",
    ),
    Field::one_of("answer", Type::Map(ANSWER), "How the last request was answered."),
    Field::one_of("log", Type::Map(LOG), "A line of a container's log, since the scenario began."),
    Field::one_of("object", Type::Map(OBJECT), "An object, or a field of it."),
];

const ANSWER: &[Field] = &[
    Field::any_of("status", STATUS, "Its status."),
    Field::any_of("reason", Type::Text, "The gateway's reason; `*` and `?` stand for what differs."),
];

const LOG: &[Field] = &[
    Field::optional("namespace", Type::Text, "Namespace of the pod.").or("those that the claim is about"),
    Field::needed("pod", Type::Text, "Its name; `*` and `?` stand for what differs."),
    Field::optional("container", Type::Text, "The container.").or("any"),
    Field::needed("matches", Type::Text, "A regular expression that a line of it holds."),
];

const OBJECT: &[Field] = &[
    Field::needed("of", OBJECT_NAME, "The object; in its name `*` and `?` stand for what differs."),
    Field::optional("namespace", Type::Text, "Its namespace.").or("those that the claim is about"),
    Field::optional(
        "field",
        Type::Text,
        "A field of it: names joined by dots; in brackets a position, the `type` or `name` of an element, or a quoted name.",
    )
    .or("the object itself"),
    Field::one_of("is", Type::AnyText, "The field's value."),
    Field::one_of("matches", Type::Text, "A regular expression that the field's value holds."),
    Field::one_of("there", Type::Bool, "Whether the object, or its field, is there."),
];
