//! What a file may hold, said once: from this come the reference for people and the JSON Schema for editors
//! (json-schema.org, draft 2020-12). Who reads the file stays its judge; tests hold the two to each other.

mod json;

pub use json::{document, of, of_map};

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// Text that is not empty.
    Text,
    /// Text, empty perhaps.
    AnyText,
    /// Text of a form: a regular expression (ECMA-262, RE2's part of it), and what it is in words.
    Form(&'static str, &'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// Nothing after the key.
    Nothing,
    /// A whole number, from the first to the second.
    Number(u64, u64),
    /// A list of at least one.
    List(&'static Type),
    /// One, or a list of at least one.
    OneOrMore(&'static Type),
    /// A mapping with these keys and no others.
    Map(&'static [Field]),
    /// A mapping with keys of its own, each with such a value.
    Names(&'static Type),
    /// One of several.
    Any(&'static [Type]),
    /// What a definition says that the schema has under this name, in words.
    Defined(&'static str, &'static str),
    /// Any mapping that is not empty: a piece of an object, values of a chart.
    Object,
}

/// Whether a key has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must be.
    Needed,
    /// It may be.
    Optional,
    /// Exactly one of those that are marked so must be.
    OneOf,
    /// At least one of those that are marked so must be.
    AnyOf,
    /// At most one of those that are marked so may be.
    AtMostOne,
}

/// A key of a mapping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What stands there.
    pub takes: Type,
    /// Whether it has to be there.
    pub presence: Presence,
    /// What it is if it is not there, in words.
    pub default: Option<&'static str>,
    /// What it is for: one sentence.
    pub about: &'static str,
}

impl Field {
    const fn new(name: &'static str, takes: Type, presence: Presence, about: &'static str) -> Self {
        Self { name, takes, presence, default: None, about }
    }

    /// A key that must be there.
    pub const fn needed(name: &'static str, takes: Type, about: &'static str) -> Self {
        Self::new(name, takes, Presence::Needed, about)
    }

    /// A key that may be there.
    pub const fn optional(name: &'static str, takes: Type, about: &'static str) -> Self {
        Self::new(name, takes, Presence::Optional, about)
    }

    /// A key of which exactly one must be there.
    pub const fn one_of(name: &'static str, takes: Type, about: &'static str) -> Self {
        Self::new(name, takes, Presence::OneOf, about)
    }

    /// A key of which at least one must be there.
    pub const fn any_of(name: &'static str, takes: Type, about: &'static str) -> Self {
        Self::new(name, takes, Presence::AnyOf, about)
    }

    /// A key of which at most one may be there.
    pub const fn at_most_one(name: &'static str, takes: Type, about: &'static str) -> Self {
        Self::new(name, takes, Presence::AtMostOne, about)
    }

    /// The same, with what it is if it is not there.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Its presence in words, for a table.
    pub fn presence_in_words(&self) -> String {
        match (self.presence, self.default) {
            (Presence::Needed, _) => "needed".to_owned(),
            (Presence::Optional, None) => "optional".to_owned(),
            (Presence::Optional, Some(default)) => format!("optional: {default}"),
            (Presence::OneOf, _) => "one of those marked so".to_owned(),
            (Presence::AnyOf, _) => "at least one of those marked so".to_owned(),
            (Presence::AtMostOne, _) => "at most one of those marked so".to_owned(),
        }
    }
}

impl Type {
    /// What it is, in a few words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Text | Self::AnyText => "text".to_owned(),
            Self::Form(_, words) | Self::Defined(_, words) => (*words).to_owned(),
            Self::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Nothing => "nothing".to_owned(),
            Self::Number(0, u64::MAX) => "a whole number".to_owned(),
            Self::Number(least, u64::MAX) => format!("a whole number from {least}"),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::List(of) => format!("a list: {}", of.in_words()),
            Self::OneOrMore(of) => format!("one or a list: {}", of.in_words()),
            Self::Map(fields) => {
                let names = fields.iter().map(|field| format!("`{}`", field.name));
                format!("a mapping: {}", names.collect::<Vec<_>>().join(", "))
            }
            Self::Names(of) => {
                format!("a mapping of names, each with {}", of.in_words())
            }
            Self::Any(all) => all.iter().map(Self::in_words).collect::<Vec<_>>().join("; or "),
            Self::Object => "a mapping".to_owned(),
        }
    }

    /// The mappings with fixed keys that it is made of, outermost first.
    pub fn maps(&self) -> Vec<&'static [Field]> {
        match self {
            Self::Map(fields) => vec![fields],
            Self::List(of) | Self::OneOrMore(of) | Self::Names(of) => of.maps(),
            Self::Any(all) => all.iter().flat_map(Self::maps).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
