//! `comparison.html`: one self-contained page for people. No script and nothing from elsewhere.

use askama::Template;

use super::{Comparison, Gateway, Row, verdict_words};
use crate::text;
use meshproof_model::event::Verdict;

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    comparison: &'a Comparison,
    headline: String,
    columns: Vec<Column<'a>>,
    questions: Vec<Line<'a>>,
    groups: Vec<Group<'a>>,
    untried: Vec<&'a Row>,
    notes: Vec<Note<'a>>,
}

/// A gateway at the head of its column.
struct Column<'a> {
    name: &'a str,
    version: &'a str,
    class: &'a str,
    day: &'a str,
    started: String,
    took: String,
    kubernetes: &'a str,
    istio: &'a str,
    nodes: String,
    meshproof: &'a str,
    verdict: Sign,
    tally: Vec<Tally>,
    scenarios: Vec<(&'a str, Sign)>,
    report: Option<&'a str>,
}

struct Sign {
    class: String,
    sign: &'static str,
    word: String,
}

struct Tally {
    class: String,
    count: usize,
    word: String,
}

/// Rows under a heading.
struct Group<'a> {
    title: &'static str,
    anchor: &'static str,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    row: &'a Row,
    cells: Vec<Shown<'a>>,
}

struct Shown<'a> {
    /// Of whom it is, for narrow screens.
    gateway: &'a str,
    sign: Sign,
    says: &'a str,
    measured: String,
    evidence: Vec<String>,
    notes: Vec<usize>,
}

struct Note<'a> {
    number: usize,
    text: &'a str,
    /// Rows that point to it.
    rows: Vec<&'a str>,
}

/// The page.
///
/// # Errors
/// The template could not be filled.
pub(super) fn render(comparison: &Comparison) -> Result<String, askama::Error> {
    let known: Vec<&Row> = comparison.promises.iter().filter(|row| row.is_known()).collect();
    let untried = comparison.promises.iter().filter(|row| !row.is_known()).collect();
    let (differ, same): (Vec<&Row>, Vec<&Row>) = known.into_iter().partition(|row| row.differs());
    let groups = [
        group(comparison, "Promises in which they differ", "differ", differ),
        group(comparison, "Promises in which they do not", "same", same),
    ];
    let page = Page {
        comparison,
        headline: comparison.headline(),
        columns: columns(comparison),
        questions: comparison.questions.iter().map(|row| line(comparison, row)).collect(),
        groups: groups.into_iter().filter(|group| !group.lines.is_empty()).collect(),
        untried,
        notes: notes(comparison),
    };
    page.render()
}

fn group<'a>(
    comparison: &'a Comparison,
    title: &'static str,
    anchor: &'static str,
    rows: Vec<&'a Row>,
) -> Group<'a> {
    Group { title, anchor, lines: rows.into_iter().map(|row| line(comparison, row)).collect() }
}

fn sign(verdict: Option<Verdict>) -> Sign {
    let (sign, word) = verdict_words(verdict);
    Sign { class: verdict.map_or_else(|| "open".to_owned(), |verdict| verdict.to_string()), sign, word }
}

fn columns(comparison: &Comparison) -> Vec<Column<'_>> {
    comparison.gateways.iter().enumerate().map(|(at, gateway)| column(comparison, at, gateway)).collect()
}

fn column<'a>(comparison: &Comparison, at: usize, gateway: &'a Gateway) -> Column<'a> {
    let tally = |(verdict, count): (Verdict, usize)| Tally {
        class: verdict.to_string(),
        count,
        word: verdict.to_string(),
    };
    let scenarios = gateway.scenarios.iter();
    Column {
        name: &gateway.name,
        version: &gateway.version,
        class: &gateway.class,
        day: gateway.day(),
        started: text::moment(&gateway.started),
        took: text::duration(gateway.total_ms),
        kubernetes: &gateway.kubernetes,
        istio: &gateway.istio,
        nodes: crate::count(gateway.nodes, "node"),
        meshproof: &gateway.meshproof,
        verdict: sign(gateway.verdict.or(Some(Verdict::Error))),
        tally: comparison.tally(at).into_iter().map(tally).collect(),
        scenarios: scenarios.map(|(name, verdict)| (name.as_str(), sign(Some(*verdict)))).collect(),
        report: gateway.report.as_deref(),
    }
}

fn line<'a>(comparison: &'a Comparison, row: &'a Row) -> Line<'a> {
    let cells = comparison.gateways.iter().zip(&row.cells).map(|(gateway, cell)| Shown {
        gateway: &gateway.name,
        sign: sign(cell.verdict),
        says: &cell.says,
        measured: cell.measured.join("; "),
        evidence: cell.evidence.iter().map(ToString::to_string).collect(),
        notes: cell.notes.clone(),
    });
    Line { row, cells: cells.collect() }
}

fn notes(comparison: &Comparison) -> Vec<Note<'_>> {
    comparison.notes.iter().enumerate().map(|(at, text)| note(comparison, at + 1, text)).collect()
}

fn note<'a>(comparison: &'a Comparison, number: usize, text: &'a str) -> Note<'a> {
    let rows = comparison.questions.iter().chain(&comparison.promises);
    let rows = rows.filter(|row| row.cells.iter().any(|cell| cell.notes.contains(&number)));
    Note { number, text, rows: rows.map(|row| row.id.as_str()).collect() }
}
