//! From the steps' verdicts to those of requirements, scenarios and the run.

use crate::event::{RequirementInfo, RequirementResult, ScenarioResult, StepResult, Verdict};

/// Proved only if every step was.
pub fn of_scenario(steps: &[StepResult]) -> Verdict {
    match steps.iter().map(|step| step.verdict).max() {
        None | Some(Verdict::Proved) => Verdict::Proved,
        Some(Verdict::Skipped | Verdict::Error) => Verdict::Error,
        Some(Verdict::Failed) => Verdict::Failed,
    }
}

/// A requirement is proved only if every step that cites it was.
pub fn of_requirements(requirements: &[RequirementInfo], steps: &[StepResult]) -> Vec<RequirementResult> {
    let of = |id: &String| {
        let citing = steps.iter().filter(|step| step.info.proves.contains(id));
        citing.map(|step| step.verdict).max().unwrap_or(Verdict::Skipped)
    };
    requirements
        .iter()
        .map(|r| RequirementResult { id: r.id.clone(), text: r.text.clone(), verdict: of(&r.id) })
        .collect()
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
    }
}
