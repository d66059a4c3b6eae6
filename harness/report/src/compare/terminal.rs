//! The table for a terminal: a block for each row, as columns would not fit. What differs comes first.

use std::fmt::Write as _;

use super::{Comparison, Row, verdict_words};

/// The text.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n", comparison.headline());
    for (at, gateway) in comparison.gateways.iter().enumerate() {
        let tally: Vec<String> =
            comparison.tally(at).into_iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let _ = writeln!(text, "  {}, {}: {}", gateway.title(), gateway.day(), tally.join(", "));
    }
    for caveat in &comparison.caveats {
        let _ = writeln!(text, "! {caveat}");
    }
    let wide = comparison.gateways.iter().map(|gateway| gateway.name.chars().count()).max().unwrap_or(0);
    let mut rows = |title: &str, rows: &[&Row]| {
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{title}");
            rows.iter().for_each(|shown| row(&mut text, comparison, shown, wide));
        }
    };
    rows("At a glance", &comparison.questions.iter().collect::<Vec<_>>());
    let known: Vec<&Row> = comparison.promises.iter().filter(|row| row.is_known()).collect();
    let (differ, same): (Vec<&Row>, Vec<&Row>) = known.into_iter().partition(|row| row.differs());
    rows("Promises in which they differ", &differ);
    rows("Promises in which they do not", &same);
    if !comparison.notes.is_empty() {
        text.push_str("\nNotes\n");
    }
    for (at, note) in comparison.notes.iter().enumerate() {
        let _ = writeln!(text, "  [{}] {note}", at + 1);
    }
    text
}

fn row(text: &mut String, comparison: &Comparison, row: &Row, wide: usize) {
    let _ = writeln!(text, "{}  {}", row.id, row.text);
    for (gateway, cell) in comparison.gateways.iter().zip(&row.cells) {
        let (sign, word) = verdict_words(cell.verdict);
        let _ = write!(text, "  {sign} {:wide$}  {word:9}", gateway.name);
        let mut said = cell.says.clone();
        if !cell.measured.is_empty() {
            let _ = write!(said, " ({})", cell.measured.join("; "));
        }
        if !said.is_empty() {
            let _ = write!(text, "  {said}");
        }
        for note in &cell.notes {
            let _ = write!(text, " [{note}]");
        }
        let kept = text.trim_end().len();
        text.truncate(kept);
        text.push('\n');
    }
}
