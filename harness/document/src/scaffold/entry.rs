//! What a page asks for, in its order: each entry is a step that can be run, or a comment that says why it cannot.

use super::said::{Said, line};
use crate::lines::Lines;

/// Why something of a page is no step that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Only a cloud, or something installed from it, has what is asked for.
    Cloud,
    /// It has to be fetched from elsewhere.
    Fetch,
    /// The page leaves a value, or a choice, to its reader.
    Reader,
    /// No word of the vocabulary, or no way to read it.
    Unknown,
}

impl Kind {
    /// As a heading.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Cloud => "Needs a cloud",
            Self::Fetch => "Has to be fetched",
            Self::Reader => "Left to the reader",
            Self::Unknown => "Not understood",
        }
    }
}

/// Why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What kind of reason.
    pub kind: Kind,
    /// Why.
    pub why: String,
    /// What to do.
    pub next: String,
}

impl Reason {
    pub(super) fn new(kind: Kind, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind, why: why.into(), next: next.into() }
    }
}

/// Something of a page that a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Where it stands.
    pub lines: (usize, usize),
    /// What, in the page's own words.
    pub what: String,
    /// Why.
    pub reason: Reason,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) word: &'static str,
    pub(super) subject: Said,
    /// Left out where it is the scenario's own.
    pub(super) namespace: Option<String>,
    pub(super) fields: Vec<(&'static str, Said)>,
    /// Files that it names.
    pub(super) files: Vec<String>,
}

impl Step {
    pub(super) fn new(word: &'static str, subject: Said) -> Self {
        Self { word, subject, namespace: None, fields: Vec::new(), files: Vec::new() }
    }

    pub(super) fn of_file(word: &'static str, file: &str) -> Self {
        Self { files: vec![file.to_owned()], ..Self::new(word, Said::text(file)) }
    }

    #[must_use]
    pub(super) fn within(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    #[must_use]
    pub(super) fn with(mut self, key: &'static str, value: Said) -> Self {
        self.set(key, value);
        self
    }

    /// Gives a field a value, in place of the one it has.
    pub(super) fn set(&mut self, key: &'static str, value: Said) {
        match self.fields.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.fields.push((key, value)),
        }
    }

    fn lines(&self, namespace: &str, cites: &str) -> Vec<String> {
        let other = self.namespace.as_ref().filter(|own| *own != namespace);
        let mut subject = self.subject.clone();
        let mut lines = Vec::new();
        match (&mut subject, other) {
            // Whom a request asks is one mapping.
            (Said::Map(entries), Some(own)) => {
                entries.insert(1.min(entries.len()), ("namespace", Said::text(own)));
                lines.extend(subject.after(self.word));
            }
            (_, own) => {
                lines.extend(subject.after(self.word));
                lines.extend(own.map(|own| format!("namespace: {}", Said::text(own).flow())));
            }
        }
        lines.extend(self.fields.iter().flat_map(|(key, value)| value.after(key)));
        if !cites.is_empty() {
            lines.push(format!("cites: {}", Said::text(cites).flow()));
        }
        let dashed = |(at, line): (usize, String)| format!("{}{line}", if at == 0 { "- " } else { "  " });
        lines.into_iter().enumerate().map(dashed).collect()
    }
}

/// What is printed after a command, as far as it has been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing that could be compared.
    Nothing,
    /// `kubectl get KIND NAME -o yaml`.
    Object { kind: String, name: String, namespace: String },
    /// `kubectl get pods`.
    Pods { namespace: String },
    /// A field of an object; `true` for an address.
    Field { address: bool },
    /// What a client is answered; `true` once its status is known.
    Answer { known: bool },
    /// Whatever else a command prints.
    Text,
}

/// One thing that a page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) lines: Vec<(usize, usize)>,
    pub(super) section: String,
    /// The command or the object, as people know it.
    pub(super) what: String,
    pub(super) step: Option<Step>,
    pub(super) off: Option<Reason>,
    pub(super) asked: Asked,
}

impl Entry {
    /// Adds lines of the page.
    pub(super) fn cite(&mut self, lines: (usize, usize)) {
        match self.lines.last_mut() {
            Some((_, last)) if *last + 1 == lines.0 => *last = lines.1,
            _ => self.lines.push(lines),
        }
    }

    /// Lines of the page.
    pub(super) fn cites(&self) -> String {
        let each = self.lines.iter().map(|(first, last)| Lines::range(*first, *last).to_string());
        each.collect::<Vec<_>>().join(",")
    }

    /// As it stands in the scenario.
    pub(super) fn written(&self, namespace: &str) -> Vec<String> {
        let cites = self.cites();
        let step = self.step.iter().flat_map(|step| step.lines(namespace, &cites));
        let Some(reason) = &self.off else { return step.collect() };
        let why = format!("# {}, {cites}: {}", reason.kind.heading(), line(&reason.why));
        let what = || format!("#   {}", line(&self.what));
        let shown: Vec<String> = match &self.step {
            Some(_) => step.map(|line| format!("# {line}")).collect(),
            None => vec![what()],
        };
        std::iter::once(why).chain(shown).collect()
    }

    /// What a person has to look at.
    pub(super) fn open(&self) -> Option<Open> {
        let reason = self.off.clone()?;
        let lines = self.lines.first().copied().unwrap_or_default();
        Some(Open { lines, what: self.what.clone(), reason })
    }
}
