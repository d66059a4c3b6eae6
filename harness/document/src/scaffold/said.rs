//! Values of a step, written as YAML that people go on editing.

use meshproof_model::visible;
use meshproof_model::yaml::{self, Tree};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// A list.
    List(Vec<Said>),
    /// A mapping, in this order.
    Map(Vec<(&'static str, Said)>),
}

impl Said {
    /// Text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// In one line.
    pub(super) fn flow(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::Number(number) => number.to_string(),
            Self::List(list) => format!("[{}]", list.iter().map(Self::flow).collect::<Vec<_>>().join(", ")),
            Self::Map(entries) => {
                let each = entries.iter().map(|(key, value)| format!("{key}: {}", value.flow()));
                format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Behind a key of a step: a list of mappings line by line, anything else in one.
    pub(super) fn after(&self, key: &str) -> Vec<String> {
        match self {
            Self::List(list) if list.iter().any(|one| matches!(one, Self::Map(_))) => {
                let each = list.iter().map(|one| format!("- {}", one.flow()));
                std::iter::once(format!("{key}:")).chain(each).collect()
            }
            other => vec![format!("{key}: {}", other.flow())],
        }
    }
}

/// Text as YAML reads it back: plain where it may be, in quotes otherwise. What cannot be seen is an escape.
pub(super) fn scalar(text: &str) -> String {
    let inside = |c: char| (c.is_alphanumeric() && !visible::is_odd(c)) || " ._/=+()-".contains(c);
    let first = |c: char| c.is_alphanumeric() || "._/".contains(c);
    let plain = text.starts_with(first) && !text.ends_with(' ') && text.chars().all(inside);
    if plain && matches!(yaml::from_str::<Tree>(text), Ok(Tree::String(read)) if read == text) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    visible::yaml(&quoted).into_owned()
}

/// Text for a comment or a table: one line, and everything in it can be seen.
pub(super) fn line(text: &str) -> String {
    let one = text.split_whitespace().collect::<Vec<_>>().join(" ");
    visible::text(&one).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_plain_where_it_may_be() {
        for plain in ["gateway/gateway-01", "200 ok", "a=b", "/", ".x"] {
            assert_eq!(scalar(plain), plain);
        }
        for (text, quoted) in [
            ("1/1", "1/1"),
            ("true", "\"true\""),
            ("12", "\"12\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("-x", "\"-x\""),
            ("a\u{1b}b", "\"a\\u001bb\""),
            ("{.a}\n", "\"{.a}\\n\""),
        ] {
            assert_eq!(scalar(text), quoted);
        }
    }

    #[test]
    fn lists_of_mappings_stand_line_by_line() {
        let row = Said::Map(vec![("prefix", Said::text("a-")), ("count", Said::Number(2))]);
        assert_eq!(Said::List(vec![row]).after("become"), ["become:", "- {prefix: a-, count: 2}"]);
        assert_eq!(Said::List(vec![Said::text("a")]).after("x"), ["x: [a]"]);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(text in any::<String>()) {
            for said in [format!("a: {}", scalar(&text)), format!("a: [{}, b]", scalar(&text))] {
                let tree: Tree = yaml::from_str(&said).unwrap();
                let found = tree.get("a").and_then(|a| a.as_str().or_else(|| a.get(0)?.as_str()));
                prop_assert_eq!(found, Some(text.as_str()), "{}", said);
            }
        }
    }
}
