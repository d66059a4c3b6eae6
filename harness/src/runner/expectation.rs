//! Claims that must fail, because the document's text cannot hold, and claims about what the document leaves open.

use super::context::Trouble;
use crate::event::{Failure, Observed, StepInfo, Verdict};
use crate::scenario::Step;

/// What a step comes to that held. Read otherwise for the implementation it is less than what the scenario says, unless the
/// implementation's file says that it proves as much.
pub(super) fn held(info: &StepInfo) -> Verdict {
    match info {
        info if info.measured => Verdict::Measured,
        info if info.instead.is_some() && (info.proves.is_empty() || !info.sets_aside.is_empty()) => {
            Verdict::Partly
        }
        _ => Verdict::Proved,
    }
}

/// A claim that did not hold is as it should be, if it was to fail, and for this reason.
pub(super) fn verdict(step: &Step, trouble: &Trouble) -> Verdict {
    let Some(wanted) = &step.info.must_fail else { return trouble.verdict };
    let found = trouble.failure.diagnosis.as_ref().map(|diagnosis| diagnosis.id.as_str());
    match trouble.verdict {
        Verdict::Failed if found == Some(wanted.as_str()) => Verdict::Proved,
        verdict => verdict,
    }
}

/// The document's text holds where it should not.
pub(super) fn unexpected_success(step: &Step, diagnosis: &str, observed: &Observed) -> Failure {
    Failure {
        doing: step.info.name.clone(),
        expected: format!("it to fail, with the diagnosis {diagnosis}"),
        seen: format!("it held: {}", observed.summary),
        next: Some(format!(
            "if the text holds now, the erratum {} is none any more: take it and `must-fail` out",
            step.info.errata.join(", ")
        )),
        diagnosis: None,
        evidence: None,
    }
}

/// Whatever happened is what there is to record.
pub(super) fn measured(trouble: Trouble) -> Observed {
    let summary = format!("measured: not {}; {}", trouble.failure.expected, trouble.failure.seen);
    Observed { summary, ..trouble.observed }
}
