//! The table in Markdown, for a repository's pages.

use std::fmt::Write as _;

use super::{Cell, Comparison, Row, verdict_words};

/// The text.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut text = format!("# Gateways beside an Istio mesh, compared\n\n{}.\n", comparison.headline());
    text.push_str("\n| gateway | version | GatewayClass | put to the test | Kubernetes | Istio | meshproof | promises |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for (at, gateway) in comparison.gateways.iter().enumerate() {
        let tally: Vec<String> =
            comparison.tally(at).into_iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let tally = tally.join(", ");
        let fields = [
            gateway.name.as_str(),
            &gateway.version,
            &gateway.class,
            gateway.day(),
            &gateway.kubernetes,
            &gateway.istio,
            &gateway.meshproof,
            &tally,
        ];
        let fields: Vec<String> = fields.into_iter().map(plain).collect();
        let _ = writeln!(text, "| {} |", fields.join(" | "));
    }
    if !comparison.caveats.is_empty() {
        text.push_str("\nNot to be overlooked:\n\n");
        comparison.caveats.iter().for_each(|caveat| {
            let _ = writeln!(text, "- {}", plain(caveat));
        });
    }
    table(&mut text, comparison, "At a glance", "question", &comparison.questions.iter().collect::<Vec<_>>());
    let known: Vec<&Row> = comparison.promises.iter().filter(|row| row.is_known()).collect();
    let (differ, same): (Vec<&Row>, Vec<&Row>) = known.into_iter().partition(|row| row.differs());
    table(&mut text, comparison, "Promises in which they differ", "promise", &differ);
    table(&mut text, comparison, "Promises in which they do not", "promise", &same);
    if !comparison.notes.is_empty() {
        text.push_str("\n## Notes\n\n");
        for (at, note) in comparison.notes.iter().enumerate() {
            let _ = writeln!(text, "{}. {}", at + 1, plain(note));
        }
    }
    text.push_str(
        "\nA sign and a word say what a run came to: `proved`, `partly` (not all of it, or not as the document says), `measured` \
         (seen, nothing promised), `waived` (not promised, or nothing could show it), `failed`; `not tried` where no scenario of \
         the run asks.\n",
    );
    text
}

fn table(text: &mut String, comparison: &Comparison, title: &str, what: &str, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    let names: Vec<String> = comparison.gateways.iter().map(|gateway| plain(&gateway.name)).collect();
    let _ = writeln!(text, "\n## {title}\n\n| {what} | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
    for row in rows {
        let cells: Vec<String> = row.cells.iter().map(cell).collect();
        let id = if what == "promise" { format!("**{}** ", plain(&row.id)) } else { String::new() };
        let _ = writeln!(text, "| {id}{} | {} |", plain(&row.text), cells.join(" | "));
    }
}

fn cell(cell: &Cell) -> String {
    let (sign, word) = verdict_words(cell.verdict);
    let mut text = format!("{sign} {word}");
    if !cell.says.is_empty() {
        let _ = write!(text, ": {}", plain(&cell.says));
    }
    if !cell.measured.is_empty() {
        let _ = write!(text, "; {}", plain(&cell.measured.join("; ")));
    }
    if !cell.notes.is_empty() {
        let notes: Vec<String> = cell.notes.iter().map(usize::to_string).collect();
        let _ = write!(text, " (note {})", notes.join(", "));
    }
    text
}

/// Text that stays in its cell, and is not read as markup.
fn plain(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut plain = String::new();
    for c in one_line.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => plain.extend(['\\', c]),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            c => plain.push(c),
        }
    }
    plain
}
