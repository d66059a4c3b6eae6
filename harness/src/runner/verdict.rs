//! From the steps' verdicts to those of requirements, scenarios and the run.

use crate::event::{RequirementInfo, RequirementResult, ScenarioResult, StepResult, Verdict};

/// Proved only if every step was that is not waived, and at least one.
pub fn of_scenario(steps: &[StepResult]) -> Verdict {
    match steps.iter().map(|step| step.verdict).max() {
        None | Some(Verdict::Proved) => Verdict::Proved,
        Some(Verdict::Waived) => Verdict::Waived,
        Some(Verdict::Skipped | Verdict::Error) => Verdict::Error,
        Some(Verdict::Failed) => Verdict::Failed,
    }
}

/// A requirement is proved only if every step that cites it was, waived ones aside. One that the implementation does not
/// promise is waived, whatever a step found.
pub fn of_requirements(requirements: &[RequirementInfo], steps: &[StepResult]) -> Vec<RequirementResult> {
    let each = requirements.iter().map(|requirement| {
        let citing = || steps.iter().filter(|step| step.info.proves.contains(&requirement.id));
        let (verdict, waived) = match &requirement.waived {
            Some(because) => (Verdict::Waived, Some(because.clone())),
            None => match citing().map(|step| step.verdict).max().unwrap_or(Verdict::Skipped) {
                Verdict::Waived => (Verdict::Waived, citing().find_map(|step| step.info.waived.clone())),
                other => (other, None),
            },
        };
        RequirementResult { id: requirement.id.clone(), text: requirement.text.clone(), verdict, waived }
    });
    each.collect()
}

/// The worst of all scenarios.
pub fn of_run(scenarios: &[ScenarioResult]) -> Verdict {
    scenarios.iter().map(|scenario| scenario.verdict).max().unwrap_or(Verdict::Proved)
}

/// Exit code of a run that ended so.
pub fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Proved => 0,
        Verdict::Failed => 1,
        Verdict::Skipped | Verdict::Error => 4,
        // Nothing at all was put to the test.
        Verdict::Waived => 5,
    }
}
