use super::*;
use crate::mutant::{Mutation, TurnsRed};
use meshproof_model::event::{Diagnosis, Failure, Observed, StepInfo, StepKind};
use meshproof_model::scenario::node::{Source, Span};

fn mutant() -> Mutant {
    let source = std::sync::Arc::new(Source { path: "m.yaml".into(), text: String::new() });
    Mutant {
        id: "m".into(),
        breaks: "b".into(),
        requirement: "R45".into(),
        scenarios: vec!["s".into()],
        turns_red: TurnsRed {
            as_error: false,
            step: None,
            sees: Some("*200*".into()),
            diagnosis: "gateway-sends-istio-alpn".into(),
            why_unknown: None,
        },
        mutation: Mutation::default(),
        controls: Vec::new(),
        leaves: Vec::new(),
        not_caught_because: None,
        place: Span { source, start: 0, length: 0 },
    }
}

/// A step that proves R45, with this verdict, sight and diagnosis.
fn step(verdict: Verdict, seen: &str, diagnosis: &str) -> StepResult {
    let failure = Failure {
        doing: "asking".into(),
        expected: "503".into(),
        seen: seen.into(),
        next: None,
        diagnosis: Some(Diagnosis {
            id: diagnosis.into(),
            title: String::new(),
            because: Vec::new(),
            next: String::new(),
        }),
        evidence: None,
    };
    StepResult {
        info: StepInfo {
            name: "without the policy, 503".into(),
            word: "request".into(),
            kind: StepKind::Claim,
            proves: vec!["R45".into()],
            ..crate::mutant::tests::step_info()
        },
        verdict,
        started_ms: 0,
        duration_ms: 0,
        observed: Observed::default(),
        failure: matches!(verdict, Verdict::Failed | Verdict::Error).then_some(failure),
    }
}

fn result(step: StepResult) -> ScenarioResult {
    crate::mutant::tests::result(vec![step])
}

fn judged(mutant: &Mutant, step: StepResult) -> Outcome {
    judge(mutant, &result(step), Ok(()))
}

#[test]
fn red_for_the_right_reason_is_caught() {
    let red = step(Verdict::Failed, "200 from backend-v1", "gateway-sends-istio-alpn");
    assert_eq!(judged(&mutant(), red.clone()), Outcome::Caught);
    let mut by_name = mutant();
    by_name.turns_red.step = Some("without the policy*".into());
    assert_eq!(judged(&by_name, red), Outcome::Caught);
}

#[test]
fn another_cause_sight_step_or_requirement_is_said() {
    let other = |outcome: Outcome, what: &str| match outcome {
        Outcome::CaughtOtherwise(why) => assert!(why.starts_with(what), "{why}"),
        outcome => panic!("{outcome:?}"),
    };
    let alpn = "gateway-sends-istio-alpn";
    other(judged(&mutant(), step(Verdict::Failed, "200", "mesh-wide-strict")), "another diagnosis");
    other(judged(&mutant(), step(Verdict::Failed, "404", alpn)), "another sight");
    let mut by_name = mutant();
    by_name.turns_red.step = Some("something else".into());
    other(judged(&by_name, step(Verdict::Failed, "200", alpn)), "another step");
    let mut of_another = mutant();
    of_another.requirement = "R46".into();
    other(judged(&of_another, step(Verdict::Failed, "200", alpn)), "another step");
}

#[test]
fn green_is_missed_and_what_could_not_be_tried_is_an_error() {
    assert_eq!(judged(&mutant(), step(Verdict::Proved, "", "")), Outcome::Missed);
    assert!(matches!(judged(&mutant(), step(Verdict::Error, "no API server", "unknown")), Outcome::Error(_)));
}

#[test]
fn what_a_person_does_may_end_as_an_error_if_that_is_said() {
    let mut mutant = mutant();
    mutant.turns_red.as_error = true;
    mutant.turns_red.sees = Some("*denied*".into());
    assert_eq!(judged(&mutant, step(Verdict::Error, "it was denied", "unknown")), Outcome::Caught);
    assert!(matches!(
        judged(&mutant, step(Verdict::Failed, "it was denied", "")),
        Outcome::CaughtOtherwise(_)
    ));
    assert!(matches!(judged(&mutant, step(Verdict::Error, "gone", "")), Outcome::CaughtOtherwise(_)));
}

#[test]
fn a_mutation_that_is_not_active_is_never_caught() {
    for verdict in [Verdict::Failed, Verdict::Proved] {
        let red = result(step(verdict, "200", "gateway-sends-istio-alpn"));
        let outcome = judge(&mutant(), &red, Err("the log is silent".into()));
        assert_eq!(outcome, Outcome::Unviable("the log is silent".into()));
    }
}
