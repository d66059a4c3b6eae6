//! What has been read of a page so far.

use std::collections::BTreeMap;

use meshproof_model::visible;

use super::entry::{Asked, Entry, Kind, Open, Reason, Step};
use super::objects::Object;
use super::variables::Variables;
use crate::page::Place;

/// Namespace of what names none, as kubectl has it.
pub(super) const DEFAULT: &str = "default";

/// A pack in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) entries: Vec<Entry>,
    /// Files beside the scenario.
    pub(super) files: BTreeMap<String, String>,
    /// What a person has to look at and no entry tells.
    pub(super) open: Vec<Open>,
    /// What was taken for granted.
    pub(super) assumed: Vec<Open>,
    pub(super) variables: Variables,
    /// Namespace that commands are about which name none, once the page has chosen one.
    pub(super) current: Option<String>,
    /// Every object of a manifest.
    pub(super) objects: Vec<Object>,
    /// Namespaces that commands name.
    pub(super) named: Vec<String>,
    /// Entry of a manifest that stands in a block of its own, until a command applies it.
    pub(super) shown: Option<usize>,
    /// How often the loop that a command stands in goes round; 0 where it cannot be told.
    pub(super) loops: Vec<u64>,
    /// Why the block that is read is no part of the way that is followed.
    pub(super) aside: Option<Reason>,
}

impl Draft {
    /// The namespace of a command.
    pub(super) fn namespace(&mut self, given: Option<&String>) -> String {
        let current = self.current.as_deref().unwrap_or(DEFAULT);
        let namespace = given.map_or(current, String::as_str).to_owned();
        if given.is_some() && !self.named.contains(&namespace) {
            self.named.push(namespace.clone());
        }
        namespace
    }

    /// Adds an entry.
    fn add(&mut self, place: &Place, what: &str, step: Option<Step>, off: Option<Reason>, asked: Asked) {
        self.entries.push(Entry {
            lines: vec![(place.line, place.end)],
            section: place.section.join(": "),
            what: what.to_owned(),
            step,
            off: self.aside.clone().or(off),
            asked,
        });
    }

    /// Adds a step that runs, unless the block is left aside.
    pub(super) fn run(&mut self, place: &Place, what: &str, step: Step, asked: Asked) {
        self.add(place, what, Some(step), None, asked);
    }

    /// Adds a step that would run if not for this reason.
    pub(super) fn would_run(&mut self, place: &Place, what: &str, step: Step, reason: Reason) {
        self.add(place, what, Some(step), Some(reason), Asked::Nothing);
    }

    /// Adds a comment in place of a step.
    pub(super) fn leave(&mut self, place: &Place, what: &str, reason: Reason) {
        self.add(place, what, None, Some(reason), Asked::Nothing);
    }

    /// Notes something that is no step at all.
    pub(super) fn note(&mut self, place: &Place, what: &str, reason: Reason) {
        self.open.push(Open { lines: (place.line, place.end), what: what.to_owned(), reason });
    }

    /// Notes what was taken for granted.
    pub(super) fn assume(&mut self, lines: (usize, usize), what: &str, why: &str, next: &str) {
        let reason = Reason::new(Kind::Reader, why, next);
        self.assumed.push(Open { lines, what: what.to_owned(), reason });
    }

    /// Keeps a file; its name, made different from those there are.
    pub(super) fn keep(&mut self, stem: &str, extension: &str, text: &str) -> String {
        let stem = slug(stem);
        let names = (1..).map(|n: usize| if n == 1 { stem.clone() } else { format!("{stem}-{n}") });
        let mut names = names.map(|stem| format!("{stem}.{extension}"));
        // The row of names has no end.
        let name = names.find(|name| !self.files.contains_key(name)).unwrap_or_default();
        let text = if extension == "yaml" { visible::yaml(text) } else { visible::text(text) };
        self.files.insert(name.clone(), text.into_owned());
        name
    }

    /// Why values are missing, if any are.
    pub(super) fn unknown(&self, left: &[String]) -> Option<Reason> {
        let first = left.first()?;
        let kind = if self.variables.is_of_cloud(first) { Kind::Cloud } else { Kind::Reader };
        let mut why: Vec<_> = left.iter().map(|left| self.variables.why(left)).collect();
        why.dedup();
        let all = left.join(", ");
        Some(Reason::new(
            kind,
            why.join("; "),
            format!("put a value for {all}, and take the comment signs off"),
        ))
    }
}

/// A name that files and folders may have everywhere.
pub fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<_> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(60);
    let name = name.trim_matches('-');
    if name.is_empty() { "page".to_owned() } else { name.to_owned() }
}
