//! What counts as proved.

use rstest::rstest;

use super::*;
use crate::event::{Instead, Observed, StepInfo, Verdict::*};

/// A step about R1 with this verdict.
fn step(kind: StepKind, verdict: Verdict) -> StepResult {
    let info = StepInfo {
        index: 0,
        name: String::new(),
        word: "request".into(),
        kind,
        expected: None,
        cites: None,
        proves: vec!["R1".into()],
        waives: vec![],
        sets_aside: vec![],
        errata: vec![],
        line: 1,
        must_fail: None,
        breaks: vec![],
        measured: verdict == Measured,
        waived: (verdict == Waived).then(|| "there is none".to_owned()),
        instead: None,
    };
    StepResult { info, verdict, started_ms: 0, duration_ms: 0, observed: Observed::default(), failure: None }
}

fn claim(verdict: Verdict) -> StepResult {
    step(StepKind::Claim, verdict)
}

/// The same as another gateway is asked; `still` if its file says that R1 is proved by it all the same.
fn otherwise(verdict: Verdict, still: bool) -> StepResult {
    let mut step = claim(verdict);
    step.info.instead =
        Some(Instead { of: None, because: "it is another".into(), still_proves: Default::default() });
    if !still {
        step.info.sets_aside = std::mem::take(&mut step.info.proves);
    }
    step
}

fn requirement(waived: Option<&str>) -> RequirementInfo {
    RequirementInfo { id: "R1".into(), text: String::new(), waived: waived.map(str::to_owned) }
}

fn of(steps: &[StepResult]) -> (Verdict, Verdict) {
    let requirements = of_requirements(&[requirement(None)], steps);
    (requirements[0].verdict, of_scenario(&requirements, steps))
}

#[rstest]
#[case::all_held(vec![claim(Proved), claim(Proved)], Proved)]
#[case::one_was_waived(vec![claim(Proved), claim(Waived)], Partly)]
#[case::all_were_waived(vec![claim(Waived)], Waived)]
#[case::only_measured(vec![claim(Measured)], Measured)]
#[case::one_only_measured(vec![claim(Proved), claim(Measured)], Measured)]
#[case::read_otherwise(vec![otherwise(Partly, false)], Waived)]
#[case::one_read_otherwise(vec![claim(Proved), otherwise(Partly, false)], Partly)]
#[case::read_otherwise_and_still_proved(vec![otherwise(Proved, true)], Proved)]
#[case::still_proved_by_a_step_that_sets_others_aside(vec![otherwise(Partly, true)], Proved)]
#[case::read_otherwise_and_failed(vec![claim(Proved), otherwise(Failed, false)], Failed)]
#[case::one_failed(vec![claim(Waived), claim(Failed)], Failed)]
#[case::not_reached(vec![claim(Proved), claim(Skipped)], Skipped)]
fn a_requirement_is_proved_only_by_steps_that_held_as_the_scenario_says(
    #[case] steps: Vec<StepResult>,
    #[case] verdict: Verdict,
) {
    assert_eq!(of(&steps).0, verdict);
}

#[rstest]
#[case::all_held(vec![step(StepKind::Action, Proved), claim(Proved)], Proved)]
#[case::a_claim_was_waived(vec![claim(Proved), claim(Waived)], Partly)]
#[case::no_claim_was_put_to_the_test(vec![step(StepKind::Action, Proved), claim(Waived)], Waived)]
#[case::only_measured(vec![step(StepKind::Action, Proved), claim(Measured)], Measured)]
#[case::an_action_was_waived(vec![step(StepKind::Action, Waived), claim(Proved)], Partly)]
#[case::an_action_went_wrong(vec![step(StepKind::Action, Error), claim(Skipped)], Error)]
#[case::read_otherwise(vec![claim(Proved), otherwise(Partly, false)], Partly)]
fn a_scenario_is_proved_only_if_all_of_it_was_put_to_the_test(
    #[case] steps: Vec<StepResult>,
    #[case] verdict: Verdict,
) {
    assert_eq!(of(&steps).1, verdict);
}

#[test]
fn what_is_not_promised_is_waived_whatever_was_seen_and_the_rest_is_partly() {
    let steps = [claim(Proved)];
    let requirements = of_requirements(&[requirement(Some("not ours"))], &steps);
    assert_eq!((requirements[0].verdict, requirements[0].waived.as_deref()), (Waived, Some("not ours")));
    assert_eq!(of_scenario(&requirements, &steps), Partly);
}

#[test]
fn why_a_requirement_is_proved_in_part_is_told() {
    let steps = [claim(Proved), otherwise(Partly, false)];
    let requirements = of_requirements(&[requirement(None)], &steps);
    assert_eq!(requirements[0].waived.as_deref(), Some("it is another"));
}

#[rstest]
#[case(Proved, 0)]
#[case(Partly, 0)]
#[case(Measured, 0)]
#[case(Failed, 1)]
#[case(Error, 4)]
#[case(Waived, 5)]
fn only_what_went_wrong_or_was_not_tried_at_all_has_a_code(#[case] verdict: Verdict, #[case] code: u8) {
    assert_eq!(exit_code(verdict), code);
}
