//! Why a scenario did not end well, on one screen.

use std::path::Path;

use super::text::{self, in_other_words};
use meshproof_model::event::{ScenarioResult, StepResult, Verdict};

/// Lines are folded at this width, so that the explanation reads well in any terminal and in CI logs.
const WIDTH: usize = 110;

/// Column where the text of a field begins.
const INDENT: usize = 12;

/// What was expected, what was seen, why, where to look, and what to do next. Empty when nothing went
/// wrong, unless something had to: a world that is broken on purpose shows what a failure looks like. Paths are relative to the results of the run.
pub fn explain(result: &ScenarioResult) -> String {
    explain_below(result, None)
}

/// The same with paths below `results`.
pub(super) fn explain_below(result: &ScenarioResult, results: Option<&Path>) -> String {
    let red = result.red();
    if result.verdict.is_good() && result.problems.is_empty() && red.is_none() {
        return String::new();
    }
    let mut text = Text::default();
    match red.or_else(|| result.culprit()) {
        Some(step) => explain_step(&mut text, result, step, results),
        None => text.line(&format!("{}: {}", result.id, result.verdict)),
    }
    if result.broken.is_some() && red.is_none() {
        text.field("broken", &text::outcome(result));
    }
    for problem in &result.problems {
        text.field("also", problem);
    }
    text.0
}

fn explain_step(text: &mut Text, result: &ScenarioResult, step: &StepResult, results: Option<&Path>) {
    let verdict = match step.verdict {
        Verdict::Error => "ERROR",
        Verdict::Proved => "RED AS EXPECTED",
        _ => "FAILED",
    };
    let (number, of) = (step.info.index + 1, result.steps.len());
    text.line(&format!("{verdict}  {}, step {number} of {of}: {}", result.id, step.info.name));
    let mut place = vec![format!("scenario.yaml:{}", step.info.line)];
    place.extend(step.info.cites.iter().map(|lines| format!("cites {lines}")));
    if !step.info.proves.is_empty() {
        place.push(format!("was to prove {}", step.info.proves.join(", ")));
    }
    if !step.info.breaks.is_empty() {
        place.push(format!("breaks {}", step.info.breaks.join(", ")));
    }
    text.field("where", &place.join("; "));
    if let Some(instead) = &step.info.instead {
        text.field("instead", &in_other_words(instead));
    }
    if let Some(failure) = &step.failure {
        if !failure.doing.is_empty() && failure.doing != step.info.name {
            text.field("doing", &failure.doing);
        }
        text.field("expected", &failure.expected);
        text.field("seen", &failure.seen);
    } else {
        text.field("seen", &step.observed.summary);
    }
    if !step.observed.answers.is_empty() {
        let answers: Vec<String> = step.observed.answers.iter().take(6).map(text::answers).collect();
        text.field("answers", &answers.join("; "));
    }
    for testimony in &step.observed.witnesses {
        let held = if testimony.held { "holds" } else { "does not hold" };
        text.field("witness", &format!("{} {held}: {}", testimony.witness, testimony.summary));
    }
    let Some(failure) = &step.failure else { return };
    if let Some(diagnosis) = &failure.diagnosis {
        text.field("why", &format!("{}: {}", diagnosis.id, diagnosis.title));
        for reason in diagnosis.because.iter().take(5) {
            text.field("", &format!("- {reason}"));
        }
        text.field("do", &diagnosis.next);
    }
    if let Some(next) = &failure.next {
        text.field("next", next);
    }
    if let Some(evidence) = &failure.evidence {
        let folder = results.map_or_else(|| evidence.clone(), |results| results.join(evidence));
        text.field("evidence", &format!("{}/index.md", folder.display()));
    }
    text.field("again", &format!("meshproof run {} --keep failed", result.id));
}

/// Lines with a label in front, folded.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn field(&mut self, label: &str, text: &str) {
        let mut label = label;
        for paragraph in text.trim().lines() {
            for line in fold(paragraph, WIDTH - INDENT) {
                self.line(format!("  {label:<10}{line}").trim_end());
                label = "";
            }
        }
    }
}

/// Breaks a text at spaces. A word that is longer than `width` keeps its line to itself, whole: paths and
/// commands must be copied in one piece.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_failure_is_explained_on_one_screen() {
        let text = explain_below(&sample::failed(), Some(Path::new("target/meshproof/latest")));
        assert!(text.lines().count() <= 24, "longer than a small terminal:\n{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_broken_world_shows_its_failure_whether_it_was_the_right_one_or_not() {
        let red = explain(&sample::red());
        assert!(red.starts_with("RED AS EXPECTED  broken/istio-alpn, step 5 of 5: "), "{red}");
        assert!(red.contains("breaks R45") && red.contains("gateway-sends-istio-alpn"), "{red}");
        let failed = ScenarioResult { broken: sample::red().broken, ..sample::failed() };
        let text = explain(&failed);
        assert!(text.starts_with("FAILED  broken/istio-alpn, step 5 of 6: "), "{text}");
        assert!(
            text.contains("not red as expected: step 5 was to fail with gateway-sends-istio-alpn"),
            "{text}"
        );
    }

    #[test]
    fn what_is_proved_needs_no_explanation() {
        assert_eq!(explain(&sample::proved()), "");
    }

    #[test]
    fn a_failed_clean_up_is_told_even_when_all_steps_held() {
        let mut result = sample::proved();
        result.problems.push("namespace test-infra is still there".into());
        assert!(explain(&result).contains("also      namespace test-infra is still there"));
    }

    #[test]
    fn folding_keeps_long_words_whole() {
        assert_eq!(fold("a /very/long/path/to/something b", 8), ["a", "/very/long/path/to/something", "b"]);
        assert_eq!(fold("one two three", 8), ["one two", "three"]);
    }
}
