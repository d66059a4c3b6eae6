//! What came of each promise with each gateway.

use super::{Cell, Evidence, Notes, Row};
use crate::json::Report;
use meshproof_model::event::{ScenarioResult, StepKind, StepResult, Verdict};
use meshproof_model::requirement::{Kind, Requirement};

/// A row for each requirement of the pack, in its order.
pub(super) fn rows(reports: &[Report], promises: &[Requirement], notes: &mut Notes) -> Vec<Row> {
    let row = |promise: &Requirement| Row {
        id: promise.id.clone(),
        text: promise.text.clone(),
        lines: promise.lines.replace(',', ", "),
        cells: reports.iter().map(|report| cell(report, promise, notes)).collect(),
    };
    promises.iter().map(row).collect()
}

/// Scenarios that say something of the gateway: those that are broken on purpose say it of the harness.
pub(super) fn scenarios(report: &Report) -> impl Iterator<Item = &ScenarioResult> {
    report.scenarios.iter().filter(|scenario| scenario.broken.is_none())
}

fn cell(report: &Report, promise: &Requirement, notes: &mut Notes) -> Cell {
    let about = |step: &StepResult| {
        let info = &step.info;
        [&info.proves, &info.waives, &info.sets_aside].into_iter().flatten().any(|id| *id == promise.id)
    };
    let results: Vec<_> = scenarios(report)
        .flat_map(|scenario| &scenario.requirements)
        .filter(|result| result.id == promise.id)
        .collect();
    let verdict = Verdict::of_parts(results.iter().map(|result| result.verdict));
    let verdict = verdict.or((promise.kind == Kind::A).then_some(Verdict::Waived));
    let steps: Vec<_> = scenarios(report)
        .flat_map(|scenario| scenario.steps.iter().map(move |step| (scenario, step)))
        .filter(|(_, step)| about(step))
        .collect();
    let mut reasons: Vec<String> = results.iter().filter_map(|result| result.waived.clone()).collect();
    reasons.extend(promise.waived.clone().filter(|_| verdict == Some(Verdict::Waived)));
    reasons.extend(promise.measured.clone().filter(|_| verdict == Some(Verdict::Measured)));
    for (_, step) in &steps {
        reasons.extend(reasons_of(step, &promise.id));
    }
    // Of what nothing is known there is nothing to explain.
    reasons.retain(|_| verdict.is_some());
    let telling = telling(&steps);
    let mut evidence: Vec<Evidence> = telling.iter().map(|(scenario, step)| saw(scenario, step)).collect();
    for (scenario, step) in &telling {
        evidence.extend(heard(scenario, step, &|_| true));
    }
    // Of what is waived its note says why; of what was not reached, what held before says nothing.
    let says_it = match verdict {
        None | Some(Verdict::Waived | Verdict::Skipped) => None,
        Some(_) => telling.first().map(|(_, step)| *step),
    };
    Cell {
        verdict,
        says: says_it.map(summary).unwrap_or_default(),
        measured: says_it.map(took).unwrap_or_default(),
        evidence,
        notes: notes.places(reasons.iter().map(String::as_str)),
    }
}

/// What a step saw; of one that did not hold, what was seen instead.
pub(super) fn summary(step: &StepResult) -> String {
    step.failure.as_ref().map_or_else(|| step.observed.summary.clone(), |failure| failure.seen.clone())
}

/// Why a step says less, or something else, of this promise with this gateway, or did not hold.
pub(super) fn reasons_of(step: &StepResult, promise: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(step.info.waived.clone());
    if let Some(instead) = &step.info.instead {
        reasons.push(match instead.still_proves.get(promise) {
            Some(still) => still.clone(),
            None => instead.because.clone(),
        });
    }
    if let Some(failure) = step.failure.as_ref().filter(|_| !step.verdict.is_good()) {
        let cause = failure.diagnosis.as_ref().map(|cause| format!("{} ({})", cause.title, cause.id));
        reasons
            .push(cause.unwrap_or_else(|| format!("Expected: {}. Seen: {}", failure.expected, failure.seen)));
    }
    reasons
}

/// The steps that tell most of a promise, the first first: what went wrong; else claims that were taken, those about the fewest
/// other promises first; else actions.
fn telling<'a>(steps: &[(&'a ScenarioResult, &'a StepResult)]) -> Vec<(&'a ScenarioResult, &'a StepResult)> {
    let mut steps: Vec<_> = steps.iter().copied().filter(|(_, step)| step.verdict.is_taken()).collect();
    steps.sort_by_key(|(_, step)| {
        (
            step.verdict.is_good(),
            step.info.kind == StepKind::Action,
            step.info.proves.len() + step.info.waives.len() + step.info.sets_aside.len(),
        )
    });
    steps
}

/// A step as evidence.
pub(super) fn saw(scenario: &ScenarioResult, step: &StepResult) -> Evidence {
    Evidence { scenario: scenario.name(), step: step.info.index + 1, witness: None, saw: summary(step) }
}

/// What witnesses of some names said at a step.
pub(super) fn heard(
    scenario: &ScenarioResult,
    step: &StepResult,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<Evidence> {
    let heard = step.observed.witnesses.iter().filter(|testimony| wanted(&testimony.witness));
    heard
        .map(|testimony| Evidence {
            scenario: scenario.name(),
            step: step.info.index + 1,
            witness: Some(testimony.witness.clone()),
            saw: match testimony.held {
                true => testimony.summary.clone(),
                false => format!("does not bear it out: {}", testimony.summary),
            },
        })
        .collect()
}

/// How soon a claim held, and over how much it went on holding.
pub(super) fn took(step: &StepResult) -> Vec<String> {
    let mut measured = Vec::new();
    if let Some(ms) = step.observed.became_ms {
        measured.push(format!("after {}", crate::text::duration(ms)));
    }
    if let Some(stayed) = step.observed.stayed {
        measured.push(match stayed.requests {
            0 => format!("went on for {}", crate::text::duration(stayed.ms)),
            requests => format!("went on for {requests} requests, {}", crate::text::duration(stayed.ms)),
        });
    }
    measured
}
