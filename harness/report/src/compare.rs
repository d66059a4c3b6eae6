//! Several gateways put to the same promises: one table of their reports. Pure; a run makes the reports, and the table can be made
//! again from them without a cluster.
//!
//! Rows are the pack's requirements and, above them, what people ask of any gateway beside a mesh; a cell holds a verdict, what it
//! rests on, and notes with the reasons. What differs from run to run stands in fields of its own (`measured`), so that two runs
//! give the same table ([`Comparison::normalised`]).

mod markdown;
mod page;
mod promises;
mod questions;
mod terminal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::json::Report;
use crate::normalise::normalise_value;
use meshproof_model::event::Verdict;
use meshproof_model::requirement::Catalogue;
use meshproof_model::visible;

/// Version of the shape of `comparison.json`.
pub const SCHEMA: u32 = 1;

/// The content of `comparison.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version of this shape.
    pub schema: u32,
    /// Name of the pack whose promises they were put to.
    pub pack: String,
    /// The gateways, a column each, in the order in which they were named.
    pub gateways: Vec<Gateway>,
    /// What is asked of any gateway beside a mesh, answered from what was seen.
    pub questions: Vec<Row>,
    /// What the pack's document promises.
    pub promises: Vec<Row>,
    /// Reasons, which cells point to by their place, from 1.
    pub notes: Vec<String>,
    /// What must not be overlooked: in what the runs differ beside the gateway, and what did not come to its end.
    pub caveats: Vec<String>,
}

/// A column: a gateway, and the run that put it to the test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// Its name, as its file has it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its GatewayClass.
    pub class: String,
    /// What came of its run; nothing if that was broken off.
    pub verdict: Option<Verdict>,
    /// Name of the run.
    pub run: String,
    /// When it started (RFC 3339).
    pub started: String,
    /// How long it took.
    pub total_ms: u64,
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// Version of Istio.
    pub istio: String,
    /// Number of nodes.
    pub nodes: usize,
    /// Version of meshproof.
    pub meshproof: String,
    /// The scenarios it was put to, and what came of each.
    pub scenarios: Vec<(String, Verdict)>,
    /// Where its own report stands, seen from the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

/// A row: a promise or a question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What is promised or asked.
    pub text: String,
    /// Lines of the document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lines: String,
    /// A cell for each gateway.
    pub cells: Vec<Cell>,
}

/// What is known of one gateway in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The verdict; nothing if the run did not put it to the test.
    pub verdict: Option<Verdict>,
    /// What was seen, in a line.
    pub says: String,
    /// Times and counts, which differ from run to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<String>,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Places of its notes, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<usize>,
}

/// A step, or a witness heard at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The scenario.
    pub scenario: String,
    /// The step, from 1.
    pub step: usize,
    /// The witness, if one was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// What it saw.
    pub saw: String,
}

/// The reports are not about the same thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// There is none.
    #[error("comparing reports: there is none; name the folders of results")]
    Nothing,
    /// One does not say which gateway it is about.
    #[error(
        "comparing reports: run {0} does not say which gateway it is about, as it did not come to its scenarios; run it again"
    )]
    Nameless(String),
    /// Two are about the same gateway.
    #[error(
        "comparing reports: runs {0} and {1} are both about {2}; make one of them first: meshproof report merge --into FOLDER REPORT…"
    )]
    Twice(String, String, String),
    /// They are about different packs.
    #[error(
        "comparing reports: run {0} is about the pack {1} and run {2} about {3}; only one pack's promises can be compared"
    )]
    Packs(String, String, String, String),
}

/// What reports of the same promises say, side by side; a column each, in this order.
///
/// # Errors
/// They are not about one pack and different gateways.
pub fn of(reports: &[Report]) -> Result<Comparison, Incomparable> {
    let first = reports.first().ok_or(Incomparable::Nothing)?;
    let mut columns: BTreeMap<String, &str> = BTreeMap::new();
    for report in reports {
        let Some(gateway) = &report.implementation else {
            return Err(Incomparable::Nameless(report.run.clone()));
        };
        let name = format!("{} {}", gateway.name, gateway.version);
        if let Some(other) = columns.insert(name.clone(), &report.run) {
            return Err(Incomparable::Twice(other.to_owned(), report.run.clone(), name));
        }
        let (one, two) = (pack_of(first), pack_of(report));
        if one != two {
            return Err(Incomparable::Packs(first.run.clone(), one, report.run.clone(), two));
        }
    }
    let mut notes = Notes::default();
    let questions = questions::rows(reports, &mut notes);
    let promises = promises::rows(reports, &catalogue(first), &mut notes);
    Ok(Comparison {
        schema: SCHEMA,
        pack: pack_of(first),
        gateways: reports.iter().map(gateway).collect(),
        questions,
        promises,
        notes: notes.0,
        caveats: caveats(reports),
    })
}

/// The pack a report is about; nothing is said in reports from before packs were told.
fn pack_of(report: &Report) -> String {
    report.pack.as_ref().map(|pack| pack.name.clone()).unwrap_or_default()
}

/// What the pack promises, as the report has it; of one from before packs were told, the built-in one.
fn catalogue(report: &Report) -> Vec<meshproof_model::requirement::Requirement> {
    match &report.pack {
        Some(pack) => pack.requirements.clone(),
        None => Catalogue::built_in().map(|catalogue| catalogue.requirements).unwrap_or_default(),
    }
}

fn gateway(report: &Report) -> Gateway {
    let info = report.implementation.clone().unwrap_or_default();
    let cluster = report.cluster.clone().unwrap_or_default();
    Gateway {
        name: info.name,
        version: info.version,
        class: info.gateway_class,
        verdict: report.verdict,
        run: report.run.clone(),
        started: report.started.clone(),
        total_ms: report.timings.total,
        kubernetes: cluster.kubernetes,
        istio: cluster.istio,
        nodes: cluster.nodes,
        meshproof: report.basis.harness.version.clone(),
        scenarios: report.scenarios.iter().map(|one| (one.name(), one.verdict)).collect(),
        report: None,
    }
}

/// What the table must not be read without.
fn caveats(reports: &[Report]) -> Vec<String> {
    let mut caveats = Vec::new();
    let name = |report: &Report| report.implementation.clone().unwrap_or_default().name;
    if let Some((first, others)) = reports.split_first() {
        for other in others {
            let mut differ = Vec::new();
            let clusters =
                (first.cluster.clone().unwrap_or_default(), other.cluster.clone().unwrap_or_default());
            for (what, one, two) in [
                ("Kubernetes", clusters.0.kubernetes, clusters.1.kubernetes),
                ("Istio", clusters.0.istio, clusters.1.istio),
                ("nodes", clusters.0.nodes.to_string(), clusters.1.nodes.to_string()),
            ] {
                if one != two {
                    differ.push(format!("{what} is {one} for the one and {two} for the other"));
                }
            }
            // That another gateway has other charts, images and expectations is the point of comparing.
            let of_the_gateway = ["implementation file", "chart ", "image ", "scenario "];
            let rest = first.basis.differences(&other.basis).into_iter();
            let rest = rest.filter(|one| !of_the_gateway.iter().any(|its| one.what.contains(its)));
            differ.extend(rest.map(|one| format!("{} is another", one.what)));
            if !differ.is_empty() {
                caveats.push(format!(
                    "{} and {} were not put to the same test: {}.",
                    name(first),
                    name(other),
                    differ.join("; ")
                ));
            }
        }
    }
    for report in reports {
        caveats
            .extend(report.errors.iter().map(|(phase, error)| format!("{}: {phase}: {error}", name(report))));
        if report.verdict.is_none() {
            caveats.push(format!("{}: its run was broken off.", name(report)));
        }
        let not_run = report.not_run();
        if !not_run.is_empty() {
            caveats.push(format!("{}: not run: {}.", name(report), not_run.join(", ")));
        }
        caveats.extend(report.caveats().into_iter().map(|caveat| format!("{}: {caveat}.", name(report))));
    }
    caveats
}

/// Reasons, each said once.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    /// Places of these reasons, from 1, each once and in order.
    fn places<'a>(&mut self, reasons: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
        let mut places = Vec::new();
        for reason in reasons {
            let known = self.0.iter().position(|known| known == reason);
            let place = known.unwrap_or_else(|| {
                self.0.push(reason.to_owned());
                self.0.len() - 1
            });
            if !places.contains(&(place + 1)) {
                places.push(place + 1);
            }
        }
        places
    }
}

impl Row {
    /// Whether the gateways differ in it.
    pub fn differs(&self) -> bool {
        self.cells.windows(2).any(|two| matches!(two, [one, other] if one.verdict != other.verdict))
    }

    /// Whether anything was put to the test.
    pub fn is_known(&self) -> bool {
        self.cells.iter().any(|cell| cell.verdict.is_some())
    }
}

impl Gateway {
    /// `istio 1.31.0`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }

    /// The day of its run.
    pub fn day(&self) -> &str {
        self.started.split_once('T').map_or(&self.started, |(day, _)| day)
    }
}

impl Comparison {
    /// One line about all: `2 gateways, 48 promises: they differ in 21`.
    pub fn headline(&self) -> String {
        let known = self.promises.iter().filter(|row| row.is_known()).count();
        let differ = self.promises.iter().filter(|row| row.differs()).count();
        let gateways = crate::count(self.gateways.len(), "gateway");
        match (known, differ) {
            (0, _) => format!("{gateways}; no promise was put to the test"),
            (_, 0) => format!("{gateways}, {}: they do not differ", crate::count(known, "promise")),
            _ => format!("{gateways}, {}: they differ in {differ}", crate::count(known, "promise")),
        }
    }

    /// How many promises of a column ended in a verdict, from good to bad.
    pub fn tally(&self, column: usize) -> Vec<(Verdict, usize)> {
        let cells = || self.promises.iter().filter_map(move |row| row.cells.get(column)?.verdict);
        let count = |verdict: Verdict| (verdict, cells().filter(|one| *one == verdict).count());
        Verdict::ALL.into_iter().map(count).filter(|(_, count)| *count > 0).collect()
    }

    /// Whether nothing went wrong in any of the runs.
    pub fn is_good(&self) -> bool {
        self.gateways.iter().all(|gateway| gateway.verdict.is_some_and(Verdict::is_good))
    }

    /// What two runs of the same have in common: without times, counts and names of runs and pods.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn normalised(&self) -> serde_json::Result<serde_json::Value> {
        let mut plain = self.clone();
        for gateway in &mut plain.gateways {
            (gateway.run, gateway.started, gateway.report) = (String::new(), String::new(), None);
        }
        Ok(normalise_value(&serde_json::to_value(plain)?))
    }

    /// In what another table says something else, in words; nothing if it is the same but for what differs from run to run.
    ///
    /// # Errors
    /// One of them cannot be written as JSON.
    pub fn differences(&self, before: &Self) -> serde_json::Result<Vec<String>> {
        let (now, then) = (self.normalised()?, before.normalised()?);
        let mut differences = Vec::new();
        for part in ["pack", "gateways", "notes", "caveats"] {
            if now[part] != then[part] {
                differences.push(part.to_owned());
            }
        }
        for part in ["questions", "promises"] {
            let rows = |table: &serde_json::Value| table[part].as_array().cloned().unwrap_or_default();
            let (now, then) = (rows(&now), rows(&then));
            let id = |row: &serde_json::Value| row["id"].as_str().unwrap_or_default().to_owned();
            let other = |row: &&serde_json::Value| !then.contains(row);
            differences.extend(now.iter().filter(other).map(id));
            let gone = then.iter().filter(|row| !now.iter().any(|one| id(one) == id(row)));
            differences.extend(gone.map(|row| format!("{} is gone", id(row))));
        }
        Ok(differences)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        terminal::text(self)
    }

    /// For a repository's pages.
    pub fn markdown(&self) -> String {
        markdown::text(self)
    }

    /// One self-contained page.
    ///
    /// # Errors
    /// The template could not be filled.
    pub fn html(&self) -> Result<String, askama::Error> {
        page::render(self)
    }

    /// Writes `comparison.json`, `comparison.md` and `comparison.html` into a folder.
    ///
    /// # Errors
    /// A file cannot be written; the error names it.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let this: Self = visible::of(self).map_err(io::Error::other)?;
        let json = serde_json::to_string_pretty(&this).map_err(io::Error::other)?;
        crate::write(&folder.join("comparison.json"), &(json + "\n"))?;
        crate::write(&folder.join("comparison.md"), &this.markdown())?;
        crate::write(&folder.join("comparison.html"), &this.html().map_err(io::Error::other)?)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, step {}", self.scenario, self.step)?;
        match &self.witness {
            Some(witness) => write!(f, ", {witness}: {}", self.saw),
            None => write!(f, ": {}", self.saw),
        }
    }
}

/// Sign and word of a verdict; `not tried` where there is none.
fn verdict_words(verdict: Option<Verdict>) -> (&'static str, String) {
    match verdict {
        Some(verdict) => (crate::text::sign(verdict), verdict.to_string()),
        None => ("·", "not tried".to_owned()),
    }
}
