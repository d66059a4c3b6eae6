//! What is said to be programmed is served at once.

use super::*;
use crate::probe::FailureKind;
use meshproof_model::vantage::Vantage;

const SERVED: &str = "- served: {gateway: g}\n  becomes: {status: 200, backend: backend-v1}\n  within: 5s\n";

#[tokio::test(start_paused = true)]
async fn the_first_answers_are_all_as_wanted() {
    let ran = run(World::default(), &format!("{SETUP}{SERVED}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let seen = &ran.result.steps[2].observed;
    assert_eq!(seen.summary, "20 × 200 from backend-v1, from the first on");
    assert!(seen.detail["measured"]["gap_ms"].as_u64().is_some_and(|gap| gap < 100), "{:?}", seen.detail);
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_that_comes_too_early_is_not_forgiven() {
    let world = World { answers: given([answer(404, ""), answer(200, "backend-v1")]), ..World::default() };
    let ran = run(world, &format!("{SETUP}{SERVED}"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "request 1 after it was said to be programmed: the answer is 404");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lags_behind_is_found() {
    let answers =
        (0..7).map(|_| answer(200, "backend-v1")).chain([answer(404, ""), answer(200, "backend-v1")]);
    let ran =
        run(World { answers: given(answers), ..World::default() }, &format!("{SETUP}{SERVED}"), Keep::Never)
            .await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "request 8 after it was said to be programmed: the answer is 404");
}

#[tokio::test(start_paused = true)]
async fn only_a_new_address_may_refuse_connections_for_a_moment() {
    let refused = || Answer::failed(Vantage::Outside, FailureKind::Refused, "refused", Duration::ZERO);
    let world =
        || World { answers: given([refused(), refused(), answer(200, "backend-v1")]), ..World::default() };
    let ran = run(world(), &format!("{SETUP}{SERVED}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    let ran = run(world(), &format!("{SETUP}{SERVED}  new-address: true\n"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(ran.result.steps[2].observed.detail["measured"]["refused_before"], 2);
    let never = World { answers: given([refused()]), ..World::default() };
    let ran = run(never, &format!("{SETUP}{SERVED}  new-address: true\n"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed, "it is not for ever");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_not_known_yet_is_found_whatever_the_backends_say() {
    let steps = format!("{SETUP}- served: {{gateway: g}}\n  never: {{status: 404}}\n  within: 5s\n");
    let mixed = [answer(503, ""), answer(200, "backend-v1")];
    let ran = run(World { answers: given(mixed), ..World::default() }, &steps, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(ran.result.steps[2].observed.summary, "20 × anything but 404, from the first on");
    let unknown = [answer(503, ""), answer(404, ""), answer(200, "backend-v1")];
    let ran = run(World { answers: given(unknown), ..World::default() }, &steps, Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "request 2 after it was said to be programmed: the answer is 404");
}
