//! The files of a pack.

use std::collections::BTreeMap;

use super::Scaffold;
use super::draft::DEFAULT;
use super::entry::{Entry, Kind, Open, Reason};
use super::said::{Said, line, scalar};
use super::walk::Sentence;
use crate::lines::Lines;

/// File with what nothing on the page makes.
const NAMESPACES: &str = "namespaces.yaml";

/// What a sentence is until somebody has judged it.
const UNJUDGED: &str = "Nobody has judged it yet. If a cluster can show it: kind K, without this field, and a step that proves it.";

/// Namespaces that every cluster has.
const GIVEN: &[&str] = &[DEFAULT, "kube-system", "kube-public", "kube-node-lease"];

/// Where each entry stands in the scenario: its first and its last line, from 1.
pub(super) type Ranges = Vec<(usize, usize)>;

impl Scaffold {
    /// Every file of the pack: its path below the pack's folder, and its text.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        files.insert("pack.yaml".to_owned(), self.pack());
        files.insert("requirements.yaml".to_owned(), self.requirements());
        files.insert("README.md".to_owned(), self.readme());
        files.extend(
            self.scenario_files().into_iter().map(|(name, text)| (format!("{}/{name}", self.name), text)),
        );
        files
    }

    /// The files of the scenario's folder.
    pub(super) fn scenario_files(&self) -> BTreeMap<String, String> {
        let mut files = self.draft.files.clone();
        let missing = self.missing_namespaces();
        if !missing.is_empty() {
            let each = missing.iter().map(|name| {
                format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n", scalar(name))
            });
            files.insert(NAMESPACES.to_owned(), each.collect::<Vec<_>>().join("---\n"));
        }
        files.insert("scenario.yaml".to_owned(), self.scenario().0);
        files
    }

    fn pack(&self) -> String {
        format!(
            "name: {}\nabout: {}\n",
            scalar(&self.name),
            scalar(&format!("What the page promises that is called: {}", self.title))
        )
    }

    /// The namespace of what names none: that of the first Gateway, of the first object, or kubectl's own.
    pub(super) fn namespace(&self) -> &str {
        let objects = || self.draft.objects.iter();
        let gateway = objects().find(|object| object.kind == "Gateway");
        let named = || objects().find(|object| object.namespace.is_some());
        let first = gateway.or_else(named).or_else(|| objects().find(|object| object.kind != "Namespace"));
        let current = self.draft.current.as_deref().unwrap_or(DEFAULT);
        first.map_or(current, |object| object.namespace.as_deref().unwrap_or(&object.stands))
    }

    /// Namespaces that objects of the page are in and that nothing on it makes.
    fn missing_namespaces(&self) -> Vec<String> {
        let on = |entry: &&Entry| entry.off.is_none();
        let mut made: Vec<&str> = GIVEN.to_vec();
        let running = |line: usize| {
            let entries = self.draft.entries.iter().filter(on);
            entries.flat_map(|entry| &entry.lines).any(|(first, last)| (*first..=*last).contains(&line))
        };
        let objects = || self.draft.objects.iter().filter(|object| running(object.line));
        made.extend(objects().filter(|object| object.kind == "Namespace").map(|object| object.name.as_str()));
        let mut missing: Vec<String> = Vec::new();
        for namespace in
            objects().filter(|object| object.kind != "Namespace").map(|object| object.namespace.as_deref())
        {
            let namespace = namespace.unwrap_or_else(|| self.namespace());
            if !made.contains(&namespace) && !missing.iter().any(|known| known == namespace) {
                missing.push(namespace.to_owned());
            }
        }
        missing
    }

    /// The scenario, and where its entries stand.
    pub(super) fn scenario(&self) -> (String, Ranges) {
        let mut lines = vec![
            format!("# Made of a page: {}", line(&self.title)),
            "# Steps stand in its order. What could not be made a step is a comment; ../README.md says what to do about it.".to_owned(),
            format!("title: {}", scalar(&self.title)),
            format!("document: {}", self.document().flow()),
        ];
        let mesh = self
            .draft
            .files
            .values()
            .any(|text| text.contains("istio.io/") || text.contains("istio-injection"));
        if mesh {
            lines.push(
                "# It names objects or labels of Istio: write the least version that it promises.".to_owned(),
            );
            lines.push("needs: {istio: \">=1.24\"}".to_owned());
        }
        lines.extend([
            format!("namespace: {}", scalar(self.namespace())),
            String::new(),
            "steps:".to_owned(),
        ]);
        lines.push("# The gateway under test: the page takes it as installed, or its steps for that are left out below.".to_owned());
        lines.push("- given: implementation".to_owned());
        if !self.missing_namespaces().is_empty() {
            lines.push("# Nothing below makes these.".to_owned());
            lines.push(format!("- apply: {NAMESPACES}"));
        }
        let mut ranges = Vec::new();
        let mut section = "";
        for entry in &self.draft.entries {
            if entry.section != section {
                section = &entry.section;
                lines.extend([String::new(), format!("# {}", line(section))]);
            }
            let first = lines.len() + 1;
            lines.extend(entry.written(self.namespace()));
            ranges.push((first, lines.len()));
        }
        lines.push(String::new());
        (lines.join("\n"), ranges)
    }

    fn document(&self) -> Said {
        Said::Map(vec![("name", Said::text(&self.name)), ("edition", Said::text(&self.edition))])
    }

    fn requirements(&self) -> String {
        let mut lines = vec![
            "# Sentences of the page, in its order and its own words. A person judges each: what it promises, and whether a cluster can".to_owned(),
            "# show it. What only describes is a comment.".to_owned(),
            "#".to_owned(),
            "# kind: K a cluster can show it, and a step proves it; E the text, taken literally, cannot hold".to_owned(),
            "#       U measured and reported, never failed on, with the reason; A waived, with the reason".to_owned(),
            format!("document: {}", self.document().flow()),
            String::new(),
        ];
        let promises = self.sentences.iter().filter(|sentence| sentence.promises).count();
        lines.push(if promises == 0 { "requirements: []".to_owned() } else { "requirements:".to_owned() });
        let (mut section, mut number) = ("", 0);
        for sentence in &self.sentences {
            if sentence.section != section {
                section = &sentence.section;
                lines.push(format!("# {}", line(section)));
            }
            if sentence.promises {
                number += 1;
            }
            lines.push(requirement(sentence, number));
        }
        lines.extend([String::new(), "errata: []".to_owned(), String::new()]);
        lines.join("\n")
    }

    /// What a person has to look at, in the page's order.
    pub fn open(&self) -> Vec<Open> {
        let entries = self.draft.entries.iter().filter_map(Entry::open);
        let mut all: Vec<Open> = entries.chain(self.draft.open.iter().cloned()).collect();
        all.sort_by_key(|open| open.lines);
        all
    }

    fn readme(&self) -> String {
        let counts = self.counts();
        let mut text = format!(
            "# {}\n\nMade of a page by `meshproof doc scaffold`. {counts}.\n\n\
             - `requirements.yaml`: its sentences. Judge each.\n\
             - `{name}/scenario.yaml`: its commands and manifests, in its order, as steps; what could not be made one is a comment.\n\
             - `pack.yaml`: what the pack is called, and what it is about.\n",
            line(&self.title),
            name = self.name,
        );
        let open = self.open();
        for kind in [Kind::Cloud, Kind::Fetch, Kind::Reader, Kind::Unknown] {
            let of_kind: Vec<_> = open.iter().filter(|open| open.reason.kind == kind).collect();
            section(&mut text, kind.heading(), &of_kind);
        }
        section(&mut text, "Taken for granted", &self.assumed().iter().collect::<Vec<_>>());
        text
    }

    fn assumed(&self) -> Vec<Open> {
        let mut all = self.draft.assumed.clone();
        for namespace in self.missing_namespaces() {
            let why = "nothing on the page makes this namespace: it is made first";
            let next = format!("if something that is fetched makes it, take it out of {NAMESPACES}");
            let line = self
                .draft
                .objects
                .iter()
                .find(|object| object.namespace.as_deref().unwrap_or(self.namespace()) == namespace);
            let line = line.map(|object| object.line).unwrap_or_default();
            let reason = Reason::new(Kind::Reader, why, next);
            all.push(Open { lines: (line, line), what: namespace, reason });
        }
        for object in &self.draft.objects {
            let here = self.namespace();
            if object.kind == "Namespace" || object.namespace.is_some() || object.stands == here {
                continue;
            }
            let why = format!(
                "it names no namespace; a reader's kubectl would put it in {}, here it goes to {here}",
                object.stands
            );
            let next = format!("if another one is meant, name it in {}", object.file);
            let reason = Reason::new(Kind::Reader, why, next);
            all.push(Open { lines: (object.line, object.line), what: object.what(), reason });
        }
        all.sort_by_key(|open| open.lines);
        all.dedup();
        all
    }

    /// How much of the page became what.
    pub fn counts(&self) -> Counts {
        let on = |entry: &&Entry| entry.off.is_none();
        let promises = self.sentences.iter().filter(|sentence| sentence.promises).count();
        let claims = ["status", "value", "pods", "request"];
        let claim = |entry: &&Entry| {
            let step = entry.step.as_ref();
            step.is_some_and(|step| {
                claims.contains(&step.word) || step.fields.iter().any(|(key, _)| *key == "says")
            })
        };
        let steps = self.draft.entries.iter().filter(on).count();
        Counts {
            steps,
            claims: self.draft.entries.iter().filter(on).filter(claim).count(),
            left_out: self.draft.entries.len() - steps,
            sentences: promises,
            to_look_at: self.open().len(),
        }
    }
}

/// How much of a page became what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Steps that run.
    pub steps: usize,
    /// Those of them that claim something.
    pub claims: usize,
    /// Steps that are comments.
    pub left_out: usize,
    /// Sentences to be judged.
    pub sentences: usize,
    /// Everything that a person has to look at, the steps that are comments among it.
    pub to_look_at: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { steps, claims, left_out, sentences, to_look_at } = self;
        let plural =
            |count: &usize, what: &str| format!("{count} {what}{}", if *count == 1 { "" } else { "s" });
        write!(
            f,
            "{} ({} of them claims), {} left out, {} to be judged, {} to look at",
            plural(steps, "step"),
            claims,
            left_out,
            plural(sentences, "sentence"),
            plural(to_look_at, "place"),
        )
    }
}

fn requirement(sentence: &Sentence, number: usize) -> String {
    let lines = Lines::range(sentence.lines.0, sentence.lines.1).to_string();
    if !sentence.promises {
        return format!("# {lines}, taken for a description: {}", line(&sentence.text));
    }
    let fields = vec![
        ("id", Said::text(format!("R{number}"))),
        ("kind", Said::text("U")),
        ("lines", Said::text(lines)),
        ("text", Said::text(&sentence.text)),
        ("measured", Said::text(UNJUDGED)),
    ];
    format!("- {}", Said::Map(fields).flow())
}

fn section(text: &mut String, heading: &str, all: &[&Open]) {
    if all.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {heading}\n\n"));
    for open in all {
        let place = Lines::range(open.lines.0.max(1), open.lines.1.max(1));
        let what = line(&open.what).replace('`', "'");
        text.push_str(&format!(
            "- {place} `{what}`: {}. To do: {}.\n",
            line(&open.reason.why),
            line(&open.reason.next)
        ));
    }
}
