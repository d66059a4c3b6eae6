//! What a run has made goes away again, whatever came of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_install_that_stops_half_way_is_undone() {
    let world = World { broken: Some("install"), ..World::default() };
    let ran = run(world, SETUP, Keep::Never).await;
    assert_eq!(ran.calls, ["uninstall", "install {}", "collect evidence of ns", "uninstall"]);
}

#[tokio::test(start_paused = true)]
async fn failed_scenarios_are_kept_if_asked_for_and_say_what_is_left() {
    let world = World { answers: given([answer(503, "")]), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Failed).await;
    assert_eq!(ran.result.kept, ["the implementation", "namespace/ns"]);
    assert!(!ran.calls.iter().any(|call| call.starts_with("delete")));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_away_is_told() {
    let world = World { sticky: Some("namespace"), ..World::default() };
    let ran = run(world, SETUP, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert!(ran.result.problems[0].contains("namespace/ns is still there"), "{:?}", ran.result.problems);
    assert_eq!(ran.calls.last().map(String::as_str), Some("uninstall"), "clean-up goes on after trouble");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_scenario_cleans_up() {
    let world = World { answers: given([answer(503, "")]), ..World::default() };
    let stop = CancellationToken::new();
    let steps = format!("{SETUP}{ASK}");
    let running = run_until(Arc::new(world), &steps, Keep::Never, stop.clone());
    let interrupt = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(running, interrupt);
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(ran.result.culprit().and_then(|s| s.failure.as_ref()).unwrap().seen, "it was interrupted");
    assert_eq!(ran.calls.last().map(String::as_str), Some("uninstall"));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_is_removed_first() {
    let world = Arc::new(World::default());
    world.insert("namespace/ns", left("ns"));
    let ran = run_until(world.clone(), SETUP, Keep::Never, CancellationToken::new()).await;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    assert_eq!(world.calls()[..3], ["delete gateway/g in ns", "delete namespace/ns", "uninstall"]);
    assert!(ran.result.steps[1].observed.summary.contains("namespace/ns created"), "not merely configured");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_and_does_not_go_away_is_an_error() {
    let world = Arc::new(World { sticky: Some("namespace"), ..World::default() });
    world.insert("namespace/ns", left("ns"));
    let ran = run_until(world, SETUP, Keep::Never, CancellationToken::new()).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(ran.result.steps[1].verdict, Verdict::Skipped);
    assert!(ran.result.culprit().unwrap().failure.as_ref().unwrap().seen.contains("still there"));
}

#[tokio::test(start_paused = true)]
async fn scaling_is_undone() {
    let world = Arc::new(World::default());
    world.insert(
        "deployment/d in ns",
        json!({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}}),
    );
    let steps = "- scale: deployment/d\n  to: 0\n";
    let ran = run_until(world, steps, Keep::Never, CancellationToken::new()).await;
    assert_eq!(
        ran.calls,
        [
            r#"patch deployment/d in ns {"spec":{"replicas":0}}"#,
            r#"patch deployment/d in ns {"spec":{"replicas":0}}"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn certificates_are_stored_and_go_like_everything_applied() {
    let steps = "- certificates: backend-ca\n  servers: {secret: backend-tls, names: backend.example}\n";
    let ran = run(World::default(), steps, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    let step = &ran.result.steps[0];
    assert_eq!(step.info.name, "make certificate authority backend-ca; backend-tls for backend.example");
    assert_eq!(
        ran.calls,
        [
            "apply configmap/backend-ca in ns",
            "apply secret/backend-tls in ns",
            "delete secret/backend-tls in ns",
            "delete configmap/backend-ca in ns",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn another_root_is_put_back_even_when_it_came_only_half_way() {
    let steps = "- rotate-root: istio-system\n";
    let ran = run(World::default(), steps, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    assert_eq!(ran.result.steps[0].observed.summary, "a stage");
    assert_eq!(ran.calls, ["rotate root istio-system", "restore root istio-system"]);
    let broken = World { broken: Some("rotate root"), ..World::default() };
    let ran = run(broken, steps, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(
        ran.calls,
        ["rotate root istio-system", "collect evidence of ns", "restore root istio-system"]
    );
}
