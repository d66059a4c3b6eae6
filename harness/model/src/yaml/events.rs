//! A text of YAML as the pieces it is made of, each with its place. Which piece stands where, the parser knows; what a piece
//! without quotes means (`yes`, `0x10`, `~`), the library that reads whole documents says, so that both mean the same.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Error, Tree};

/// A piece of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// A document begins.
    Document,
    /// Null, a boolean, a number or a text.
    Scalar(Scalar),
    /// A list begins; it ends with the [`Piece::End`] that belongs to it.
    List,
    /// A mapping begins: keys and values in turn, until its [`Piece::End`].
    Map,
    /// The list or mapping that began last ends.
    End,
    /// What was given this number by [`Placed::anchor`], once more.
    Alias(usize),
}

/// A scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// What it means.
    pub value: Tree,
    /// It stands there as it is: not quoted, not a block, without a tag.
    pub plain: bool,
}

/// A piece with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The piece.
    pub piece: Piece,
    /// Bytes of the text, from its anchor and its tag on; blanks after it may belong to it. Empty where nothing is written.
    pub place: Range<usize>,
    /// The number of the anchor (`&name`) that stands before it.
    pub anchor: Option<usize>,
}

/// The pieces of a text, in its order.
///
/// # Errors
/// The text is not YAML, or a tag asks for what the scalar is not (`!!int one`).
pub fn events(text: &str) -> Result<Vec<Placed>, Error> {
    let offsets = Offsets::of(text);
    let mut all = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| offsets.error(&error))?;
        let place = offsets.range(span);
        let (piece, anchor) = match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::DocumentStart(_) => (Piece::Document, 0),
            Event::Alias(anchor) => (Piece::Alias(anchor), 0),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(text.into_owned(), style, tag.as_deref());
                let wrong = |message| Error { offset: Some(place.start), ..offsets.at(message, span) };
                (Piece::Scalar(scalar.map_err(wrong)?), anchor)
            }
            Event::SequenceStart(anchor, _) => (Piece::List, anchor),
            Event::MappingStart(anchor, _) => (Piece::Map, anchor),
            Event::SequenceEnd | Event::MappingEnd => (Piece::End, 0),
        };
        all.push(Placed { piece, place, anchor: (anchor > 0).then_some(anchor) });
    }
    Ok(all)
}

/// The meaning of a scalar: that of its tag, if it has one of YAML's own; text in quotes and blocks; else what it looks like. A
/// tag of somebody's own (`!vault x`) means nothing here.
fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    let is_plain = style == ScalarStyle::Plain;
    let tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    let value = match tag {
        Some("str") => Tree::String(text),
        Some(wanted @ ("int" | "float" | "bool" | "null")) => {
            let value = meaning(&text)?;
            let fits = match wanted {
                "int" => value.is_i64() || value.is_u64(),
                "float" => value.is_number(),
                "bool" => value.is_bool(),
                _ => value.is_null(),
            };
            if !fits {
                return Err(format!("`{text}` is no {wanted}, as its tag says"));
            }
            value
        }
        _ if is_plain => meaning(&text)?,
        _ => Tree::String(text),
    };
    Ok(Scalar { value, plain: is_plain && tag.is_none() })
}

/// What a text without quotes means.
fn meaning(text: &str) -> Result<Tree, String> {
    // Most texts are words; what else there is begins with one of these.
    if text.starts_with(|c: char| c.is_alphabetic() && !"nNtTfF".contains(c)) {
        return Ok(Tree::String(text.to_owned()));
    }
    match serde_yaml::from_str(text) {
        Ok(value @ (Tree::Null | Tree::Bool(_))) => Ok(value),
        Ok(Tree::Number(number)) if number.is_f64() && !number.is_finite() => {
            Err(format!("`{text}` is no number that an object can hold"))
        }
        Ok(value @ Tree::Number(_)) => Ok(value),
        Err(error) if text.chars().all(|c| c.is_ascii_digit() || "+-".contains(c)) => Err(error.to_string()),
        // Whatever it would be on its own, here it is one scalar.
        Ok(_) | Err(_) => Ok(Tree::String(text.to_owned())),
    }
}

/// From the parser's places, which count characters, to bytes.
struct Offsets(Vec<usize>);

impl Offsets {
    fn of(text: &str) -> Self {
        Self(text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
    }

    fn byte(&self, character: usize) -> usize {
        self.0.get(character).or(self.0.last()).copied().unwrap_or_default()
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    fn at(&self, message: String, span: Span) -> Error {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        Error { message, line: Some(line), column: Some(column), offset: Some(self.byte(span.start.index())) }
    }

    fn error(&self, error: &ScanError) -> Error {
        self.at(error.info().to_owned(), Span::empty(*error.marker()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each scalar as it is written.
    fn written(text: &str) -> Vec<&str> {
        let all = events(text).unwrap();
        let scalars = all.iter().filter(|one| matches!(one.piece, Piece::Scalar(_)));
        scalars.map(|one| text[one.place.clone()].trim_end()).collect()
    }

    #[test]
    fn a_scalar_has_the_bytes_it_is_written_with() {
        assert_eq!(written("é: ü # ö ü\nb: 'ß''x'\n"), ["é", "ü", "b", "'ß''x'"]);
        assert_eq!(
            written("a: # 日本語 😀\n  \"\\u00e9\" \nb: {c: 1,d: ~}\n"),
            ["a", "\"\\u00e9\"", "b", "c", "1", "d", "~"]
        );
        assert_eq!(written("\u{feff}a: 1\r\nb: 2\r\n"), ["a", "1", "b", "2"]);
        assert_eq!(written("# 😀\n- 😀 x\n- y\n"), ["😀 x", "y"]);
        assert_eq!(written("a: &x !!str 5\n? b\n: c\n"), ["a", "&x !!str 5", "b", "c"]);
    }

    #[test]
    fn a_scalar_means_what_it_means_in_a_whole_document() {
        for text in [
            "~",
            "null",
            "Null",
            "nULL",
            "true",
            "True",
            "tRUE",
            "yes",
            "no",
            "on",
            "1",
            "-1",
            "+1",
            "0x1f",
            "0o17",
            "017",
            "0b11",
            "1e3",
            "1.5",
            ".5",
            "5.",
            "1_000",
            "18446744073709551615",
            "2025-08-25",
            "12:30:45",
            "a b",
            "-x",
            "1 a",
            "=",
            "!x 5",
            "!!str 5",
            "'5'",
            "\"~\"",
            "|-\n  5",
            "[]",
            "x: y",
            "0.1",
            "-0",
            "nan",
            "n",
            "t",
            "1.0.0",
        ] {
            let wanted: Tree = serde_yaml::from_str(&format!("a: {text}\n")).unwrap_or_default();
            let Some(wanted) = wanted.get("a") else { continue };
            let all = events(&format!("a: {text}\n")).unwrap();
            let untagged = match wanted {
                Tree::Tagged(tagged) => &tagged.value,
                value => value,
            };
            match all.get(3).map(|one| &one.piece) {
                Some(Piece::Scalar(scalar)) => assert_eq!(scalar.value, *untagged, "{text}"),
                Some(Piece::List) => assert!(untagged.is_sequence(), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_no_object_can_hold_is_refused_where_it_stands() {
        for (text, problem, column) in [
            ("a: .inf\n", "no number that an object can hold", 4),
            ("a: !!int one\n", "no int, as its tag says", 4),
            ("a: 99999999999999999999\n", "invalid type", 4),
        ] {
            let error = events(text).unwrap_err();
            assert!(error.message.contains(problem), "{error:?}");
            assert_eq!((error.line, error.column), (Some(1), Some(column)), "{text}");
        }
    }
}
