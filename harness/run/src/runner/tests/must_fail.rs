//! Claims that must fail: for the reason given, and with what is to be seen.

use super::*;
use crate::probe::FailureKind;
use meshproof_model::vantage::Vantage;

const MUST_FAIL: &str = "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  erratum: E1\n  must-fail: \
                         {diagnosis: backend-not-found, sees: {status: 500}}\n";

fn world(answer: Answer, diagnosis: &'static str) -> World {
    World { answers: given([answer]), diagnosis, ..World::default() }
}

async fn ran(world: World) -> ScenarioResult {
    run(world, &format!("{SETUP}{MUST_FAIL}"), Keep::Never).await.result
}

#[tokio::test(start_paused = true)]
async fn it_fails_for_the_reason_given_and_this_is_seen() {
    let result = ran(world(answer(500, ""), "backend-not-found")).await;
    let step = &result.steps[2];
    assert_eq!((step.verdict, result.verdict), (Verdict::Proved, Verdict::Proved), "{:?}", step.failure);
    assert_eq!(result.errata.len(), 1);
    assert!(step.observed.summary.starts_with("failed as expected; seen: "), "{}", step.observed.summary);
}

#[tokio::test(start_paused = true)]
async fn the_right_reason_is_not_enough_if_something_else_is_seen() {
    let reset = Answer::failed(Vantage::Outside, FailureKind::Reset, "by peer", Duration::ZERO);
    for other in [answer(503, ""), reset] {
        let result = ran(world(other, "backend-not-found")).await;
        let failure = result.steps[2].failure.as_ref().unwrap();
        assert_eq!(result.steps[2].verdict, Verdict::Failed);
        assert!(failure.expected.contains("http://<g>/ from outside becomes 500"), "{failure:?}");
        assert!(failure.seen.contains("but what is to be seen is not"), "{failure:?}");
        assert!(result.errata.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_is_not_enough_for_another_reason() {
    let result = ran(world(answer(500, ""), "no-proxy")).await;
    let failure = result.steps[2].failure.as_ref().unwrap();
    assert_eq!(result.steps[2].verdict, Verdict::Failed);
    assert!(failure.expected.contains("backend-not-found"), "{failure:?}");
    assert!(failure.seen.starts_with("it failed with the diagnosis no-proxy: "), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn what_holds_although_it_must_fail_has_failed() {
    let result = ran(world(answer(200, "backend-v1"), "backend-not-found")).await;
    assert_eq!(result.steps[2].verdict, Verdict::Failed);
    assert!(result.steps[2].failure.as_ref().unwrap().seen.starts_with("it held: "));
}

/// Steps of a world that is broken on purpose, with the head of its scenario.
async fn broken(world: World) -> ScenarioResult {
    let head = "title: t\ndocument: {name: d, edition: e}\nnamespace: ns\nexpects: {verdict: failed, step: x, diagnosis: \
                backend-not-found, sees: {status: 500}}\nsteps:\n";
    let ask = "- request: {gateway: g}\n  becomes: {status: 200}\n  as: x\n  within: 1s\n  proves: [R43]\n";
    let world = Arc::new(world);
    let (sink, keep, stop) = (Arc::new(Recorder::default()), Keep::Never, CancellationToken::new());
    let runner = Runner { outside: world.outside(), sink, results: "results".into(), keep, stop };
    runner.run(&super::scenario_of(head, &format!("{SETUP}{ask}"))).await
}

#[tokio::test(start_paused = true)]
async fn a_broken_world_is_green_only_if_it_turned_red_as_it_had_to() {
    let red = broken(world(answer(500, ""), "backend-not-found")).await;
    assert!(red.is_red_as_expected() && red.requirements.is_empty());
    assert_eq!((red.verdict, red.red().map(|step| step.info.index)), (Verdict::Proved, Some(2)));
    for (answer, diagnosis) in [
        (answer(200, "backend-v1"), "backend-not-found"),
        (answer(500, ""), "no-proxy"),
        (answer(503, ""), "backend-not-found"),
    ] {
        let not = broken(world(answer, diagnosis)).await;
        assert_eq!((not.verdict, not.is_red_as_expected()), (Verdict::Failed, false));
        assert_eq!(verdict::exit_code(not.verdict), 1);
    }
}
