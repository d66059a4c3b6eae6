//! The runner against an outside in memory, on paused time.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::fakes::{World, answer};
use super::*;
use crate::ports::{Account, Logged};
use crate::probe::Answer;
use meshproof_model::event::{Recorder, StepKind};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::Problems;

mod answers;
mod content;
mod elsewhere;
mod event;
mod istio;
mod leads;
mod limit;
mod many;
mod must_fail;
mod node;
mod owner;
mod reasons;
mod served;
mod shell;
mod single_writer;
mod traffic;
mod undone;
mod value;
mod watch;

const HEAD: &str = "title: t\ndocument: {name: d, edition: e}\nnamespace: ns\nsteps:\n";
const SETUP: &str = "- install: implementation\n  proves: [R10]\n- apply: [ns.yaml, gateway.yaml]\n";
const ASK: &str = "- request: {gateway: g}\n  becomes: {status: 200, backend: backend-v1}\n  within: 10s\n  stays: 20 \
                   requests\n  witness: clear-text-refused\n  proves: [R43, R21]\n";
const MORE: &str = "- delete: gateway/g\n  proves: [R44, R43]\n";

/// The built-in gateway, but for one requirement it does not promise.
fn implementation() -> Implementation {
    let mut implementation = Implementation::built_in().unwrap();
    implementation.waived.requirements.insert("R12".into(), "It has no such pods.".into());
    implementation.waived.kinds.insert("configmap".into(), "It reads none.".into());
    implementation
}

fn scenario(steps: &str) -> Scenario {
    scenario_of(HEAD, steps)
}

fn scenario_of(head: &str, steps: &str) -> Scenario {
    scenario_for(head, steps, &implementation())
}

fn scenario_for(head: &str, steps: &str, implementation: &Implementation) -> Scenario {
    load(head, steps, implementation).unwrap()
}

/// Why a scenario cannot be read.
fn refused(head: &str, steps: &str) -> String {
    load(head, steps, &implementation()).unwrap_err().0.remove(0).message
}

fn load(head: &str, steps: &str, implementation: &Implementation) -> Result<Scenario, Problems> {
    let text = format!("{head}{steps}");
    let read = move |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("scenario.yaml") => Ok(text.clone()),
        Some("map.yaml") => Ok("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n".into()),
        Some("ns.yaml") => Ok("apiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n".into()),
        Some("gateway.yaml") => {
            Ok("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n".into())
        }
        Some("deployment.yaml") => Ok("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n\
                                       spec: {image: \"${images.echo}\"}\n"
            .into()),
        Some("a.sh") => Ok("az get-credentials\nkubectl apply -f https://far/a.yaml\n".into()),
        Some("wrong.sh") => Ok("exit 1\n".into()),
        Some("table.yaml") => Ok("- {printed: https://far/a.yaml, manifest: deployment.yaml, because: b}\n\
                                  - {printed: az, here: \": az\", because: none}\n"
            .into()),
        _ => Err(Error::from(ErrorKind::NotFound)),
    };
    let catalogue = Catalogue::built_in().unwrap();
    Scenario::load_with(Path::new("s"), "s", &catalogue, implementation, &read)
}

fn given(answers: impl IntoIterator<Item = Answer>) -> Mutex<VecDeque<Answer>> {
    Mutex::new(answers.into_iter().collect())
}

struct Ran {
    result: ScenarioResult,
    calls: Vec<String>,
    events: Vec<Event>,
}

async fn run(world: World, steps: &str, keep: Keep) -> Ran {
    run_until(Arc::new(world), steps, keep, CancellationToken::new()).await
}

async fn run_until(world: Arc<World>, steps: &str, keep: Keep, stop: CancellationToken) -> Ran {
    let sink = Arc::new(Recorder::default());
    let runner =
        Runner { outside: world.outside(), sink: sink.clone(), results: "results".into(), keep, stop };
    let result = runner.run(&scenario(steps)).await;
    // What comes before the first step is the sweep: deleting in reverse order what may be left.
    let calls =
        world.calls().into_iter().skip_while(|call| call.starts_with("delete")).filter(|call| call != "send");
    let calls = calls.collect();
    Ran { result, calls, events: sink.events() }
}

/// An object that an earlier run left.
fn left(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "uid": "old", "labels": {meshproof_model::scenario::object::LABEL: "r-1"}}})
}

fn verdicts(result: &ScenarioResult) -> Vec<String> {
    result.requirements.iter().map(|r| format!("{} {}", r.id, r.verdict)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_scenario_whose_claims_hold_is_proved_and_leaves_nothing() {
    let ran = run(World::default(), &format!("{SETUP}{ASK}"), Keep::Failed).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(verdicts(&ran.result), ["R10 proved", "R21 proved", "R43 proved"]);
    let asked = &ran.result.steps[2].observed;
    assert_eq!(asked.stayed.map(|stayed| stayed.requests), Some(20));
    assert_eq!((asked.settled[0].status, asked.settled[0].count), (Some(200), 20));
    assert_eq!(asked.settled[0].backend.as_deref(), Some("backend-v1"));
    assert_eq!(
        ran.calls,
        [
            "uninstall",
            "install {}",
            "apply namespace/ns",
            "apply gateway/g in ns",
            "hear clear-text-refused",
            "delete gateway/g in ns",
            "delete namespace/ns",
            "uninstall",
        ]
    );
}

#[test]
fn a_claim_awaited_meanwhile_comes_before_the_first_step_that_is_more_than_applying() {
    let status = "- status: gateway/g\n  becomes: {status: {addresses: \"*\"}}\n  within: 10s\n";
    let steps = format!(
        "- absent: gateway/h\n  within: 10s\n  meanwhile: true\n- apply: ns.yaml\n{status}{ASK}{MORE}"
    );
    let scenario = scenario(&steps);
    let words: Vec<_> = order(&scenario.steps).iter().map(|step| step.info.word.as_str()).collect();
    assert_eq!(words, ["apply", "status", "absent", "request", "delete"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_does_not_come_to_hold_is_failed_and_later_steps_are_skipped() {
    let world = World { answers: given([answer(503, "")]), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}{MORE}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    assert_eq!(verdicts(&ran.result), ["R10 proved", "R21 failed", "R43 failed", "R44 skipped"]);
    let culprit = ran.result.culprit().unwrap();
    let failure = culprit.failure.as_ref().unwrap();
    assert_eq!(failure.expected, "200 from backend-v1 within 10s");
    assert_eq!(failure.seen, "the answer is 503");
    assert_eq!(failure.diagnosis.as_ref().map(|d| d.id.as_str()), Some("the-cause"));
    assert_eq!(failure.evidence.as_deref(), Some(Path::new("evidence/s")));
    assert!((10_000..11_000).contains(&culprit.duration_ms), "{}", culprit.duration_ms);
    assert!(culprit.observed.answers[0].count > 100, "every answer counts");
}

#[tokio::test(start_paused = true)]
async fn an_erratum_is_met_by_a_step_that_held() {
    let world = World { answers: given([answer(503, "")]), ..World::default() };
    let ran =
        run(world, &format!("{SETUP}  erratum: E1\n{ASK}  erratum: E2\n{MORE}  erratum: E3\n"), Keep::Never)
            .await;
    let met: Vec<_> = ran.result.errata.iter().map(|erratum| erratum.id.as_str()).collect();
    assert_eq!(met, ["E1"]);
}

#[tokio::test(start_paused = true)]
async fn evidence_is_collected_before_anything_is_removed() {
    let world = World { testimony: false, ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Never).await;
    let at = |call: &str| ran.calls.iter().position(|known| known.starts_with(call)).unwrap();
    assert!(at("collect evidence of ns") < at("delete"), "{:?}", ran.calls);
    assert_eq!(ran.calls.last().map(String::as_str), Some("uninstall"));
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.expected, "witness clear-text-refused to bear it out");
}

#[tokio::test(start_paused = true)]
async fn trouble_in_setting_up_is_an_error_and_no_verdict_on_the_implementation() {
    let world = World { broken: Some("apply gateway"), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(verdicts(&ran.result), ["R10 proved", "R21 skipped", "R43 skipped"]);
    assert!(ran.calls.contains(&"delete namespace/ns".to_owned()), "{:?}", ran.calls);
}

#[tokio::test(start_paused = true)]
async fn it_takes_several_right_answers_in_a_row() {
    let (good, bad) = (answer(200, "backend-v1"), answer(200, "backend-v2"));
    let answers = [bad.clone(), good.clone(), good.clone(), bad, good];
    let world = World { answers: given(answers), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Never).await;
    let observed = &ran.result.steps[2].observed;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    let counts: Vec<_> =
        observed.answers.iter().map(|g| (g.backend.as_deref().unwrap_or(""), g.count)).collect();
    assert_eq!(counts, [("backend-v2", 2), ("backend-v1", 22)]);
    let four = crate::context::millis(meshproof_model::scenario::limits::PACE * 4);
    assert!(
        observed.became_ms.unwrap() >= four,
        "counted from the first of the row: {:?}",
        observed.became_ms
    );
}

#[tokio::test(start_paused = true)]
async fn one_wrong_answer_while_staying_is_a_failure() {
    let mut answers = vec![answer(200, "backend-v1"); 15];
    answers.extend([answer(503, ""), answer(200, "backend-v1")]);
    let world = World { answers: given(answers), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "after 15 such answers the answer is 503");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_may_waver_counts_from_its_last_change() {
    let mut answers = vec![answer(200, "backend-v1"); 5];
    answers.extend([answer(503, ""), answer(200, "backend-v1")]);
    let world = World { answers: given(answers), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}  may-waver: true\n"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    let observed = &ran.result.steps[2].observed;
    assert_eq!(observed.stayed.map(|stayed| stayed.requests), Some(20));
    assert!(observed.first_ms < observed.became_ms, "{observed:?}");
    assert_eq!(observed.answers.iter().map(|group| group.count).collect::<Vec<_>>(), [25, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_wavers_past_its_time_is_a_failure() {
    let mut answers = Vec::new();
    for _ in 0..1000 {
        answers.extend(vec![answer(200, "backend-v1"); 15]);
        answers.push(answer(503, ""));
    }
    let world = World { answers: given(answers), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}  may-waver: true\n"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_reason_must_be_the_gateways_own() {
    let ask = "- request: {gateway: g}\n  becomes: {status: 200, reason: no_route}\n  within: 10s\n";
    let ran = run(World::default(), &format!("{SETUP}{ask}"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "the gateway gives the reason ok");
    let world = World {
        account: Some(Account { reason: "no_route".into(), upstream_pod: None }),
        ..World::default()
    };
    assert_eq!(run(world, &format!("{SETUP}{ask}"), Keep::Never).await.result.verdict, Verdict::Proved);
}

#[tokio::test(start_paused = true)]
async fn a_reason_may_take_as_long_as_the_status() {
    let ask = "- request: {gateway: g}\n  becomes: {status: 200, reason: ok}\n  within: 10s\n  stays: 20 requests\n";
    let reasons = Mutex::new(["no_endpoint".to_owned()].into());
    let ran = run(World { reasons, ..World::default() }, &format!("{SETUP}{ask}"), Keep::Never).await;
    let step = &ran.result.steps[2];
    assert_eq!((step.verdict, step.observed.answers[0].count), (Verdict::Proved, 40));
    assert_eq!(step.observed.settled[0].count, 20);
}

#[tokio::test(start_paused = true)]
async fn a_status_is_waited_for_by_watch_and_reported_while_it_is_not_there() {
    let steps = format!(
        "{SETUP}- status: gateway/g\n  becomes: {{status: {{ready: true}}}}\n  within: 10s\n  stays: 2s\n"
    );
    let world = Arc::new(World::default());
    let change = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.change("gateway/g in ns", |gateway| gateway["status"]["ready"] = json!(true));
    };
    let (ran, ()) =
        tokio::join!(run_until(world.clone(), &steps, Keep::Never, CancellationToken::new()), change);
    assert_eq!(ran.result.verdict, Verdict::Proved);
    let observed = &ran.result.steps[2].observed;
    assert_eq!((observed.became_ms, observed.stayed.map(|s| s.ms)), (Some(4000), Some(2000)));
    let told = ran.events.iter().any(|event| {
        matches!(event, Event::Observed { message, .. } if message == "not yet, because ready is missing, wanted true")
    });
    assert!(told, "{:?}", ran.events);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_ceases_to_hold_is_a_failure() {
    let steps = format!(
        "{SETUP}- status: gateway/g\n  becomes: {{status: {{addresses: '*'}}}}\n  within: 10s\n  stays: 5s\n"
    );
    let world = Arc::new(World::default());
    let change = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.change("gateway/g in ns", |gateway| gateway["status"] = json!({}));
    };
    let (ran, ()) =
        tokio::join!(run_until(world.clone(), &steps, Keep::Never, CancellationToken::new()), change);
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "it held for 3.0s, then addresses is missing");
}

#[tokio::test(start_paused = true)]
async fn pods_are_remembered_and_compared() {
    let pods = "- pods: ns\n  become: [{prefix: a-, count: 1, ready: 1/1}]\n  within: 1s\n";
    let steps = format!(
        "{SETUP}{pods}- absent: gateway/none\n  within: 1s\n  stays: 4s\n- not-restarted: ns\n  within: 1s\n"
    );
    let pod = |uid: &str| {
        json!({"metadata": {"name": "a-1", "uid": uid}, "spec": {"containers": [{}]},
               "status": {"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 0}]}})
    };
    let world = Arc::new(World::default());
    world.insert("pod/a-1 in ns", pod("1"));
    let ran = run_until(world, &steps, Keep::Never, CancellationToken::new()).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());

    let world = Arc::new(World::default());
    world.insert("pod/a-1 in ns", pod("1"));
    let replace = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.insert("pod/a-1 in ns", pod("2"));
    };
    let (ran, ()) =
        tokio::join!(run_until(world.clone(), &steps, Keep::Never, CancellationToken::new()), replace);
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "a-1 is gone; a-1 is new");
}

#[tokio::test(start_paused = true)]
async fn deleting_what_is_not_there_is_an_error() {
    let ran = run(World::default(), "- delete: gateway/g\n", Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(ran.result.steps[0].info.kind, StepKind::Action);
}

#[tokio::test(start_paused = true)]
async fn a_literal_command_may_be_required_to_fail() {
    let steps = "- kubectl: get gateway g -n test-infra\n  fails: NotFound\n- helm: list\n";
    let ran = run(World::default(), steps, Keep::Never).await;
    assert_eq!(ran.result.steps[0].verdict, Verdict::Proved);
    assert_eq!(ran.result.steps[1].verdict, Verdict::Failed);
}

#[tokio::test(start_paused = true)]
async fn what_is_waived_is_not_run_and_does_not_stand_in_the_way() {
    let pods = "- pods: ns\n  become: [{prefix: a-, count: 1, ready: 1/1}]\n  within: 1s\n  proves: [R12]\n";
    let ran = run(World::default(), &format!("{SETUP}{pods}{ASK}"), Keep::Failed).await;
    assert_eq!(ran.result.verdict, Verdict::Partly, "{:?}", ran.result.culprit());
    assert_eq!(verdicts(&ran.result), ["R10 proved", "R12 waived", "R21 proved", "R43 proved"]);
    assert_eq!(ran.result.steps[2].observed.summary, "It has no such pods.");
    assert_eq!(ran.result.requirements[1].waived.as_deref(), Some("It has no such pods."));

    let alone = run(World::default(), pods, Keep::Failed).await.result;
    assert_eq!((alone.verdict, verdict::exit_code(alone.verdict)), (Verdict::Waived, 5));
}

#[tokio::test(start_paused = true)]
async fn objects_the_implementation_has_no_use_for_are_not_applied_and_named() {
    let ran = run(World::default(), "- apply: [map.yaml, ns.yaml]\n", Keep::Never).await;
    assert_eq!(ran.calls, ["apply namespace/ns", "delete namespace/ns"]);
    let summary = &ran.result.steps[0].observed.summary;
    assert_eq!(summary, "configmap/m in ns left out: It reads none.; namespace/ns created");
}

#[tokio::test(start_paused = true)]
async fn all_deployments_of_a_namespace_are_restarted_before_the_first_is_waited_for() {
    let world = World::default();
    let rolled_out =
        json!({"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1});
    for name in ["a", "b"] {
        let metadata = json!({"name": name, "generation": 1});
        let object = json!({"metadata": metadata, "spec": {"replicas": 1}, "status": rolled_out});
        world.insert(&format!("deployment/{name} in other"), object);
    }
    let ran = run(world, "- restart: deployments\n  namespace: other\n", Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let patched: Vec<_> = ran.calls.iter().filter_map(|call| call.split(" {").next()).collect();
    assert_eq!(patched, ["patch deployment/a in other", "patch deployment/b in other"]);
    assert_eq!(
        ran.result.steps[0].observed.summary,
        "deployment/a in other, deployment/b in other restarted"
    );
}
