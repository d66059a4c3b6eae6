//! YAML to [`Node`]s, each with the place that the parser gives it.

mod merge;

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{Data, Key, Node, Problem, Source, Span};
use crate::yaml::events::{Piece, Placed, Scalar, events};
use crate::yaml::{self, Tree};
use merge::Entry;

/// How deep lists and mappings may be in one another, as in the library that reads whole documents.
const DEPTH: usize = 128;
/// How many pieces aliases may stand for, in all: a few lines of them in one another would otherwise fill the memory.
const REPEATED: usize = 100_000;

/// Reads the documents of a file; empty ones are left out.
///
/// # Errors
/// Not YAML, or what no object can hold, at its line and column.
pub fn documents(source: &Arc<Source>) -> Result<Vec<Node>, Problem> {
    let pieces = events(&source.text).map_err(|error| syntax(source, error))?;
    let mut builder =
        Builder { source, pieces: pieces.into_iter(), anchors: HashMap::new(), depth: 0, repeated: 0 };
    let mut all = Vec::new();
    while let Some(piece) = builder.pieces.next() {
        // What follows the start of a document is its one value.
        if piece.piece == Piece::Document {
            let (node, _) = builder.node()?;
            all.extend((node.data != Data::Null).then_some(node));
        }
    }
    Ok(all)
}

/// Reads a file that holds one document.
///
/// # Errors
/// Not YAML, or not exactly one document.
pub fn document(source: &Arc<Source>) -> Result<Node, Problem> {
    let whole = Span { source: source.clone(), start: 0, length: 0 };
    let mut documents = documents(source)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(node), true) => Ok(node),
        (Some(_), false) => Err(whole.problem("expected one YAML document, found several")),
        (None, _) => Err(whole.problem("the file is empty")),
    }
}

/// What is no YAML is told in the words of the library that reads whole documents, as it is everywhere else.
fn syntax(source: &Arc<Source>, error: yaml::Error) -> Problem {
    let error =
        yaml::documents::<Tree>(&source.text).err().filter(|other| other.offset.is_some()).unwrap_or(error);
    let start = error.offset.unwrap_or_default().min(source.text.len());
    // The place is told by the span; the library repeats it at the end of its message.
    let message = error.message.split(" at line ").next().unwrap_or(&error.message).to_owned();
    Span { source: source.clone(), start, length: 1 }.problem(message)
}

/// Puts pieces together.
struct Builder<'a> {
    source: &'a Arc<Source>,
    pieces: std::vec::IntoIter<Placed>,
    /// What anchors name.
    anchors: HashMap<usize, Node>,
    depth: usize,
    repeated: usize,
}

impl Builder<'_> {
    /// A place to point at: what is written there, as far as it is on one line; of a list or mapping only where it begins.
    fn span(&self, piece: &Placed) -> Span {
        let text = self.source.text.get(piece.place.clone()).unwrap_or_default();
        let written = text.lines().next().unwrap_or_default().trim_end().len();
        let length = match piece.piece {
            Piece::List | Piece::Map => 1,
            _ => written.max(1),
        };
        Span { source: self.source.clone(), start: piece.place.start, length }
    }

    /// The value that comes next, and whether it is a scalar as it is written.
    fn node(&mut self) -> Result<(Node, bool), Problem> {
        let Some(piece) = self.pieces.next() else {
            let end = Span { source: self.source.clone(), start: self.source.text.len(), length: 0 };
            return Err(end.problem("the document ends before its value"));
        };
        let span = self.span(&piece);
        let mut plain = false;
        let data = match piece.piece {
            Piece::Alias(anchor) => return Ok((self.alias(anchor, &span)?, false)),
            Piece::Scalar(scalar) => {
                plain = scalar.plain;
                data(scalar)
            }
            Piece::List => Data::List(self.nested(&span, Self::list)?),
            Piece::Map => Data::Map(self.nested(&span, Self::map)?),
            Piece::Document | Piece::End => return Err(span.problem("expected a value")),
        };
        let node = Node { data, span };
        if let Some(anchor) = piece.anchor {
            self.anchors.insert(anchor, node.clone());
        }
        Ok((node, plain))
    }

    fn nested<T>(
        &mut self,
        span: &Span,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if self.depth >= DEPTH {
            return Err(span.problem(format!("more than {DEPTH} lists and mappings in one another")));
        }
        self.depth += 1;
        let read = read(self)?;
        self.depth -= 1;
        Ok(read)
    }

    fn at_end(&mut self) -> bool {
        let end = self.pieces.as_slice().first().is_none_or(|piece| piece.piece == Piece::End);
        if end {
            self.pieces.next();
        }
        end
    }

    fn list(&mut self) -> Result<Vec<Node>, Problem> {
        let mut list = Vec::new();
        while !self.at_end() {
            list.push(self.node()?.0);
        }
        Ok(list)
    }

    fn map(&mut self) -> Result<Vec<(Key, Node)>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        while !self.at_end() {
            let (key, plain) = self.node()?;
            let key = key_of(key)?;
            let merges = plain && key.name == "<<";
            if entries.iter().any(|known| known.key.name == key.name && known.merges == merges) {
                return Err(key.span.problem(format!("duplicate entry with key \"{}\"", key.name)));
            }
            entries.push(Entry { key, value: self.node()?.0, merges });
        }
        merge::merged(entries)
    }

    /// What an alias stands for was written elsewhere, and is used here.
    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Node, Problem> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(span.problem("an alias cannot be a part of what it stands for"));
        };
        let node = moved(node, span);
        self.repeated += count(&node);
        match self.repeated > REPEATED {
            true => Err(span.problem(format!("aliases stand for more than {REPEATED} pieces"))),
            false => Ok(node),
        }
    }
}

fn data(scalar: Scalar) -> Data {
    match scalar.value {
        Tree::Bool(flag) => Data::Bool(flag),
        Tree::Number(_) => Data::Number(json_number(&scalar.value)),
        Tree::String(text) => Data::Text(text),
        // A scalar is nothing else.
        _ => Data::Null,
    }
}

/// A key of a mapping: a text, or what is written like one in JSON.
fn key_of(node: Node) -> Result<Key, Problem> {
    let name = match node.data {
        Data::Text(name) => name,
        Data::Bool(flag) => flag.to_string(),
        Data::Number(number) => number.to_string(),
        Data::Null | Data::List(_) | Data::Map(_) => {
            return Err(node.problem(format!("a key is a text, found {}", node.what())));
        }
    };
    Ok(Key { name, span: node.span })
}

/// The same value, all of it at one place.
fn moved(node: &Node, span: &Span) -> Node {
    let data = match &node.data {
        Data::List(list) => Data::List(list.iter().map(|node| moved(node, span)).collect()),
        Data::Map(entries) => {
            let key = |key: &Key| Key { name: key.name.clone(), span: span.clone() };
            Data::Map(entries.iter().map(|(name, value)| (key(name), moved(value, span))).collect())
        }
        data => data.clone(),
    };
    Node { data, span: span.clone() }
}

fn count(node: &Node) -> usize {
    match &node.data {
        Data::List(list) => 1 + list.iter().map(count).sum::<usize>(),
        Data::Map(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
        _ => 1,
    }
}

fn json_number(number: &Tree) -> serde_json::Number {
    number
        .as_u64()
        .map(serde_json::Number::from)
        .or_else(|| number.as_i64().map(serde_json::Number::from))
        .or_else(|| number.as_f64().and_then(serde_json::Number::from_f64))
        .unwrap_or_else(|| serde_json::Number::from(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { path: "s.yaml".into(), text: text.into() })
    }

    /// Every key and text must stand where its span says.
    fn check(node: &Node) {
        let at = |span: &Span| span.source.text[span.start..].to_owned();
        match &node.data {
            Data::Map(entries) => {
                for (key, value) in entries {
                    assert!(
                        at(&key.span).starts_with(&key.name),
                        "{} at {:?}",
                        key.name,
                        key.span.position()
                    );
                    check(value);
                }
            }
            Data::List(list) => list.iter().for_each(check),
            Data::Text(text) => {
                let here = at(&node.span);
                let here = here.trim_start_matches(['"', '\'']);
                assert!(here.starts_with(text.as_str()), "{text} at {here:.20}");
            }
            _ => {}
        }
    }

    #[test]
    fn every_value_is_found_where_it_stands() {
        let text = "# title: not this\ntitle: a title; with no, trouble  # name: x\ndocument: {name: d, edition: \
                    2025-08-25}\nneeds: {istio: \">=1.24\", nodes: 1}\nsteps:\n- install: implementation\n  proves: [R1, \
                    'R2']\n- pods: ns\n  become:\n  - {prefix: a-, ready: 1/1}\n  - prefix: title\n    count: 2\n";
        check(&document(&source(text)).unwrap());
    }

    #[test]
    fn values_after_block_scalars_escapes_and_empty_values_are_found() {
        let text = "a: |\n  b: not this\n  c\nb:\nc: \"with \\\"escapes\\\"\"\nd: {}\ne: []\nf: end\n";
        let node = document(&source(text)).unwrap();
        let place = |name: &str| match &node.data {
            Data::Map(entries) => {
                entries.iter().find(|(k, _)| k.name == name).map(|(k, _)| k.span.position())
            }
            _ => None,
        };
        assert_eq!(place("c"), Some((5, 1)));
        assert_eq!(place("d"), Some((6, 1)));
        assert_eq!(place("f"), Some((8, 1)));
    }

    #[test]
    fn several_documents_share_one_walk() {
        let text = "---\nkind: A\nx: 1\n---\n# only a comment\n---\nkind: B\nx: 2\n";
        let all = documents(&source(text)).unwrap();
        assert_eq!(all.iter().map(|n| n.span.position().0).collect::<Vec<_>>(), [2, 7]);
        all.iter().for_each(check);
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let error = document(&source("a: 1\nb: [1, 2\nc: 3\n")).unwrap_err();
        assert!(error.span.position().0 >= 2, "{error}");
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let error = document(&source("a: 1\na: 2\n")).unwrap_err();
        assert!(error.message.contains("duplicate"), "{error}");
    }

    fn place(node: &Node, path: &[&str]) -> (usize, usize) {
        let found = path.iter().fold(node, |node, name| match name.parse::<usize>() {
            Ok(at) => &node.list().unwrap()[at],
            Err(_) => node.get(name).unwrap(),
        });
        found.span.position()
    }

    #[test]
    fn what_stands_in_a_text_is_not_taken_for_what_it_looks_like() {
        let text =
            "script: |\n  c: not this\n  # nor this\n# c: nor this\nwords: \"a: 'b', \\\n  c: 1\"\nc: here\n";
        let node = document(&source(text)).unwrap();
        assert_eq!((place(&node, &["script"]), place(&node, &["c"])), ((2, 3), (7, 4)));
        check(node.get("c").unwrap());
        let folded = document(&source("a: >-\n  b: 1\n  b: 2\nb: [x,\n  y y\n   z, {b: w}]\n")).unwrap();
        assert_eq!(place(&folded, &["b", "1"]), (5, 3));
        assert_eq!(place(&folded, &["b", "2", "b"]), (6, 11));
    }

    #[test]
    fn the_same_word_many_times_is_found_each_time() {
        let node = document(&source("a: a\na a: {a: a, b: [a, a]}\n")).unwrap();
        assert_eq!(place(&node, &["a"]), (1, 4));
        assert_eq!(place(&node, &["a a", "a"]), (2, 10));
        assert_eq!(place(&node, &["a a", "b", "1"]), (2, 20));
    }

    #[test]
    fn a_place_counts_characters_whatever_their_size_in_bytes() {
        let node = document(&source("# ü\n'größe': {ß: 日本, x: 'y'}  # 😀 z\nnächstes: - 5\n"));
        assert_eq!(node.unwrap_err().span.position().0, 3);
        let node =
            document(&source("# ü\n'größe': {ß: 日本, x: 'y'}  # 😀 z\nnächstes: -5\r\nw: 1\r\n")).unwrap();
        assert_eq!((place(&node, &["größe", "x"]), place(&node, &["nächstes"])), ((2, 21), (3, 11)));
        assert_eq!(place(&node, &["w"]), (4, 4));
        let marked = document(&source("\u{feff}a: 1\nb: 2\n")).unwrap();
        assert_eq!(place(&marked, &["b"]), (2, 4));
    }

    #[test]
    fn a_value_begins_with_its_tag_and_anchor_and_means_what_they_say() {
        let node =
            document(&source("a: &x !!str 5\nb: !mine {c: 1}\nd: &y\n  e: *x\nf: !!int '7'\n")).unwrap();
        let wanted = serde_json::json!({"a": "5", "b": {"c": 1}, "d": {"e": "5"}, "f": 7});
        assert_eq!(node.value(), wanted);
        assert_eq!((place(&node, &["a"]), place(&node, &["d", "e"])), ((1, 4), (4, 6)));
    }

    #[test]
    fn empty_values_are_nothing_and_stand_after_their_keys() {
        let node = document(&source("a:\nb:   # nothing\nc: ''\n")).unwrap();
        assert_eq!(node.value(), serde_json::json!({"a": null, "b": null, "c": ""}));
        assert_eq!((place(&node, &["a"]).0, place(&node, &["b"]).0), (1, 2));
    }

    #[test]
    fn what_cannot_be_read_has_its_place() {
        for (text, place, problem) in [
            ("a:\n  b: 1\n  c: 2\n  b: 3\n", (4, 3), "duplicate entry with key \"b\""),
            ("a: {x: 1, \"x\": 2}\n", (1, 11), "duplicate entry with key \"x\""),
            ("a: 1\n? [x]\n: 1\n", (2, 3), "a key is a text, found a list"),
            ("a: *b\n", (1, 4), "unknown anchor"),
            ("a: &b [*b]\n", (1, 8), "part of what it stands for"),
            ("a: .nan\n", (1, 4), "no number"),
        ] {
            let error = document(&source(text)).unwrap_err();
            assert!(error.message.contains(problem), "{error}");
            assert_eq!(error.span.position(), place, "{error}");
        }
    }

    #[test]
    fn neither_depth_nor_repetition_brings_it_down() {
        let deep = document(&source(&"[".repeat(5000))).unwrap_err();
        assert!(!deep.message.is_empty());
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(document(&source(&deep)).unwrap_err().message.contains("in one another"));
        let mut laughs = "a0: &a0 [x, x]\n".to_owned();
        for n in 1..40 {
            laughs += &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1);
        }
        let error = document(&source(&laughs)).unwrap_err();
        assert!(error.message.contains("aliases stand for"), "{error}");
    }

    /// What a document means does not depend on who reads it.
    #[test]
    fn nodes_hold_what_the_whole_document_holds() {
        let text = "a: &x {b: [1, -2, 0x1f, 1.5, 1e3], c: 'it''s', d: \"q\\tq\"}\ne: *x\nf: |+\n  x\n   y\n\ng: >\n  a\n  b\n\n  \
                    c\nh: {? i : j, k}\nl:\n- - m\n  - n: 1\n    o:\n- p q\n  r\n1: one\ntrue: yes\n";
        let whole: Vec<serde_json::Value> = yaml::documents(text).unwrap();
        let pieces: Vec<_> = documents(&source(text)).unwrap().iter().map(Node::value).collect();
        assert_eq!(pieces, whole);
    }

    proptest::proptest! {
        #[test]
        fn places_are_those_of_what_is_written(
            words in proptest::collection::vec("[a-zäß日]{1,6}", 1..8),
            comment in "[ a-zäß日😀:{}'\"]{0,12}",
        ) {
            use std::fmt::Write as _;
            let mut text = String::new();
            for (at, word) in words.iter().enumerate() {
                let _ = writeln!(text, "k{at}: {{{word}: [{word} {word}, '{word}']}} # {comment}");
            }
            let node = document(&source(&text)).unwrap();
            check(&node);
        }
    }
}
