//! From the steps' verdicts to those of requirements, scenarios and the run.

use crate::event::{RequirementInfo, RequirementResult, ScenarioResult, StepKind, StepResult, Verdict};

/// Proved only if every claim was, and every requirement. Actions count where something went wrong, and where nothing is
/// claimed.
pub fn of_scenario(requirements: &[RequirementResult], steps: &[StepResult]) -> Verdict {
    let claims = steps.iter().any(|step| step.info.kind == StepKind::Claim);
    let counts = |step: &&StepResult| {
        !claims || step.info.kind == StepKind::Claim || !matches!(step.verdict, Verdict::Proved)
    };
    match Verdict::beside(steps.iter().filter(counts).map(|step| step.verdict)) {
        None => Verdict::Proved,
        Some(Verdict::Skipped) => Verdict::Error,
        Some(Verdict::Proved) if requirements.iter().any(|r| r.verdict != Verdict::Proved && promised(r)) => {
            Verdict::Partly
        }
        Some(verdict) => verdict,
    }
}

/// Whether something less than all of it being proved takes from the whole.
fn promised(requirement: &RequirementResult) -> bool {
    requirement.verdict != Verdict::Measured
}

/// A requirement is proved only if every step that cites it held as the scenario says. A step that is waived, or that is read
/// otherwise and not said to prove it still, leaves it partly proved at most. One that the implementation does not promise is
/// waived, whatever a step found.
pub fn of_requirements(requirements: &[RequirementInfo], steps: &[StepResult]) -> Vec<RequirementResult> {
    let each = requirements.iter().map(|requirement| {
        let citing = || steps.iter().filter_map(|step| says(step, &requirement.id));
        let (verdict, waived) = match &requirement.waived {
            Some(because) => (Verdict::Waived, Some(because.clone())),
            None => match Verdict::of_parts(citing().map(|(verdict, _)| verdict)).unwrap_or(Verdict::Skipped)
            {
                verdict @ (Verdict::Waived | Verdict::Partly) => {
                    (verdict, citing().find_map(|(_, because)| because).map(str::to_owned))
                }
                other => (other, None),
            },
        };
        RequirementResult { id: requirement.id.clone(), text: requirement.text.clone(), verdict, waived }
    });
    each.collect()
}

/// What a step says of a requirement, and why no more; nothing if it is not about it.
fn says<'a>(step: &'a StepResult, id: &String) -> Option<(Verdict, Option<&'a str>)> {
    let info = &step.info;
    if info.proves.contains(id) {
        let verdict = match step.verdict {
            // Of the requirements of a step that is read otherwise only those are left that it still proves.
            Verdict::Partly => Verdict::Proved,
            other => other,
        };
        return Some((verdict, info.waived.as_deref()));
    }
    info.sets_aside.contains(id).then(|| {
        let verdict = if step.verdict.is_good() { Verdict::Waived } else { step.verdict };
        (verdict, info.instead.as_ref().map(|instead| instead.because.as_str()))
    })
}

/// What a run proved of all its scenarios.
pub fn of_run(scenarios: &[ScenarioResult]) -> Verdict {
    Verdict::beside(scenarios.iter().map(|scenario| scenario.verdict)).unwrap_or(Verdict::Proved)
}

/// Exit code of a run that ended so.
pub fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Proved | Verdict::Partly | Verdict::Measured => 0,
        Verdict::Failed => 1,
        Verdict::Skipped | Verdict::Error => 4,
        // Nothing at all was put to the test.
        Verdict::Waived => 5,
    }
}

#[cfg(test)]
mod tests;
