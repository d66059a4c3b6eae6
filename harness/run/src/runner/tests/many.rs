//! Claims about many requests, and about answers that must never be given.

use super::*;

const MANY: &str = "- request: {gateway: g}\n  becomes: {status: 200, backend: backend-v1}\n  never: {backend: backend-v2}\n  \
                    within: 10s\n  stays: 2000 requests\n  proves: [R43]\n";

fn failure(ran: &Ran) -> (String, String) {
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    (failure.expected, failure.seen)
}

#[tokio::test(start_paused = true)]
async fn many_requests_are_sent_several_at_once_and_say_what_could_be_missed() {
    let ran = run(World::default(), &format!("{SETUP}{MANY}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let step = &ran.result.steps[2];
    assert_eq!(step.observed.stayed.map(|stayed| stayed.requests), Some(2000));
    assert_eq!(
        step.observed.summary,
        "2000 × 200 from backend-v1; less than 0.15 % of all requests are answered otherwise (95 %)"
    );
    assert!(step.duration_ms < 2000, "{} ms", step.duration_ms);
}

#[tokio::test(start_paused = true)]
async fn one_answer_of_the_other_backend_among_many_is_one_too_many() {
    let right = || answer(200, "backend-v1");
    let answers = (0..1234).map(|_| right()).chain([answer(200, "backend-v2"), right()]);
    let ran =
        run(World { answers: given(answers), ..World::default() }, &format!("{SETUP}{MANY}"), Keep::Never)
            .await;
    let (_, seen) = failure(&ran);
    assert!(seen.starts_with("after 1234 such answers the answer is 200 from backend-v2-"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn what_must_never_be_answered_counts_from_the_first_request_on() {
    let answers = [answer(503, ""), answer(200, "backend-v2"), answer(200, "backend-v1")];
    let ran =
        run(World { answers: given(answers), ..World::default() }, &format!("{SETUP}{MANY}"), Keep::Never)
            .await;
    let (expected, seen) = failure(&ran);
    assert_eq!(expected, "200 from backend-v1, and never an answer from backend-v2");
    assert!(seen.starts_with("the answer is 200 from backend-v2-"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_on_for_twice_the_drain_time_of_the_mesh() {
    let asks = "- request: {gateway: g}\n  becomes: {status: 200, backend: backend-v1}\n  within: 10s\n  stays: 2x drain\n";
    let world = Arc::new(World::default());
    let mesh = "defaultConfig: {drainDuration: 5s}";
    world.insert("configmap/istio in istio-system", json!({"data": {"mesh": mesh}}));
    let ran = run_until(world, &format!("{SETUP}{asks}"), Keep::Never, CancellationToken::new()).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let stayed = ran.result.steps[2].observed.stayed.unwrap();
    assert!((10_000..11_000).contains(&stayed.ms), "{stayed:?}");
    let ran = run(World::default(), &format!("{SETUP}{asks}"), Keep::Never).await;
    assert!(
        ran.result.steps[2].observed.stayed.unwrap().ms >= 90_000,
        "nobody says how long: Istio's default"
    );
}
