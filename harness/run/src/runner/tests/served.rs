//! What is said to be programmed is served at once.

use super::*;
use crate::ports::{Replica, Replicas};
use crate::probe::FailureKind;
use meshproof_model::vantage::Vantage;

const SERVED: &str = "- served: {gateway: g}\n  becomes: {status: 200, backend: backend-v1}\n  within: 5s\n";

#[tokio::test(start_paused = true)]
async fn the_first_answers_are_all_as_wanted() {
    let ran = run(World::default(), &format!("{SETUP}{SERVED}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let seen = &ran.result.steps[2].observed;
    let apart = "; the pods behind the address cannot be told apart";
    assert_eq!(seen.summary, format!("20 × 200 from backend-v1, from the first on{apart}"));
    assert_eq!(seen.detail["pods_not_told_apart"], "nobody knows them");
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
    assert_eq!(
        ran.result.steps[2].observed.summary,
        "20 × anything but 404, from the first on; the pods behind the address cannot be told apart"
    );
    let unknown = [answer(503, ""), answer(404, ""), answer(200, "backend-v1")];
    let ran = run(World { answers: given(unknown), ..World::default() }, &steps, Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "request 2 after it was said to be programmed: the answer is 404");
}

/// Two pods, reached at ports 1001 and 1002.
fn two_replicas() -> Replicas {
    let replica = |number: u16| Replica {
        pod: format!("data/proxy-{number}"),
        node: format!("worker-{number}"),
        address: (std::net::Ipv4Addr::LOCALHOST, 1000 + number).into(),
    };
    Replicas::Each(vec![replica(1), replica(2)])
}

#[tokio::test(start_paused = true)]
async fn every_pod_is_asked_past_the_load_balancer() {
    let world = World { replicas: two_replicas(), ..World::default() };
    let ran = run(world, &format!("{SETUP}{SERVED}"), Keep::Never).await;
    let seen = &ran.result.steps[2].observed;
    let each = "20 × 200 from backend-v1, from the first on, and by each of the 2 pods behind the address";
    assert_eq!(seen.summary, each);
    assert_eq!(seen.detail["measured"]["pods"], serde_json::json!(["data/proxy-1", "data/proxy-2"]));
    let asked = |call: &str| ran.calls.iter().filter(|line| *line == call).count();
    assert_eq!((asked("send to 1001"), asked("send to 1002")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_pod_that_lags_behind_is_named() {
    let answers = [answer(200, "backend-v1"), answer(404, ""), answer(200, "backend-v1")];
    let world = World { replicas: two_replicas(), answers: given(answers), ..World::default() };
    let ran = run(world, &format!("{SETUP}{SERVED}"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    let named = "the first request to pod data/proxy-1 after it was said to be programmed: the answer is 404";
    assert_eq!(failure.seen, named);
}
