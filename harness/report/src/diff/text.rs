//! The difference of two runs, for people: what got worse first.

use super::{Aspect, Change, Diff, Grade, NOISE, Side, Subject};
use crate::text::{count, moment};

pub(super) fn render(diff: &Diff) -> String {
    let mut text = Text::default();
    text.side("a", &diff.a);
    text.side("b", &diff.b);
    for (grade, title) in
        [(Grade::Worse, "worse"), (Grade::Better, "better"), (Grade::Other, "also different")]
    {
        let changes: Vec<&Change> = diff.changes.iter().filter(|change| change.grade == grade).collect();
        if !changes.is_empty() {
            text.section(title, &changes);
        }
    }
    text.line("");
    text.line(&verdict(diff));
    if diff.changes.iter().any(|change| change.aspect == Aspect::Time) {
        let (percent, ms) = (NOISE.percent, NOISE.ms);
        text.line(&format!(
            "Times count as different from {percent} % and {ms} ms on; one run of each is no statistic."
        ));
    }
    text.0
}

/// What it comes to, in one line.
fn verdict(diff: &Diff) -> String {
    if diff.changes.is_empty() {
        return "No difference.".into();
    }
    let of = |subject, grade| {
        let here = |change: &&Change| change.subject == subject && change.grade == grade;
        diff.changes.iter().filter(here).count()
    };
    let parts: Vec<String> = [Grade::Worse, Grade::Better]
        .into_iter()
        .filter(|grade| diff.changes.iter().any(|change| change.grade == *grade))
        .map(|grade| {
            let word = if grade == Grade::Worse { "worse" } else { "better" };
            let (requirements, scenarios) = (of(Subject::Requirement, grade), of(Subject::Scenario, grade));
            format!("{word}: {}, {}", count(requirements, "requirement"), count(scenarios, "scenario"))
        })
        .collect();
    if parts.is_empty() { "No difference in verdicts.".into() } else { format!("{}.", parts.join("; ")) }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn side(&mut self, name: &str, side: &Side) {
        let verdict = side.verdict.map_or_else(|| "broken off".to_owned(), |verdict| verdict.to_string());
        self.line(&format!("{name}  {}  {verdict}  started {}", side.run, moment(&side.started)));
    }

    fn section(&mut self, title: &str, changes: &[&Change]) {
        self.line("");
        self.line(title);
        let mut above = None;
        for group in grouped(changes) {
            let Some(first) = group.first() else { continue };
            let heading = first.scenario.as_deref().filter(|_| first.subject == Subject::Step);
            if heading != above {
                if let Some(scenario) = heading {
                    self.line(&format!("  {scenario}"));
                }
                above = heading;
            }
            let indent = if heading.is_some() { "    " } else { "  " };
            self.line(&format!("{indent}{}", in_words(first, &subjects(&group))));
        }
    }
}

/// Changes that are told in one line: requirements with the same change of verdict, and steps that are not reached any
/// more, or are again. A group stands where its first change does.
fn grouped<'a>(changes: &[&'a Change]) -> Vec<Vec<&'a Change>> {
    let mut groups: Vec<Vec<&Change>> = Vec::new();
    for change in changes {
        let alike = |group: &&mut Vec<&Change>| {
            group.first().is_some_and(|first| {
                let same = |one: &Change, other: &Change| {
                    (one.subject, one.aspect, &one.scenario, &one.a, &one.b)
                        == (other.subject, other.aspect, &other.scenario, &other.a, &other.b)
                };
                can_be_grouped(first) && same(first, change)
            })
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    groups
}

fn can_be_grouped(change: &Change) -> bool {
    let skipped = || [&change.a, &change.b].iter().any(|side| side.as_deref() == Some("skipped"));
    change.aspect == Aspect::Verdict
        && (change.subject == Subject::Requirement || change.subject == Subject::Step && skipped())
}

/// What a group is about: `R3, R12`, `21 steps`, or the one thing there is.
fn subjects(group: &[&Change]) -> String {
    let names = || group.iter().filter_map(|change| change.name.as_deref()).collect::<Vec<_>>();
    match group {
        [] => String::new(),
        [one] => match (one.subject, &one.scenario, &one.name) {
            (Subject::Run, ..) => "the run".to_owned(),
            (Subject::Scenario, Some(scenario), _) => scenario.clone(),
            (Subject::Phase, _, Some(phase)) => format!("phase {phase}"),
            (_, _, Some(name)) => name.clone(),
            _ => String::new(),
        },
        [first, ..] if first.subject == Subject::Step => count(group.len(), "step"),
        _ => names().join(", "),
    }
}

/// `R45: proved → failed`.
fn in_words(change: &Change, what: &str) -> String {
    let aspect = match change.aspect {
        Aspect::Verdict | Aspect::Version | Aspect::Content | Aspect::Presence => "",
        Aspect::Answers => ", answers",
        Aspect::Witnesses => ", witnesses",
        Aspect::Diagnosis => ", diagnosis",
        Aspect::Traffic => ", constant traffic",
        Aspect::Time => ", time",
    };
    match (change.aspect, &change.a, &change.b) {
        (Aspect::Presence, None, _) => format!("{what}: a new step"),
        (Aspect::Presence, _, None) => format!("{what}: the step is gone"),
        (Aspect::Content, Some(a), Some(b)) => format!("{what}: {} → {}", shortened(a), shortened(b)),
        (_, a, b) => {
            let absent = if change.aspect == Aspect::Verdict { "not run" } else { "none" };
            let word = |side: &Option<String>| side.clone().unwrap_or_else(|| absent.to_owned());
            format!("{what}{aspect}: {} → {}", word(a), word(b))
        }
    }
}

/// Digits of a digest that tell it from another for people; the report has all of them.
const DIGITS: usize = 12;

/// Digests, each so long that it can be told from others.
fn shortened(digests: &str) -> String {
    let each = digests.split(", ").map(|digest| match digest.split_once(':') {
        Some((algorithm, digits)) if digits.len() > DIGITS => {
            format!("{algorithm}:{}…", digits.chars().take(DIGITS).collect::<String>())
        }
        _ => digest.to_owned(),
    });
    each.collect::<Vec<_>>().join(", ")
}
