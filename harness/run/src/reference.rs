//! What the words say of themselves, put together: the reference for people, and JSON Schemas with which editors complete and
//! check `scenario.yaml` and implementation files.

mod markdown;
mod schema;

pub use markdown::vocabulary;
pub use schema::{implementation, pack, scenario};

use crate::word::{Definition, Staying};
use meshproof_model::event::StepKind;
use meshproof_model::scenario::head;
use meshproof_model::schema::{Field, Type};

/// The fields of a step with this word that are no matter of the word alone, without `must-fail`.
pub fn common(definition: &Definition) -> Vec<Field> {
    let mut fields = head::STEP.to_vec();
    let about = "Time limit.";
    fields.push(match definition.limit {
        None => Field::needed(head::WITHIN, head::LIMIT, about),
        Some(_) => {
            Field::optional(head::WITHIN, head::LIMIT, about).or("5 minutes, or 10 for what is installed")
        }
    });
    let about = "How long it goes on holding.";
    match definition.stays {
        Staying::No => {}
        Staying::Time => fields.push(Field::optional(head::STAYS, DURATION, about)),
        Staying::Requests => fields.push(Field::optional(head::STAYS, STAYS, about)),
    }
    if definition.witnesses {
        let about = "Witnesses to hear once it holds.";
        fields.push(Field::optional(head::WITNESS, Type::OneOrMore(&WITNESS), about));
    }
    if definition.kind == StepKind::Claim {
        fields.extend(head::CLAIM);
    }
    fields
}

const DURATION: Type = Type::Defined("duration", "a duration (`5s`)");
const STAYS: Type = Type::Defined("stays", "`20 requests`, a duration (`5s`), or `2x drain`");
const WITNESS: Type = Type::Defined("witness", "a witness");

/// The field of a claim that `must-fail` says otherwise, if it has one.
pub fn says(definition: &Definition) -> Option<&'static Field> {
    let is_claim = definition.kind == StepKind::Claim;
    let fields = definition.reference.fields.iter();
    fields.into_iter().find(|field| is_claim && ["becomes", "become"].contains(&field.name))
}
