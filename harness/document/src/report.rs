//! A comparison as text for people who bring scenarios up to date.

use std::fmt::Write as _;

use super::compare::{Change, Class, Comparison, Finding};
use super::cover::{Required, State, Step};

/// More files than these are counted, not listed.
const FILES: usize = 8;

/// The comparison, one screen for a few changes. With `all`, what is covered is listed as well.
pub fn text(comparison: &Comparison, file: &str, all: bool) -> String {
    let mut text = String::new();
    let edition =
        comparison.edition.as_ref().map_or("undated".to_owned(), |edition| format!("edition {edition}"));
    let _ = writeln!(
        text,
        "{file}: {}, {edition}; the scenarios follow {}",
        comparison.document, comparison.known_edition
    );
    let order = [Class::Covered, Class::Changed, Class::New, Class::Gone, Class::Uncovered];
    let counts =
        order.map(|class| format!("{} {class}", comparison.counts.get(&class).copied().unwrap_or_default()));
    let _ = writeln!(text, "{}", counts.join(", "));
    for class in order.iter().skip(usize::from(!all)) {
        for finding in comparison.fragments.iter().filter(|finding| finding.class == *class) {
            text.push('\n');
            describe(&mut text, finding);
        }
    }
    if !all {
        reworded(&mut text, comparison);
    }
    values(&mut text, comparison);
    closing(&mut text, comparison, file);
    text
}

fn describe(text: &mut String, finding: &Finding) {
    let place = match (&finding.at, &finding.known_lines) {
        (Some(at), Some(was)) if at.lines != *was => format!(" at {}, was {was}", at.lines),
        (Some(at), _) => format!(" at {}", at.lines),
        (None, Some(was)) => format!(", was {was}"),
        (None, None) => String::new(),
    };
    let id = finding.id.as_ref().map(|id| format!("{id}  ")).unwrap_or_default();
    let class = finding.class.to_string().to_uppercase();
    let _ = writeln!(text, "{class}  {id}{}{place}", finding.kind);
    field(text, "says", &finding.says);
    if finding.class == Class::Uncovered {
        finding.missing.iter().for_each(|missing| field(text, "missing", missing));
        return;
    }
    if let Some(at) = finding.at.as_ref().filter(|_| finding.class != Class::Covered) {
        let tab = at.tab.iter().map(|tab| format!("tab {tab}"));
        let section: Vec<_> = at.section.iter().skip(1).cloned().chain(tab).collect();
        if !section.is_empty() {
            field(text, "in", &section.join(" › "));
        }
    }
    if let Some(problem) = &finding.problem {
        field(text, "problem", problem);
    }
    if let Some(alike) = finding.alike {
        field(text, "wording", &format!("{alike} % alike"));
    }
    if let Some(id) = &finding.resembles {
        field(text, "perhaps", &format!("what became of {id}, which is gone"));
    }
    finding.changes.iter().for_each(|change| field(text, "value", &shown(change)));
    finding.steps.iter().for_each(|step| field(text, "cited by", &cited(step)));
    let mut by_fate: Vec<(String, Vec<&str>)> = Vec::new();
    for required in &finding.requirements {
        let fate = fate(required);
        match by_fate.iter_mut().find(|(known, _)| *known == fate) {
            Some((_, ids)) => ids.push(&required.id),
            None => by_fate.push((fate, vec![&required.id])),
        }
    }
    by_fate.iter().for_each(|(fate, ids)| field(text, "requires", &format!("{}: {fate}", ids.join(" "))));
    if !finding.errata.is_empty() {
        field(text, "errata", &finding.errata.join(" "));
    }
    if let Some(waived) = &finding.waived {
        field(text, "waived", waived);
    }
    if let Some(missing) = &finding.missing {
        field(text, "missing", missing);
    }
    if let Some(advice) = &finding.advice {
        field(text, "do", advice);
    }
}

fn fate(required: &Required) -> String {
    match required.state {
        State::Proved => format!("proved by {}", required.scenarios.join(", ")),
        State::Erratum => "an erratum that a scenario meets".to_owned(),
        State::Measured => "measured".to_owned(),
        State::Waived => "waived".to_owned(),
        State::Open => "not proved".to_owned(),
    }
}

fn field(text: &mut String, label: &str, value: &str) {
    let _ = writeln!(text, "  {label:<9} {value}");
}

fn shown(change: &Change) -> String {
    let quoted = |value: &str| match value {
        "" => "(empty)".to_owned(),
        value => value.to_owned(),
    };
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{}: {} → {}", change.fact, quoted(old), quoted(new)),
        (Some(old), None) => format!("{}: {} is gone", change.fact, quoted(old)),
        (None, Some(new)) => format!("{}: {} is new", change.fact, quoted(new)),
        (None, None) => change.fact.clone(),
    }
}

fn cited(step: &Step) -> String {
    let lines = step.cites.as_ref().map(|cites| format!(" as {cites}")).unwrap_or_default();
    format!("{}:{}{lines}, step {} of {}: {}", step.file.display(), step.line, step.step, step.of, step.name)
}

fn reworded(text: &mut String, comparison: &Comparison) {
    let covered = comparison.fragments.iter().filter(|finding| finding.class == Class::Covered);
    let all: Vec<_> = covered
        .filter_map(|finding| {
            let lines = &finding.at.as_ref()?.lines;
            Some(format!("{} at {lines} ({} %)", finding.id.as_ref()?, finding.alike?))
        })
        .collect();
    if !all.is_empty() {
        let _ = writeln!(text, "\nReworded, with the same values: {}", all.join(", "));
    }
}

fn values(text: &mut String, comparison: &Comparison) {
    if !comparison.values.is_empty() {
        text.push_str("\nVALUES\n");
    }
    for change in &comparison.values {
        let _ = writeln!(text, "  {} → {}  in {}", change.old, change.new, change.fragments.join(", "));
        let files: Vec<_> = change.held.chunk_by(|a, b| a.file == b.file).collect();
        for places in files.iter().take(FILES) {
            let lines: Vec<_> = places.iter().map(|held| held.line.to_string()).collect();
            let file = places.first().map(|held| held.file.as_str()).unwrap_or_default();
            let _ = writeln!(text, "    {file}:{}", lines.join(","));
        }
        if files.len() > FILES {
            let _ = writeln!(text, "    and {} more files; --json lists them", files.len() - FILES);
        }
    }
}

fn closing(text: &mut String, comparison: &Comparison, file: &str) {
    if comparison.covered {
        text.push_str("\nEverything it says is covered.\n");
        return;
    }
    let drift = comparison.fragments.iter().any(|f| !matches!(f.class, Class::Covered | Class::Uncovered));
    if drift {
        let _ = writeln!(
            text,
            "\nWhen the scenarios are up to date: meshproof doc fingerprint {file} prints the data of this edition, for \
             scenarios/documents/."
        );
    }
}
