//! A scenario on the page: its timeline and its steps.

use std::path::Path;

use serde_json::Value;

use super::strip::Strip;
use super::{Link, Named, Sign, anchor, evidence, named, percent, step_anchor};
use crate::text;
use meshproof_model::event::{
    ErratumInfo, Failure, ScenarioResult, StepKind, StepResult, Testimony, Verdict,
};

/// At most so many marks on the time axis.
const TICKS: u64 = 6;

pub(super) struct Scenario {
    pub(super) anchor: String,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) document: String,
    pub(super) took: String,
    pub(super) clean_up: String,
    pub(super) transcript: String,
    pub(super) verdict: Sign,
    /// `32 of 32 requirements proved`, or whether it is red as expected.
    pub(super) requirements: String,
    pub(super) errata: Vec<Erratum>,
    pub(super) problems: Vec<String>,
    pub(super) kept: Vec<String>,
    pub(super) ticks: Vec<Tick>,
    pub(super) steps: Vec<Step>,
    /// Constant traffic, on the same time axis as the steps.
    pub(super) traffic: Vec<Strip>,
}

/// A place where the document's text cannot hold.
pub(super) struct Erratum {
    pub(super) id: String,
    pub(super) problem: String,
    pub(super) correction: String,
}

impl Erratum {
    fn new(erratum: &ErratumInfo) -> Self {
        let ErratumInfo { id, problem, correction } = erratum.clone();
        Self { id, problem, correction: correction.unwrap_or_default() }
    }
}

/// A mark on the time axis.
pub(super) struct Tick {
    pub(super) left: String,
    pub(super) label: String,
}

pub(super) struct Step {
    pub(super) anchor: String,
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) verdict: Sign,
    pub(super) proves: Vec<String>,
    /// What is special about its verdict.
    pub(super) remark: &'static str,
    pub(super) result: String,
    pub(super) left: String,
    pub(super) width: String,
    pub(super) took: String,
    pub(super) ran: bool,
    pub(super) open: bool,
    pub(super) failure: Option<Failure>,
    pub(super) expected: String,
    pub(super) fields: Vec<Named>,
    pub(super) answers: Vec<String>,
    pub(super) witnesses: Vec<Witness>,
    pub(super) evidence: Vec<Link>,
    pub(super) detail: String,
    /// Its requests over time; at most one.
    pub(super) strips: Vec<Strip>,
}

pub(super) struct Witness {
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) verdict: Sign,
    pub(super) detail: String,
}

impl Scenario {
    pub(super) fn new(scenario: &ScenarioResult, results: &Path) -> Self {
        let name = scenario.name();
        let whole = whole(scenario);
        let traffic = scenario.steps.iter().filter_map(|step| step.observed.traffic.as_deref());
        let round = scenario.round.map(|round| format!(" (round {round})")).unwrap_or_default();
        Self {
            anchor: anchor(&name),
            transcript: evidence::relative(&format!("transcript/{name}.yaml")),
            title: format!("{}{round}", scenario.title),
            document: scenario.document.clone(),
            took: text::duration(scenario.duration_ms),
            clean_up: if scenario.cleanup_ms > 0 {
                text::duration(scenario.cleanup_ms)
            } else {
                String::new()
            },
            verdict: scenario.verdict.into(),
            requirements: text::outcome(scenario),
            errata: scenario.errata.iter().map(Erratum::new).collect(),
            problems: scenario.problems.clone(),
            kept: scenario.kept.clone(),
            ticks: ticks(whole),
            traffic: traffic.map(|traffic| Strip::of_traffic(traffic, whole)).collect(),
            steps: scenario.steps.iter().map(|step| Step::new(&name, step, whole, results)).collect(),
            name,
        }
    }
}

/// What the time axis spans, in milliseconds.
fn whole(scenario: &ScenarioResult) -> u64 {
    let ends = scenario.steps.iter().map(|step| step.started_ms + step.duration_ms);
    ends.max().unwrap_or_default().max(scenario.duration_ms).max(1)
}

/// Marks at round times: 1, 2 or 5 of a power of ten, or of a minute.
fn ticks(whole_ms: u64) -> Vec<Tick> {
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000]
        .into_iter()
        .chain((0..).map(|power| 60_000_u64 << power));
    let fits = |step: &u64| whole_ms / step < TICKS;
    let Some(step) = steps.take(40).find(fits) else { return Vec::new() };
    // The last mark must leave room for its label.
    let marks = (0..).map(|number| number * step).take_while(|at| at * 100 <= whole_ms * 95);
    marks.map(|at| Tick { left: percent(at, whole_ms), label: axis(at) }).collect()
}

/// `0`, `200 ms`, `15 s`, `2 min`.
fn axis(ms: u64) -> String {
    match ms {
        0 => "0".into(),
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}

impl Step {
    fn new(scenario: &str, step: &StepResult, whole: u64, results: &Path) -> Self {
        let number = step.info.index + 1;
        let folder = step.failure.as_ref().and_then(|failure| failure.evidence.as_deref());
        let ran = step.verdict.is_taken();
        Self {
            anchor: step_anchor(scenario, number),
            number,
            name: step.info.name.clone(),
            kind: match step.info.kind {
                StepKind::Action => "action",
                StepKind::Claim => "claim",
            },
            verdict: step.verdict.into(),
            proves: step.info.proves.clone(),
            remark: remark(step),
            result: step.observed.summary.clone(),
            left: percent(step.started_ms, whole),
            width: percent(step.duration_ms, whole),
            took: if ran { text::duration(step.duration_ms) } else { String::new() },
            ran,
            open: matches!(step.verdict, Verdict::Failed | Verdict::Error),
            failure: step.failure.clone(),
            expected: step.info.expected.clone().unwrap_or_default(),
            fields: fields(step),
            answers: step.observed.answers.iter().map(text::answers).collect(),
            witnesses: step.observed.witnesses.iter().map(Witness::new).collect(),
            evidence: folder.map(|folder| evidence::links(folder, results)).unwrap_or_default(),
            detail: pretty(&step.observed.detail),
            strips: Strip::of_claim(&step.observed).into_iter().collect(),
        }
    }
}

fn remark(step: &StepResult) -> &'static str {
    match (&step.info.must_fail, step.info.measured, step.verdict) {
        (Some(_), _, Verdict::Proved) => "failed as expected",
        (Some(_), ..) => "expected to fail",
        (None, ..) if !step.info.sets_aside.is_empty() => "read otherwise",
        (None, ..) => "",
    }
}

fn fields(step: &StepResult) -> Vec<Named> {
    let mut fields = Vec::new();
    let after = |ms| format!("after {}", text::duration(ms));
    if let Some(ms) = step.observed.first_ms {
        fields.push(named("first so", after(ms)));
    }
    if let Some(ms) = step.observed.became_ms {
        fields.push(named("became so", after(ms)));
    }
    if let Some(stayed) = step.observed.stayed {
        let requests = if stayed.requests == 0 {
            String::new()
        } else {
            format!(", {}", text::count(stayed.requests, "request"))
        };
        fields.push(named("stayed so", format!("for {}{requests}", text::duration(stayed.ms))));
    }
    if let Some(lines) = &step.info.cites {
        fields.push(named("document", lines));
    }
    if let Some(must_fail) = &step.info.must_fail {
        fields.push(named("must fail", format!("with the diagnosis {must_fail}")));
    }
    if step.info.measured {
        fields.push(named("measured", "the document does not say what happens; whatever does is recorded"));
    }
    if !step.info.errata.is_empty() {
        fields.push(named("errata", step.info.errata.join(", ")));
    }
    if !step.info.waives.is_empty() {
        fields.push(named("waived", step.info.waives.join(", ")));
    }
    if !step.info.breaks.is_empty() {
        fields.push(named("broken on purpose", step.info.breaks.join(", ")));
    }
    if !step.info.sets_aside.is_empty() {
        fields.push(named("does not prove", step.info.sets_aside.join(", ")));
    }
    if let Some(instead) = &step.info.instead {
        fields.push(named("instead", text::in_other_words(instead)));
    }
    fields.push(named("scenario", format!("line {}", step.info.line)));
    fields
}

impl Witness {
    fn new(testimony: &Testimony) -> Self {
        let verdict = if testimony.held { Verdict::Proved } else { Verdict::Failed };
        Self {
            name: testimony.witness.clone(),
            summary: testimony.summary.clone(),
            verdict: verdict.into(),
            detail: pretty(&testimony.detail),
        }
    }
}

fn pretty(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_has_few_marks_at_round_times() {
        let marks = |ms| ticks(ms).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(marks(21_500), ["0", "5 s", "10 s", "15 s", "20 s"]);
        assert_eq!(marks(640), ["0", "200 ms", "400 ms", "600 ms"]);
        assert_eq!(marks(290_000), ["0", "1 min", "2 min", "3 min", "4 min"]);
        assert_eq!(marks(1), ["0"]);
    }
}
