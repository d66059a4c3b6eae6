//! What a page says now, against what the scenarios know.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cover::{Cover, Required, Step, World};
use super::facts::{self, Facts};
use super::known::{Known, KnownFragment};
use super::lines::Lines;
use super::page::Page;
use super::pairing::{self, Pairing};
use super::places::{self, File, Held};
use super::{Fragment, Kind};

/// From here on a sentence says the same in other words, if its values and the words that turn its meaning are the same.
const REWORDED: f64 = 0.75;

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The page says the same, and something stands behind it.
    Covered,
    /// The page says something else than before.
    Changed,
    /// The page did not say so before.
    New,
    /// The page says so no more.
    Gone,
    /// The page says the same, but nothing stands behind it yet.
    Uncovered,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Covered => "covered",
            Self::Changed => "changed",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Uncovered => "uncovered",
        })
    }
}

/// Where a fragment stands in the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct At {
    /// Its lines.
    pub lines: Lines,
    /// Headings it stands below.
    pub section: Vec<String>,
    /// Tab it is shown in.
    pub tab: Option<String>,
}

/// A value that is another one now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which value: a path, an option, or a kind of value.
    pub fact: String,
    /// What it was; nothing if there was none.
    pub old: Option<String>,
    /// What it is; nothing if there is none.
    pub new: Option<String>,
}

/// What became of one fragment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What became of it.
    pub class: Class,
    /// What it is.
    pub kind: Kind,
    /// Its name, unless it is new.
    pub id: Option<String>,
    /// What it says: in our words if it is known, else the beginning of it.
    pub says: String,
    /// Where it stands in the page; nothing if it is gone.
    pub at: Option<At>,
    /// Where it stood in the edition that the scenarios follow.
    pub known_lines: Option<Lines>,
    /// How alike the two are, in percent, if it is a sentence in other words.
    pub alike: Option<u8>,
    /// If it is new: the fragment that is gone and may have become it.
    pub resembles: Option<String>,
    /// Values that changed.
    pub changes: Vec<Change>,
    /// Why it cannot be read.
    pub problem: Option<String>,
    /// Why it is not covered.
    pub missing: Option<String>,
    /// Steps that cite it.
    pub steps: Vec<Step>,
    /// Requirements that came of it.
    pub requirements: Vec<Required>,
    /// Errata in it.
    pub errata: Vec<String>,
    /// Why nothing has to prove it.
    pub waived: Option<String>,
    /// What to do about it; nothing when it is covered.
    pub advice: Option<String>,
}

/// A value that changed, wherever it occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
    /// Fragments in which it changed.
    pub fragments: Vec<String>,
    /// Where the scenarios hold what it was.
    pub held: Vec<Held>,
}

/// A page against what the scenarios know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The page's title.
    pub title: Option<String>,
    /// Name of the document.
    pub document: String,
    /// Edition of the page, if it says so.
    pub edition: Option<String>,
    /// Edition that the scenarios follow.
    pub known_edition: String,
    /// Whether everything is covered.
    pub covered: bool,
    /// Number of fragments by what became of them.
    pub counts: BTreeMap<Class, usize>,
    /// What became of each fragment: the page's order, then what is gone.
    pub fragments: Vec<Finding>,
    /// Values that changed, those that changed most often first.
    pub values: Vec<ValueChange>,
}

/// A page that says at least so much of what an edition says is a later one of it. Three later editions of one page say 81 % and
/// more of the first; the page beside it that shares most with it, its sample and its manifests, 31 %.
pub const EDITION: f64 = 0.5;

/// How much of what an edition says a page says as well, from 0 to 1: each fragment counts as far as it is alike.
pub fn likeness(known: &Known, fragments: &[Fragment]) -> f64 {
    let pairs = pairing::pair(&known.fragments, fragments).pairs;
    pairs.iter().map(|(_, _, alike)| alike).sum::<f64>() / known.fragments.len().max(1) as f64
}

/// How much of a page is known: its known fragments, each with its likeness in thousandths. Tells which edition a page is nearest
/// to.
pub fn familiarity(known: &Known, fragments: &[Fragment]) -> u64 {
    let pairs = pairing::pair(&known.fragments, fragments).pairs;
    pairs.iter().map(|(_, _, alike)| (alike * 1000.0) as u64).sum()
}

/// Compares a page's fragments with what the scenarios know.
pub fn compare(
    page: &Page,
    found: &[Fragment],
    known: &Known,
    world: &World<'_>,
    files: &[File],
) -> Comparison {
    let Pairing { pairs, new, gone, .. } = pairing::pair(&known.fragments, found);
    let mut fragments: Vec<Finding> = Vec::new();
    for (k, f, alike) in pairs {
        if let (Some(old), Some(new)) = (known.fragments.get(k), found.get(f)) {
            fragments.push(paired(old, new, alike, world.cover(old)));
        }
    }
    fragments.extend(new.iter().filter_map(|f| found.get(*f)).map(|new| {
        let nearest = pairing::nearest(&known.fragments, &gone, new);
        let resembles = nearest.and_then(|k| known.fragments.get(k)).map(|old| old.id.clone());
        Finding { resembles, ..unknown(new) }
    }));
    fragments.sort_by_key(|finding| finding.at.as_ref().map(|at| at.lines.first()));
    fragments.extend(
        gone.iter().filter_map(|k| known.fragments.get(*k)).map(|old| vanished(old, world.cover(old))),
    );

    for change in fragments.iter_mut().flat_map(|finding| &mut finding.changes) {
        // A sentence is kept as a fingerprint; the scenarios may hold the sentence itself.
        if let Some(old) = change.old.as_mut().filter(|old| facts::is_hashed(old))
            && let Some(held) = places::holding(old, files).into_iter().next()
        {
            *old = held.value;
        }
    }
    let mut counts = BTreeMap::new();
    fragments.iter().for_each(|finding| *counts.entry(finding.class).or_default() += 1);
    Comparison {
        title: page.title.clone(),
        document: known.document.name.clone(),
        edition: page.edition.clone(),
        known_edition: known.document.edition.clone(),
        covered: fragments.iter().all(|finding| finding.class == Class::Covered),
        counts,
        values: values(&fragments, files),
        fragments,
    }
}

fn at(fragment: &Fragment) -> At {
    let place = &fragment.place;
    At { lines: Lines::range(place.line, place.end), section: place.section.clone(), tab: place.tab.clone() }
}

fn paired(old: &KnownFragment, new: &Fragment, alike: f64, cover: Cover) -> Finding {
    let same = old.fingerprint == new.fingerprint;
    let changes = if same { Vec::new() } else { changes(old, new) };
    let reworded = old.kind.is_prose() && !same;
    let class = match () {
        () if new.problem.is_some() || !changes.is_empty() || reworded && alike < REWORDED => Class::Changed,
        () if cover.missing.is_some() => Class::Uncovered,
        () => Class::Covered,
    };
    let advice = match class {
        Class::Covered => None,
        Class::Uncovered => {
            Some("prove it in a scenario, or say in the catalogue why it cannot be proved".to_owned())
        }
        _ => Some(advice(old, new.problem.is_some(), &cover)),
    };
    Finding {
        class,
        at: Some(at(new)),
        alike: reworded.then_some((alike * 100.0).round() as u8),
        changes,
        problem: new.problem.clone(),
        advice,
        ..known(old, cover)
    }
}

fn known(old: &KnownFragment, cover: Cover) -> Finding {
    Finding {
        class: Class::Gone,
        kind: old.kind,
        id: Some(old.id.clone()),
        says: old.says.clone(),
        at: None,
        known_lines: Some(old.lines.clone()),
        alike: None,
        resembles: None,
        changes: Vec::new(),
        problem: None,
        missing: cover.missing,
        steps: cover.steps,
        requirements: cover.requirements,
        errata: old.errata.clone(),
        waived: old.waived.clone(),
        advice: None,
    }
}

fn vanished(old: &KnownFragment, cover: Cover) -> Finding {
    let advice = match (cover.steps.is_empty(), old.requirements.is_empty()) {
        (true, true) => "nothing rests on it",
        (true, false) => {
            "ask whether its requirements still hold; what the document promises no more is not to be proved"
        }
        (false, _) => "take the citation from its steps, and the steps too unless something else needs them",
    };
    Finding { advice: Some(advice.to_owned()), missing: None, ..known(old, cover) }
}

fn unknown(new: &Fragment) -> Finding {
    let advice = match new.kind {
        Kind::Manifest => "apply it in a scenario and cite its lines, or say which fragment it replaces",
        Kind::Command => "make it a step of a scenario and cite its lines",
        Kind::Output => "make it what a claim becomes, and cite its lines",
        Kind::Promise => "add a requirement to the catalogue, and a claim that proves it",
        Kind::Remark => "read it; if it promises nothing, add it to the document's data as a remark",
    };
    Finding {
        class: Class::New,
        kind: new.kind,
        id: None,
        says: shortened(&new.excerpt),
        at: Some(at(new)),
        known_lines: None,
        alike: None,
        resembles: None,
        changes: Vec::new(),
        problem: new.problem.clone(),
        missing: None,
        steps: Vec::new(),
        requirements: Vec::new(),
        errata: Vec::new(),
        waived: None,
        advice: Some(advice.to_owned()),
    }
}

/// As much of a text as finds it again.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 90;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(ENOUGH) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default().trim_end()),
        None => line,
    }
}

fn advice(old: &KnownFragment, unreadable: bool, cover: &Cover) -> String {
    if unreadable {
        return "read it in the document: it may be a slip there, and an erratum here".to_owned();
    }
    let steps = if cover.steps.is_empty() { "the scenarios" } else { "the steps that cite it" };
    match old.kind {
        Kind::Manifest => format!("bring the manifests of {steps} in line"),
        Kind::Command => format!("bring {steps} in line with the command"),
        Kind::Output => format!("bring what {steps} expect in line"),
        Kind::Promise => format!("read it; then the wording of its requirements, and what {steps} claim"),
        Kind::Remark => "read it; nothing is proved of it so far".to_owned(),
    }
}

fn changes(old: &KnownFragment, new: &Fragment) -> Vec<Change> {
    if old.kind.is_prose() {
        return changes_in_prose(&old.facts, &new.facts);
    }
    let mut all = Vec::new();
    if old.what != new.what {
        all.push(Change {
            fact: "what".to_owned(),
            old: Some(old.what.clone()),
            new: Some(new.what.clone()),
        });
    }
    let keys: BTreeSet<_> = old.facts.keys().chain(new.facts.keys()).collect();
    for key in keys {
        let (a, b) = (old.facts.get(key), new.facts.get(key));
        if a.map(|a| facts::kept(a)) == b.map(|b| facts::kept(b)) || new.problem.is_some() && b.is_none() {
            continue;
        }
        let old = a.map(|a| b.map_or_else(|| a.clone(), |b| facts::told(a, b)));
        all.push(Change { fact: key.clone(), old, new: b.cloned() });
    }
    all
}

/// In a sentence, values of one kind have no names: those that both have are left out, the others belong together in their order.
fn changes_in_prose(old: &Facts, new: &Facts) -> Vec<Change> {
    let by_kind = |facts: &Facts| {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in facts {
            let kind = key.split('.').next().unwrap_or_default().to_owned();
            let values = if kind == "sense" {
                value.split(' ').map(str::to_owned).collect()
            } else {
                vec![facts::kept(value)]
            };
            all.entry(kind).or_default().extend(values);
        }
        all
    };
    let (mut old, mut new) = (by_kind(old), by_kind(new));
    let kinds: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let mut all = Vec::new();
    for kind in kinds {
        let (mut before, mut now) =
            (old.remove(&kind).unwrap_or_default(), new.remove(&kind).unwrap_or_default());
        if kind == "code" {
            labels(&mut before, &mut now);
        }
        before.retain(|value| match now.iter().position(|other| other == value) {
            Some(at) => {
                now.remove(at);
                false
            }
            None => true,
        });
        let length = before.len().max(now.len());
        let change = |at: usize| Change {
            fact: kind.clone(),
            old: before.get(at).cloned(),
            new: now.get(at).cloned(),
        };
        all.extend((0..length).map(change));
    }
    all
}

/// Labels and other code in a sentence are a set: how often it says one does not count, nor whether it says a label that both
/// have once more without its value. Of what is left, values of one label belong together.
fn labels(before: &mut Vec<String>, now: &mut Vec<String>) {
    let both: Vec<String> = before.iter().filter(|value| now.contains(value)).cloned().collect();
    let settled = |value: &String| both.iter().any(|known| known == value || label(known) == Some(value));
    for values in [&mut *before, &mut *now] {
        let mut seen = BTreeSet::new();
        values.retain(|value| !settled(value) && seen.insert(value.clone()));
    }
    // Those of one label first, in one order.
    let name = |value: &String| label(value).unwrap_or(value).to_owned();
    let shared = |value: &String, others: &[String]| others.iter().any(|other| name(other) == name(value));
    let (old, new) = (before.clone(), now.clone());
    before.sort_by_key(|value| (!shared(value, &new), shared(value, &new).then(|| name(value))));
    now.sort_by_key(|value| (!shared(value, &old), shared(value, &old).then(|| name(value))));
}

/// The key of `key: value` or `key=value`.
fn label(text: &str) -> Option<&str> {
    text.split_once([':', '=']).map(|(key, _)| key.trim())
}

fn values(findings: &[Finding], files: &[File]) -> Vec<ValueChange> {
    type Where<'a> = (Vec<String>, BTreeSet<&'a str>);
    let mut all: BTreeMap<(String, String), Where<'_>> = BTreeMap::new();
    for finding in findings {
        for change in
            finding.changes.iter().filter(|change| !matches!(change.fact.as_str(), "sense" | "what"))
        {
            if let (Some(old), Some(new)) = (&change.old, &change.new) {
                let (fragments, scenarios) = all.entry((old.clone(), new.clone())).or_default();
                let id = finding.id.clone().unwrap_or_default();
                if !fragments.contains(&id) {
                    fragments.push(id);
                }
                scenarios.extend(finding.steps.iter().map(|step| step.scenario.as_str()));
            }
        }
    }
    let value = |((old, new), (fragments, scenarios)): ((String, String), Where<'_>)| {
        let mut held = places::holding(&facts::kept(&old), files);
        // Scenarios that cite the fragments come first.
        let cites = |held: &Held| scenarios.iter().any(|id| held.file.contains(&format!("/{id}/")));
        held.sort_by_key(|held| !cites(held));
        ValueChange { old, new, fragments, held }
    };
    let mut all: Vec<_> = all.into_iter().map(value).collect();
    all.sort_by_key(|change| std::cmp::Reverse(change.fragments.len()));
    all
}
