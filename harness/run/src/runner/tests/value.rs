//! Values that claims give names to.

use super::*;

fn value(named: &str, like: &str) -> String {
    format!(
        "- value: gateway/g\n  field: status.addresses[0].value\n  becomes: {{named: {named}, like: \"{like}\"}}\n  within: \
         1s\n"
    )
}

fn failure(ran: &Ran) -> String {
    ran.result.culprit().and_then(|step| step.failure.clone()).unwrap().seen
}

#[tokio::test(start_paused = true)]
async fn a_value_that_has_a_name_is_known_again() {
    let (given, again) = (value("the frontend", "fe-?.*"), value("the frontend", "*"));
    let ran = run(World::default(), &format!("{SETUP}{given}{again}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let told: Vec<_> = ran.result.steps.iter().map(|step| step.observed.summary.as_str()).collect();
    assert_eq!(
        told[2..],
        ["fe-1.alb.internal, from now on called: the frontend", "fe-1.alb.internal, as before"]
    );
}

#[tokio::test(start_paused = true)]
async fn two_names_are_two_values() {
    let (one, two) = (value("one", "*"), value("two", "*"));
    let ran = run(World::default(), &format!("{SETUP}{one}{two}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    assert_eq!(failure(&ran), "status.addresses[0].value is fe-1.alb.internal, which is one");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_becomes_another_is_told_with_both() {
    let change = |world: Arc<World>| async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let other = json!({"addresses": [{"type": "Hostname", "value": "fe-2.alb.internal"}]});
        world.change("gateway/g in ns", |gateway| gateway["status"] = other);
    };
    let wait = "- absent: gateway/none\n  within: 1s\n  stays: 4s\n";
    let later = format!("{SETUP}{}{wait}{}", value("it", "*"), value("it", "*"));
    let world = Arc::new(World::default());
    let stop = CancellationToken::new();
    let (ran, ()) = tokio::join!(run_until(world.clone(), &later, Keep::Never, stop), change(world));
    let seen = "status.addresses[0].value is fe-2.alb.internal, but it is fe-1.alb.internal";
    assert_eq!(failure(&ran), seen);

    let staying = format!("{SETUP}{}  stays: 4s\n", value("it", "*"));
    let world = Arc::new(World::default());
    let stop = CancellationToken::new();
    let (ran, ()) = tokio::join!(run_until(world.clone(), &staying, Keep::Never, stop), change(world));
    let seen = failure(&ran);
    assert!(
        seen.ends_with("status.addresses[0].value is fe-2.alb.internal, but was fe-1.alb.internal"),
        "{seen}"
    );
}
