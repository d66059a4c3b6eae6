//! YAML to [`Node`]s.
//!
//! The YAML library tells where a syntax error is, but forgets where values stood. A [`Locator`] finds them again: it walks the
//! values in the order of the file, beside the text, and puts each at the next token.

mod merge;

use std::sync::Arc;

use super::node::{Data, Key, Node, Problem, Source, Span};
use crate::yaml::{self, Tree};

/// Reads the documents of a file; empty ones are left out.
///
/// # Errors
/// Not YAML, at its line and column.
pub fn documents(source: &Arc<Source>) -> Result<Vec<Node>, Problem> {
    let mut locator = Locator::new(source);
    let trees = yaml::documents::<Tree>(&source.text).map_err(|error| syntax(source, &error))?;
    trees.iter().map(|tree| merge::merged(locator.node(tree))).collect()
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

fn syntax(source: &Arc<Source>, error: &yaml::Error) -> Problem {
    let start = error.offset.unwrap_or_default().min(source.text.len());
    // The place is told by the span; the library repeats it at the end of its message.
    let message = error.message.split(" at line ").next().unwrap_or(&error.message).to_owned();
    Span { source: source.clone(), start, length: 1 }.problem(message)
}

/// Walks a text beside its values.
struct Locator {
    source: Arc<Source>,
    /// The text with comments blanked out, byte for byte.
    masked: String,
    cursor: usize,
}

impl Locator {
    fn new(source: &Arc<Source>) -> Self {
        Self { source: source.clone(), masked: mask_comments(&source.text), cursor: 0 }
    }

    fn span(&self, start: usize, length: usize) -> Span {
        Span { source: self.source.clone(), start, length }
    }

    fn rest(&self) -> &str {
        self.masked.get(self.cursor..).unwrap_or_default()
    }

    /// Moves to the next token: over blanks, punctuation and document markers.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let line_start = self.cursor == 0 || self.masked.as_bytes().get(self.cursor - 1) == Some(&b'\n');
            let mut chars = rest.chars();
            let width = match (chars.next(), chars.next()) {
                (Some('-'), _) if line_start && rest.starts_with("---") => 3,
                (Some('-' | ':' | '?'), None) => 1,
                (Some('-' | ':' | '?'), Some(next)) if next.is_whitespace() => 1,
                // After a quoted key the colon may stand alone.
                (Some(','), _) => 1,
                (Some(c), _) if c.is_whitespace() => c.len_utf8(),
                _ => return,
            };
            self.cursor += width;
        }
    }

    fn node(&mut self, value: &Tree) -> Node {
        self.skip();
        if self.rest().starts_with('&') {
            // An anchor stands before what it names.
            self.plain();
            self.skip();
        }
        let start = self.cursor;
        if self.rest().starts_with('*') {
            // Nothing else begins so: what an alias stands for was written elsewhere, and is used here.
            self.plain();
            return alias(value, &self.span(start, self.cursor.saturating_sub(start).max(1)));
        }
        let data = match value {
            Tree::Null => Data::Null,
            Tree::Bool(flag) => {
                self.plain();
                Data::Bool(*flag)
            }
            Tree::Number(_) => {
                self.plain();
                Data::Number(json_number(value))
            }
            Tree::String(text) => {
                self.text(text);
                Data::Text(text.clone())
            }
            Tree::Sequence(list) => {
                self.enter('[');
                let list = list.iter().map(|value| self.node(value)).collect();
                self.leave(']');
                Data::List(list)
            }
            Tree::Mapping(map) => {
                self.enter('{');
                let entries = map.iter().map(|(key, value)| (self.key(key), self.node(value))).collect();
                self.leave('}');
                Data::Map(entries)
            }
            // A local tag (`!x`) means nothing here: its value counts.
            Tree::Tagged(tagged) => return self.node(&tagged.value),
        };
        let length = match data {
            Data::List(_) | Data::Map(_) => 1,
            _ => self.cursor.saturating_sub(start).max(1),
        };
        Node { data, span: self.span(start, length) }
    }

    fn key(&mut self, key: &Tree) -> Key {
        let name = key_name(key);
        self.skip();
        let quote = usize::from(self.rest().starts_with(['"', '\'']));
        let at_hand = self.masked.get(self.cursor + quote..).is_some_and(|rest| rest.starts_with(&name));
        let start = if at_hand {
            self.cursor + quote
        } else {
            // A value before it was written in a way that is not followed here (escapes, folded lines).
            find_key(&self.masked, self.cursor, &name).unwrap_or(self.cursor)
        };
        self.cursor = (start + name.len() + quote).min(self.masked.len());
        if self.rest().starts_with(':') {
            self.cursor += 1;
        }
        let length = name.len();
        Key { name, span: self.span(start, length) }
    }

    fn enter(&mut self, bracket: char) {
        if self.rest().starts_with(bracket) {
            self.cursor += 1;
        }
    }

    fn leave(&mut self, bracket: char) {
        let before = self.cursor;
        self.skip();
        if self.rest().starts_with(bracket) {
            self.cursor += 1;
        } else {
            self.cursor = before;
        }
    }

    /// A number or boolean ends at the next blank or punctuation.
    fn plain(&mut self) {
        let rest = self.rest();
        self.cursor += rest.find(|c: char| c.is_whitespace() || ",]}".contains(c)).unwrap_or(rest.len());
    }

    /// Moves past a text if it stands here as it is; stays before it otherwise (the next key is searched for).
    fn text(&mut self, text: &str) {
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| "\"'".contains(*c)) {
            let inner = rest.get(1..).unwrap_or_default();
            if inner.starts_with(text) && inner.get(text.len()..).is_some_and(|rest| rest.starts_with(quote))
            {
                self.cursor += text.len() + 2;
            }
        } else if rest.starts_with(text) {
            self.cursor += text.len();
        }
    }
}

/// A value that stands at one place, all of it.
fn alias(value: &Tree, span: &Span) -> Node {
    let data = match value {
        Tree::Null => Data::Null,
        Tree::Bool(flag) => Data::Bool(*flag),
        Tree::Number(_) => Data::Number(json_number(value)),
        Tree::String(text) => Data::Text(text.clone()),
        Tree::Sequence(list) => Data::List(list.iter().map(|value| alias(value, span)).collect()),
        Tree::Mapping(map) => {
            let key = |key: &Tree| Key { name: key_name(key), span: span.clone() };
            Data::Map(map.iter().map(|(name, value)| (key(name), alias(value, span))).collect())
        }
        Tree::Tagged(tagged) => return alias(&tagged.value, span),
    };
    Node { data, span: span.clone() }
}

fn key_name(key: &Tree) -> String {
    match key {
        Tree::String(text) => text.clone(),
        Tree::Bool(flag) => flag.to_string(),
        Tree::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// Finds `name` as a key: after a line start, a blank or a bracket, and before a colon.
fn find_key(text: &str, from: usize, name: &str) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.match_indices(name).map(|(at, _)| from + at).find(|at| {
        let before = text.get(..*at).and_then(|t| t.chars().next_back());
        let after = text.get(at + name.len()..).unwrap_or_default().trim_start_matches(['"', '\'']);
        before.is_none_or(|c| c.is_whitespace() || "{,\"'".contains(c)) && after.starts_with(':')
    })
}

/// Replaces comments by blanks, so that nothing is found in them. Same length in bytes.
fn mask_comments(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut quote = None;
        let mut previous = ' ';
        let mut comment = None;
        for (at, c) in line.char_indices() {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if c == '#' && previous.is_whitespace() => {
                    comment = Some(at);
                    break;
                }
                None if "\"'".contains(c) && (previous.is_whitespace() || "[{,:".contains(previous)) => {
                    quote = Some(c);
                }
                None => {}
            }
            previous = c;
        }
        match comment.and_then(|at| line.get(..at).map(|kept| (kept, line.len() - at))) {
            Some((kept, length)) => {
                masked.push_str(kept);
                let newline = line.ends_with('\n');
                masked.extend(std::iter::repeat_n(' ', length - usize::from(newline)));
                if newline {
                    masked.push('\n');
                }
            }
            None => masked.push_str(line),
        }
    }
    masked
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

    /// Every key and scalar text must stand where its span says.
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
                assert!(
                    here.trim_start_matches(['"', '\'']).starts_with(text.as_str()),
                    "{text} at {here:.20}"
                );
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
}
