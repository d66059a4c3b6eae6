//! Claims about who has written, with a log, without, and with one that comes late.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::audit::{AuditLog, Audited, Holding, Pod, Target, Write};

const CLAIM: &str =
    "- single-writer: lease/alb-controller\n  namespace: azure-alb-system\n  within: 10s\n  proves: [R4]\n";
const A: &str = "alb-controller-6c8f9d7b54-aaaaa";
const B: &str = "alb-controller-6c8f9d7b54-bbbbb";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_secs(seconds)
}

fn write(pod: &str, seconds: i64) -> Write {
    Write {
        received: at(seconds),
        done: at(seconds),
        user: "system:serviceaccount:azure-alb-system:alb-controller".into(),
        pod: Some(Pod { namespace: "azure-alb-system".into(), name: pod.into() }),
        verb: "patch".into(),
        target: Target {
            resource: "services".into(),
            namespace: "ns".into(),
            name: "fe".into(),
            ..Target::default()
        },
        holding: None,
    }
}

fn renewal(pod: &str, seconds: i64) -> Write {
    let holding =
        Holding { identity: pod.into(), seconds: Some(15), renewed: seconds.to_string(), version: None };
    let target = Target {
        group: "coordination.k8s.io".into(),
        resource: "leases".into(),
        namespace: "azure-alb-system".into(),
        name: "alb-controller".into(),
    };
    Write { target, holding: Some(holding), ..write(pod, seconds) }
}

/// Read at 0, which is the beginning of the scenario and of the claim.
fn log(own: bool, writes: Vec<Write>) -> Audited {
    Audited::Log(AuditLog { now: at(0), from: Some(at(-60)), own, writes })
}

async fn claimed(reads: impl IntoIterator<Item = Audited>) -> Ran {
    let world = World { audited: Mutex::new(reads.into_iter().collect()), ..World::default() };
    run(world, CLAIM, Keep::Never).await
}

#[tokio::test(start_paused = true)]
async fn a_log_in_which_only_the_holder_writes_proves_it() {
    let ran = claimed([log(true, vec![renewal(A, -2), renewal(A, 0), write(A, 0)])]).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(verdicts(&ran.result), ["R4 proved"]);
    let summary = &ran.result.steps[0].observed.summary;
    assert_eq!(
        summary,
        "each write by a pod of alb-controller was by the one that held lease/alb-controller in azure-alb-system"
    );
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_behind_is_read_again() {
    let ran = claimed([
        log(true, Vec::new()),
        log(true, vec![renewal(A, -2)]),
        log(true, vec![renewal(A, -2), renewal(A, 0)]),
    ])
    .await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_is_told_with_pod_object_and_time_and_the_detail_goes_to_the_evidence() {
    let ran = claimed([log(true, vec![renewal(A, -2), renewal(A, 0), write(B, 0)])]).await;
    assert_eq!(verdicts(&ran.result), ["R4 failed"]);
    let step = ran.result.culprit().unwrap();
    let seen = &step.failure.as_ref().unwrap().seen;
    assert!(
        seen.contains(B) && seen.contains("services fe in ns") && seen.contains(&at(0).to_string()),
        "{seen}"
    );
    assert_eq!(step.observed.detail["others"][0]["pod"], format!("azure-alb-system/{B}"));
}

#[tokio::test(start_paused = true)]
async fn without_a_log_nothing_is_shown_and_the_requirement_is_not_proved() {
    let ask = "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 10s\n  proves: [R4]\n";
    let setup = "- apply: gateway.yaml\n";
    let ran = run(World::default(), &format!("{setup}{CLAIM}{ask}"), Keep::Never).await;
    assert_eq!(verdicts(&ran.result), ["R4 partly"], "{:?}", ran.result.culprit());
    assert_eq!(ran.result.verdict, Verdict::Partly);
    let step = &ran.result.steps[1];
    assert_eq!((step.verdict, step.failure.is_none()), (Verdict::Waived, true));
    let why = "not shown on this cluster: there is no log";
    assert_eq!(step.info.waived.as_deref(), Some(why));
    assert_eq!(ran.result.requirements[0].waived.as_deref(), Some(why));
    let alone = claimed([Audited::NotKept("there is no log".into())]).await;
    assert_eq!(
        (verdicts(&alone.result), alone.result.verdict),
        (vec!["R4 waived".to_owned()], Verdict::Waived)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_renews_fails_where_the_log_would_have_it() {
    let ours = claimed([log(true, vec![renewal(A, -30)])]).await;
    assert_eq!(verdicts(&ours.result), ["R4 failed"]);
    let theirs = claimed([log(false, vec![renewal(A, -30)])]).await;
    assert_eq!(verdicts(&theirs.result), ["R4 waived"]);
}

/// A gateway that elects no leader.
fn without_leader() -> Implementation {
    let mut implementation = implementation();
    implementation.leader_election.clear();
    implementation
}

#[test]
fn a_lease_by_which_nobody_elects_is_told_at_its_place() {
    let read = |_: &Path| {
        Ok(format!("{HEAD}- single-writer: lease/other\n  namespace: azure-alb-system\n  within: 1s\n"))
    };
    let catalogue = Catalogue::built_in().unwrap();
    let load = |implementation: &Implementation| {
        Scenario::load_with(Path::new("s"), "s", &catalogue, implementation, &read)
    };
    let problems = load(&implementation()).unwrap_err().to_string();
    assert!(problems.contains("no pods of alb elect a leader by lease/other"), "{problems}");
    let none = without_leader();
    assert!(load(&none).is_ok(), "of a gateway that elects none nothing is shown");
}

#[tokio::test(start_paused = true)]
async fn of_a_gateway_that_elects_no_leader_nothing_is_shown() {
    let none = without_leader();
    let read = |_: &Path| Ok(format!("{HEAD}{CLAIM}"));
    let catalogue = Catalogue::built_in().unwrap();
    let scenario = Scenario::load_with(Path::new("s"), "s", &catalogue, &none, &read).unwrap();
    let runner = Runner {
        outside: Arc::new(World::default()).outside(),
        sink: Arc::new(Recorder::default()),
        results: "results".into(),
        keep: Keep::Never,
        stop: CancellationToken::new(),
    };
    let result = runner.run(&scenario).await;
    assert_eq!(result.verdict, Verdict::Waived);
    let why = result.steps[0].info.waived.clone().unwrap_or_default();
    assert!(why.contains("names no pods that elect a leader"), "{why}");
}
