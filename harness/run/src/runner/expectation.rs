//! Claims that must fail, because the document's text cannot hold or the world is broken on purpose, and claims about what
//! the document leaves open.

use crate::context::Trouble;
use crate::scenario::Step;
use meshproof_model::event::{Failure, MustFail, Observed, StepInfo, Verdict};

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

/// A claim that did not hold is as it should be, if it was to fail, for this reason, and `sees` holds instead. What was expected of
/// one that failed otherwise is said.
pub(super) fn verdict(
    step: &Step,
    trouble: &mut Trouble,
    sees: Option<Result<Observed, Trouble>>,
) -> Verdict {
    let Some(wanted) = &step.info.must_fail else { return trouble.verdict };
    if trouble.verdict != Verdict::Failed {
        return trouble.verdict;
    }
    let failure = &mut trouble.failure;
    let found = failure.diagnosis.as_ref().map_or("none", |diagnosis| diagnosis.id.as_str());
    let seen = match sees {
        Some(Ok(observed)) if found == wanted.diagnosis => {
            trouble.observed.summary = format!("failed as expected; seen: {}", observed.summary);
            return Verdict::Proved;
        }
        Some(Ok(_)) => format!("it failed with the diagnosis {found}: {}", failure.seen),
        Some(Err(other)) if other.verdict != Verdict::Failed => {
            failure.next = Some(format!("looking for `{}`: {}", wanted.sees, other.failure.seen));
            return other.verdict;
        }
        Some(Err(other)) => {
            format!(
                "it failed with the diagnosis {found}, but what is to be seen is not: {}",
                other.failure.seen
            )
        }
        None => return Verdict::Error,
    };
    failure.expected = to_fail(wanted);
    failure.seen = seen;
    Verdict::Failed
}

fn to_fail(MustFail { diagnosis, sees }: &MustFail) -> String {
    format!("it to fail with the diagnosis {diagnosis}, and to see: {sees}")
}

/// What must fail holds.
pub(super) fn unexpected_success(step: &Step, wanted: &MustFail, observed: &Observed) -> Failure {
    let next = match step.info.errata.as_slice() {
        [] => "what was broken on purpose is not, or nobody notices: see what the step before it changed"
            .to_owned(),
        errata => format!(
            "if the text holds now, the erratum {} is none any more: take it and `must-fail` out",
            errata.join(", ")
        ),
    };
    Failure {
        doing: step.info.name.clone(),
        expected: to_fail(wanted),
        seen: format!("it held: {}", observed.summary),
        next: Some(next),
        diagnosis: None,
        evidence: None,
    }
}

/// Whatever happened is what there is to record.
pub(super) fn measured(trouble: Trouble) -> Observed {
    let summary = format!("measured: not {}; {}", trouble.failure.expected, trouble.failure.seen);
    Observed { summary, ..trouble.observed }
}
