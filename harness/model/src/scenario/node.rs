//! A piece of YAML with its place in the file, and problems that point there. Knows no YAML.

use std::path::PathBuf;
use std::sync::Arc;

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub source: Arc<Source>,
    /// Byte offset of its start.
    pub start: usize,
    /// Length in bytes.
    pub length: usize,
}

impl Span {
    /// Line and column, both from 1; the column counts characters.
    pub fn position(&self) -> (usize, usize) {
        let start = self.start.min(self.source.text.len());
        let before = self.source.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// A problem at this place.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { span: self.clone(), message: message.into(), help: None }
    }
}

/// Something wrong at a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl miette::Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.span.source.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let (start, length) = (self.span.start, self.span.length);
        Some(Box::new(std::iter::once(miette::LabeledSpan::new(Some("here".into()), start, length))))
    }
}

impl Problem {
    /// The problem with the lines around its place, for people.
    pub fn show(&self) -> String {
        let theme = miette::GraphicalTheme::unicode_nocolor();
        let mut text = String::new();
        match miette::GraphicalReportHandler::new_themed(theme).render_report(&mut text, self) {
            Ok(()) => text,
            Err(_) => self.to_string(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (line, column) = self.span.position();
        write!(f, "{}:{line}:{column}: {}", self.span.source.path.display(), self.message)
    }
}

/// The content of a [`Node`].
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub name: String,
    /// Its place.
    pub span: Span,
}

/// A piece of YAML with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it holds.
    pub data: Data,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// A problem at this place.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        self.span.problem(message)
    }

    /// What it is, for messages.
    pub fn what(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self) -> Result<&str, Problem> {
        match &self.data {
            Data::Text(text) => Ok(text),
            _ => Err(self.problem(format!("expected text, found {}", self.what()))),
        }
    }

    /// Its whole number.
    ///
    /// # Errors
    /// It is something else, or out of range.
    pub fn number<N: TryFrom<u64>>(&self) -> Result<N, Problem> {
        let number = match &self.data {
            Data::Number(number) => number.as_u64().and_then(|n| N::try_from(n).ok()),
            _ => None,
        };
        number.ok_or_else(|| self.problem(format!("expected a whole number, found {}", self.what())))
    }

    /// Its boolean.
    ///
    /// # Errors
    /// It is something else.
    pub fn bool(&self) -> Result<bool, Problem> {
        match self.data {
            Data::Bool(value) => Ok(value),
            _ => Err(self.problem(format!("expected true or false, found {}", self.what()))),
        }
    }

    /// Its elements.
    ///
    /// # Errors
    /// It is no list.
    pub fn list(&self) -> Result<&[Self], Problem> {
        match &self.data {
            Data::List(list) => Ok(list),
            _ => Err(self.problem(format!("expected a list, found {}", self.what()))),
        }
    }

    /// Its elements if it is a list, else itself: `x: a` reads as `x: [a]`.
    pub fn one_or_more(&self) -> &[Self] {
        match &self.data {
            Data::List(list) => list,
            _ => std::slice::from_ref(self),
        }
    }

    /// Its fields.
    ///
    /// # Errors
    /// It is no mapping.
    pub fn fields(&self) -> Result<Fields<'_>, Problem> {
        match &self.data {
            Data::Map(entries) => Ok(Fields {
                span: &self.span,
                entries: entries.iter().map(|e| (e, false)).collect(),
                asked: vec![],
            }),
            _ => Err(self.problem(format!("expected a mapping, found {}", self.what()))),
        }
    }

    /// Keys and values, for a mapping whose keys are names and not words.
    ///
    /// # Errors
    /// It is no mapping.
    pub fn entries(&self) -> Result<Vec<(&str, &Self)>, Problem> {
        match &self.data {
            Data::Map(entries) => Ok(entries.iter().map(|(key, value)| (key.name.as_str(), value)).collect()),
            _ => Err(self.problem(format!("expected a mapping, found {}", self.what()))),
        }
    }

    /// A field of a mapping.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The same without places.
    pub fn value(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(list) => Value::Array(list.iter().map(Self::value).collect()),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.value())).collect())
            }
        }
    }
}

/// Takes a mapping apart, and complains about what nobody asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    span: &'a Span,
    entries: Vec<(&'a (Key, Node), bool)>,
    asked: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Takes a field that may be absent.
    pub fn take(&mut self, name: &str) -> Option<&'a Node> {
        self.asked.push(name.to_owned());
        let (entry, taken) = self.entries.iter_mut().find(|(entry, _)| entry.0.name == name)?;
        *taken = true;
        Some(&entry.1)
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// It is absent.
    pub fn need(&mut self, name: &str) -> Result<&'a Node, Problem> {
        let missing = self.span.problem(format!("`{name}` is missing"));
        self.take(name).ok_or(missing)
    }

    /// The first key, as written.
    pub fn first_key(&self) -> Option<&'a str> {
        self.entries.first().map(|(entry, _)| entry.0.name.as_str())
    }

    /// Nothing more will be taken.
    ///
    /// # Errors
    /// A key that nobody asked for.
    pub fn finish(self) -> Result<(), Problem> {
        match self.entries.iter().find(|(_, taken)| !taken) {
            None => Ok(()),
            Some((entry, _)) => {
                let key = &entry.0;
                let asked: Vec<&str> = self.asked.iter().map(String::as_str).collect();
                Err(key.span.problem(format!("unknown key `{}`", key.name)).help(
                    match closest(&key.name, &asked) {
                        Some(close) => format!("did you mean `{close}`?"),
                        None => format!("known here: {}", asked.join(", ")),
                    },
                ))
            }
        }
    }
}

/// The candidate that is a slip of the pen away.
pub fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let near = candidates.iter().map(|candidate| (strsim::levenshtein(word, candidate), *candidate)).min();
    near.filter(|(edits, _)| *edits <= 2 && *edits < word.chars().count()).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(closest("wihtin", &["stays", "within"]), Some("within"));
        assert_eq!(closest("größ", &["größe", "within"]), Some("größe"));
        assert_eq!(closest("", &["a", "b"]), None);
        assert_eq!(closest("witin", &["within", "stays"]), Some("within"));
        assert_eq!(closest("x", &["within", "stays"]), None);
    }

    #[test]
    fn a_problem_shows_the_lines_around_it() {
        let source = Arc::new(Source { path: "x.yaml".into(), text: "a: 1\nwihtin: 2\nc: 3\n".into() });
        let problem = Span { source, start: 5, length: 6 }
            .problem("unknown key `wihtin`")
            .help("did you mean `within`?");
        insta::assert_snapshot!(problem.show(), @r"
        × x.yaml:2:1: unknown key `wihtin`
         ╭─[2:1]
       1 │ a: 1
       2 │ wihtin: 2
         · ───┬──
         ·    ╰── here
       3 │ c: 3
         ╰────
        help: did you mean `within`?
        ");
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Arc::new(Source { path: "x.yaml".into(), text: "é: 1\nab: 2\n".into() });
        assert_eq!(Span { source: source.clone(), start: 4, length: 1 }.position(), (1, 4));
        assert_eq!(Span { source, start: 6, length: 2 }.position(), (2, 1));
    }
}
