//! What makes an answer the one wanted.

use super::*;
use crate::probe::FailureKind;
use meshproof_model::vantage::Vantage;

const REASON: &str =
    "- request: {gateway: g}\n  becomes: {status: 503, reason: upstream_reset}\n  within: 10s\n";

/// An error page of the gateway.
fn page(word: &str) -> Answer {
    Answer { body: format!("{word}\na sentence about it\n"), ..answer(503, "") }
}

fn accounts(reason: &str) -> Option<Account> {
    Some(Account { reason: reason.into(), upstream_pod: None })
}

fn cut_off(answer: Answer) -> Answer {
    let failed = Answer::failed(Vantage::Outside, FailureKind::Reset, "by peer", Duration::ZERO);
    Answer { failure: failed.failure, ..answer }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_off_is_not_the_one_wanted() {
    let whole = answer(200, "backend-v1");
    let answers = given([whole.clone(), whole.clone(), whole.clone(), cut_off(whole.clone()), whole]);
    let ran = run(World { answers, ..World::default() }, &format!("{SETUP}{ASK}"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "after 3 such answers the answer is 200, cut off (reset: by peer)");
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_to_give_the_reason_not_only_the_last_one() {
    let right = page("upstream_reset");
    let mut answers = vec![right.clone(), page("no_endpoint"), right.clone(), page("no_endpoint")];
    answers.push(right);
    let world = World { answers: given(answers), account: accounts("upstream_reset"), ..World::default() };
    let ran = run(world, &format!("{SETUP}{REASON}  stays: 5 requests\n"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let observed = &ran.result.steps[2].observed;
    assert_eq!(
        (observed.answers[0].count, observed.settled[0].count),
        (9, 5),
        "those after the last other one"
    );
    assert_eq!(observed.settled[0].reason.as_deref(), Some("upstream_reset"));
}

#[tokio::test(start_paused = true)]
async fn answers_that_go_on_giving_another_reason_now_and_then_fail() {
    let answers: Vec<_> =
        (0..3000).map(|n| page(if n % 10 == 9 { "no_endpoint" } else { "upstream_reset" })).collect();
    let world = World { answers: given(answers), account: accounts("upstream_reset"), ..World::default() };
    let ran = run(world, &format!("{SETUP}{REASON}  stays: 20 requests\n"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert!(failure.seen.contains("the answer is 503 (no_endpoint)"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_word_of_their_own_are_grouped_by_the_logs() {
    let ask = "- request: {gateway: g}\n  becomes: {status: 503}\n  within: 10s\n";
    let reasons = Mutex::new(["no_endpoint".to_owned()].into());
    let world = World {
        answers: given([answer(503, "")]),
        reasons,
        account: accounts("upstream_reset"),
        ..World::default()
    };
    let ran = run(world, &format!("{SETUP}{ask}"), Keep::Never).await;
    let settled = &ran.result.steps[2].observed.settled;
    let groups: Vec<_> = settled.iter().map(|group| (group.reason.as_deref(), group.count)).collect();
    assert_eq!(groups, [(Some("no_endpoint"), 1), (Some("upstream_reset"), 2)]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_may_waver_can_be_asked_to_stay_for_a_time() {
    let ask =
        "- request: {gateway: g}\n  becomes: {status: 503}\n  within: 30s\n  may-waver: true\n  stays: 2s\n";
    let mut answers = vec![answer(503, ""); 50];
    answers.extend([answer(200, "backend-v1"), answer(503, "")]);
    let ran =
        run(World { answers: given(answers), ..World::default() }, &format!("{SETUP}{ask}"), Keep::Never)
            .await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let observed = &ran.result.steps[2].observed;
    let stayed = observed.stayed.unwrap();
    assert!(stayed.ms >= 2000 && stayed.requests > 100, "{stayed:?}");
    assert_eq!(
        observed.answers.iter().map(|group| group.count).collect::<Vec<_>>(),
        [50 + stayed.requests, 1]
    );
    assert!(observed.became_ms > observed.first_ms, "from the last change: {observed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_table_shows_what_was_answered() {
    let table = "- answers: {gateway: g}\n  columns: [unnamed, http]\n  become:\n    strict: [200, 200]\n    disable: [503 \
                 upstream_reset, 503]\n  within: 10s\n  stays: 5 requests\n";
    let mut answers = vec![answer(200, "strict"); 10];
    answers.extend(vec![page("upstream_reset"); 5]);
    answers.push(page("no_endpoint"));
    let world = World { answers: given(answers), account: None, ..World::default() };
    let ran = run(world, &format!("{SETUP}{table}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let lines = [
        "         unnamed                     http",
        "strict   200 from strict             200 from strict",
        "disable  503, reason upstream_reset  503, reason no_endpoint",
    ];
    assert_eq!(ran.result.steps[2].observed.detail["table"], json!(lines));
}
