//! Only what a run has made is removed, whatever it is called.

use super::*;

/// The same object in everything but that somebody else made it.
fn theirs(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "uid": "theirs"}})
}

#[tokio::test(start_paused = true)]
async fn what_somebody_has_under_a_name_of_the_scenarios_stops_it_and_stays() {
    let world = Arc::new(World::default());
    world.insert("namespace/ns", theirs("ns"));
    let ran = run_until(world.clone(), SETUP, Keep::Never, CancellationToken::new()).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert!(failure.seen.contains("namespace/ns is left alone"), "{failure:?}");
    assert!(failure.next.unwrap().contains("kubectl delete namespace ns"));
    assert_eq!(world.objects.borrow().get("namespace/ns"), Some(&theirs("ns")));
    assert!(!world.calls().iter().any(|call| call.starts_with("install")), "{:?}", world.calls());
}

#[tokio::test(start_paused = true)]
async fn what_took_the_place_of_an_object_meanwhile_stays_and_is_told() {
    let steps = format!("{SETUP}- absent: gateway/none\n  within: 1s\n  stays: 4s\n");
    let world = Arc::new(World::default());
    let replace = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.insert("gateway/g in ns", theirs("g"));
    };
    let (ran, ()) =
        tokio::join!(run_until(world.clone(), &steps, Keep::Never, CancellationToken::new()), replace);
    assert_eq!(world.objects.borrow().get("gateway/g in ns"), Some(&theirs("g")));
    assert!(ran.result.problems[0].contains("gateway/g in ns is left alone"), "{:?}", ran.result.problems);
    assert_eq!(ran.result.verdict, Verdict::Error);
}

#[tokio::test(start_paused = true)]
async fn one_of_the_same_name_made_after_ours_has_gone_is_not_waited_for() {
    let world = Arc::new(World { sticky: Some("namespace"), ..World::default() });
    world.insert("namespace/ns", left("ns"));
    let replace = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.insert("namespace/ns", theirs("ns"));
    };
    let scenario = scenario(SETUP);
    let outside = world.outside();
    let (swept, ()) = tokio::join!(sweep(&scenario.steps, &outside), replace);
    assert_eq!(swept.unwrap(), ["namespace/ns"]);
}

#[tokio::test(start_paused = true)]
async fn what_literal_commands_make_is_removed_even_if_they_fail() {
    let steps = "- shell: a.sh\n  substitute: table.yaml\n  says: never\n";
    let world =
        Arc::new(World { by_shell: vec!["deployment/d in ns", "gateway/x in other"], ..World::default() });
    let ran = run_until(world.clone(), steps, Keep::Never, CancellationToken::new()).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    let left: Vec<_> = world.objects.borrow().keys().cloned().collect();
    assert_eq!(left, ["gateway/x in other"], "what the commands do not name is not guessed");
}
