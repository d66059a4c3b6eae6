//! From what a scenario ended with to what became of the mutant. Pure.

use super::Mutant;
use meshproof_model::event::{ScenarioResult, StepResult, Verdict};
use meshproof_report::mutants::Outcome;
use meshproof_run::matching::glob;

/// What became of a mutant: by what the scenario ended with, and whether its controls held (`Err` says why not).
pub fn judge(mutant: &Mutant, result: &ScenarioResult, active: Result<(), String>) -> Outcome {
    let culprit = result.culprit();
    // What was interrupted or never began has said nothing of the mutant.
    let reached = result.steps.iter().any(|step| !matches!(step.verdict, Verdict::Skipped));
    if let Err(why) = active {
        return match culprit.filter(|step| step.verdict == Verdict::Error) {
            Some(step) => Outcome::Error(format!("{} ({why})", told(step))),
            None => Outcome::Unviable(why),
        };
    }
    let Some(step) = culprit else {
        return match reached {
            true if result.problems.is_empty() => Outcome::Missed,
            _ => Outcome::Error(result.problems.join("; ")),
        };
    };
    if step.verdict == Verdict::Error && !mutant.turns_red.as_error {
        return Outcome::Error(told(step));
    }
    match differs(mutant, step) {
        None => Outcome::Caught,
        Some(why) => Outcome::CaughtOtherwise(why),
    }
}

/// How a red step differs from the one that the mutant was to make red.
fn differs(mutant: &Mutant, step: &StepResult) -> Option<String> {
    let wanted = &mutant.turns_red;
    let failure = step.failure.as_ref();
    let seen = failure.map(|failure| failure.seen.as_str()).unwrap_or_default();
    let diagnosis = failure.and_then(|failure| failure.diagnosis.as_ref());
    let diagnosis = diagnosis.map_or("unknown", |diagnosis| diagnosis.id.as_str());
    let right_step = wanted.is_at(&step.info, &mutant.requirement);
    let right_kind = wanted.as_error == (step.verdict == Verdict::Error);
    let right_sight = wanted.sees.as_ref().is_none_or(|pattern| glob(pattern, &seen.replace('\n', " ")));
    let right_cause = wanted.as_error || diagnosis == wanted.diagnosis;
    let wrong: Vec<&str> =
        [(right_step, "step"), (right_kind, "verdict"), (right_sight, "sight"), (right_cause, "diagnosis")]
            .iter()
            .filter_map(|(right, what)| (!right).then_some(*what))
            .collect();
    (!wrong.is_empty()).then(|| format!("another {}: {}", wrong.join(" and "), told(step)))
}

/// A red step in one line.
fn told(step: &StepResult) -> String {
    let failure = step.failure.as_ref();
    let diagnosis = failure.and_then(|failure| failure.diagnosis.as_ref());
    let diagnosis = diagnosis.map_or("unknown", |diagnosis| diagnosis.id.as_str());
    let seen = failure.map_or(step.observed.summary.as_str(), |failure| failure.seen.as_str());
    format!("step {} `{}` saw: {seen}; diagnosis: {diagnosis}", step.info.index + 1, step.info.name)
}

#[cfg(test)]
mod tests;
