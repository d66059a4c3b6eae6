//! Constant traffic beside the steps.

use super::*;
use meshproof_model::event::{Hop, Traffic};

const TRAFFIC: &str = "- traffic: {gateway: g}\n  rate: 100\n  wants: {status: 200, backend: backend-v1}\n";
const UNBROKEN: &str = "- unbroken: traffic\n  within: 10s\n  stays: 1s\n";

fn seen(ran: &Ran) -> &Traffic {
    ran.result.steps.last().and_then(|step| step.observed.traffic.as_deref()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_told_with_its_time_reason_and_hop() {
    let mut answers = vec![answer(200, "backend-v1"); 10];
    let mut page = answer(503, "");
    page.body = "no_endpoint\nthe Service has no endpoint\n".into();
    let failure = crate::probe::FailureKind::Reset;
    let reset =
        Answer::failed(meshproof_model::vantage::Vantage::Outside, failure, "by peer", Duration::ZERO);
    answers.extend([page, reset, answer(200, "backend-v2"), answer(200, "backend-v1")]);
    let world = World { answers: given(answers), account: None, ..World::default() };
    let ran = run(world, &format!("{SETUP}{TRAFFIC}{UNBROKEN}"), Keep::Never).await;

    assert_eq!(ran.result.verdict, Verdict::Failed);
    let traffic = seen(&ran);
    let failures: Vec<_> =
        traffic.failures.iter().map(|f| (f.at_ms, f.status, f.reason.as_str(), f.hop)).collect();
    assert_eq!(
        failures,
        [
            (100, Some(503), "no_endpoint", Hop::Gateway),
            (110, None, "reset", Hop::Connection),
            (120, Some(200), "another backend", Hop::Backend),
        ]
    );
    let counts: Vec<_> = traffic.stretches.iter().map(|s| (s.at_ms, s.answers.count)).collect();
    assert_eq!(counts[..4], [(0, 10), (100, 1), (110, 1), (120, 1)]);
    assert_eq!((traffic.stretches.len(), traffic.longest_gap_ms), (5, 40));
    assert_eq!(traffic.started_ms, ran.result.steps[2].started_ms);
}

#[tokio::test(start_paused = true)]
async fn what_the_gateways_log_says_counts_more_than_the_answer() {
    let account = Some(Account { reason: "upstream_reset".into(), upstream_pod: None });
    let answers = given([answer(503, ""), answer(200, "backend-v1")]);
    let forgiving = "  but-for: {most: 1, because: a pod was killed, seen: 503 upstream_reset}\n";
    let world = World { answers, account, ..World::default() };
    let ran = run(world, &format!("{SETUP}{TRAFFIC}{UNBROKEN}{forgiving}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(seen(&ran).failures[0].reason, "upstream_reset", "forgiven, and told");
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_measured_claim_are_told_by_the_action_before_them() {
    let mut answers = vec![answer(200, "backend-v1"); 10];
    answers.extend([answer(503, ""), answer(503, ""), answer(200, "backend-v1")]);
    let world = World { answers: given(answers), account: None, ..World::default() };
    let steps = format!("{SETUP}{TRAFFIC}- delete: gateway/g\n{UNBROKEN}  measured: true\n");
    let ran = run(world, &steps, Keep::Never).await;
    let step = ran.result.steps.last().unwrap();
    assert_eq!(step.verdict, Verdict::Measured, "{:?}", ran.result.culprit());
    let told = json!([{
        "after": "delete gateway/g",
        "seen": ["503"],
        "measured": {"failures": 2, "first_ms": 95, "last_ms": 105},
    }]);
    assert_eq!(step.observed.detail["broken"], told);
    let summary = &step.observed.summary;
    assert!(summary.contains("2 failures, the first 95 ms after `delete gateway/g`: 503"), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_that_lives_has_let_fail_is_not_forgiven_with_the_rest() {
    let failure = crate::probe::FailureKind::Timeout;
    let timeout = Answer::failed(meshproof_model::vantage::Vantage::Outside, failure, "", Duration::ZERO);
    let run_with = async |logged: Vec<(u16, &str)>| {
        let answers = given([answer(200, "backend-v1"), timeout.clone(), answer(200, "backend-v1")]);
        let logged =
            logged.iter().map(|(status, reason)| Logged { status: *status, reason: (*reason).into() });
        let world = World { answers, logged: logged.collect(), ..World::default() };
        let forgiving = "  but-for: {most: 1, because: a node lost its power, seen: timeout}\n";
        run(world, &format!("{SETUP}{TRAFFIC}{UNBROKEN}{forgiving}"), Keep::Never).await
    };
    let ran = run_with(vec![(200, "ok")]).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let detail = &ran.result.steps.last().unwrap().observed.detail;
    assert_eq!(detail["proxies_that_live"], "have let no request fail");
    let ran = run_with(vec![(200, "ok"), (499, "client_closed"), (499, "client_closed")]).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "they have logged 2 × 499 client_closed");
}

#[tokio::test(start_paused = true)]
async fn living_proxies_that_have_logged_nothing_of_the_traffic_bear_nothing_out() {
    let failure = crate::probe::FailureKind::Timeout;
    let timeout = Answer::failed(meshproof_model::vantage::Vantage::Outside, failure, "", Duration::ZERO);
    let answers = given([answer(200, "backend-v1"), timeout, answer(200, "backend-v1")]);
    let forgiving = "  but-for: {most: 1, because: a node lost its power, seen: timeout}\n";
    let steps = format!("{SETUP}{TRAFFIC}{UNBROKEN}{forgiving}");
    let ran = run(World { answers, good: None, ..World::default() }, &steps, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Error, "no verdict on the gateway");
    let step = ran.result.culprit().unwrap();
    assert_eq!(step.failure.as_ref().unwrap().seen, "0 requests");
    assert!(step.observed.traffic.is_some(), "what was seen is told all the same");
}

#[tokio::test(start_paused = true)]
async fn traffic_that_ended_by_itself_is_an_error_even_where_it_is_measured() {
    let slow = "- traffic: {gateway: g}\n  rate: 1\n  wants: {status: 200}\n";
    let wait = "- absent: gateway/none\n  within: 1s\n  stays: 20m\n";
    let steps = format!("{SETUP}{slow}{wait}{UNBROKEN}  measured: true\n");
    let ran = run(World::default(), &steps, Keep::Never).await;
    let step = ran.result.culprit().unwrap();
    assert_eq!(step.verdict, Verdict::Error);
    let seen = &step.failure.as_ref().unwrap().seen;
    assert_eq!(seen, "it ended by itself after 900 s: nobody saw what came later");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_off_is_a_failure() {
    let failure = crate::probe::FailureKind::Reset;
    let cut_off = Answer {
        status: Some(200),
        ..Answer::failed(meshproof_model::vantage::Vantage::Outside, failure, "by peer", Duration::ZERO)
    };
    let answers = given([answer(200, "backend-v1"), cut_off, answer(200, "backend-v1")]);
    let ran =
        run(World { answers, ..World::default() }, &format!("{SETUP}{TRAFFIC}{UNBROKEN}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    let failures: Vec<_> = seen(&ran).failures.iter().map(|f| (f.status, f.reason.as_str(), f.hop)).collect();
    assert_eq!(failures, [(None, "reset", Hop::Connection)]);
    assert_eq!(seen(&ran).failures[0].seen, "200, cut off (reset: by peer)");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_sent_is_no_failure_of_the_gateway() {
    let world = Arc::new(World::default());
    let steps = format!("{SETUP}{TRAFFIC}{UNBROKEN}");
    let unplug = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        *world.unplugged.lock().unwrap() = true;
    };
    let running = run_until(world.clone(), &steps, Keep::Never, CancellationToken::new());
    let (ran, ()) = tokio::join!(running, unplug);
    let step = ran.result.culprit().unwrap();
    assert_eq!(step.verdict, Verdict::Error);
    let told = &step.failure.as_ref().unwrap().seen;
    assert!(
        told.contains("requests could not be sent, the first after 0.5 s: send: it is unplugged"),
        "{told}"
    );
    assert!(seen(&ran).sent > 40, "what was seen before is kept");
}
