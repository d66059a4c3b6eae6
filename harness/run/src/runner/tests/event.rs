//! Events that outlive what they are about.

use super::*;

const HAPPENS: &str = "- event: pod/a-*\n  becomes: {reason: Unsupported}\n  within: 10s\n";

fn world() -> Arc<World> {
    let world = Arc::new(World::default());
    let about = json!({"kind": "Pod", "name": "a-1", "uid": "1"});
    world.insert("event/e in ns", json!({"reason": "Unsupported", "message": "m", "involvedObject": about}));
    world
}

#[tokio::test(start_paused = true)]
async fn an_event_about_a_pod_that_is_gone_says_nothing() {
    let world = world();
    world.insert("pod/a-2 in ns", json!({"metadata": {"name": "a-2", "uid": "2"}}));
    let ran = run_until(world, HAPPENS, Keep::Never, CancellationToken::new()).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, "an event says so, but a-1, which it is about, is no more");
}

#[tokio::test(start_paused = true)]
async fn an_event_counts_once_its_pod_is_known() {
    let world = world();
    let come = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.insert("pod/a-1 in ns", json!({"metadata": {"name": "a-1", "uid": "1"}}));
    };
    let (ran, ()) =
        tokio::join!(run_until(world.clone(), HAPPENS, Keep::Never, CancellationToken::new()), come);
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let observed = &ran.result.steps[0].observed;
    assert_eq!((observed.became_ms, observed.summary.as_str()), (Some(2000), "Unsupported: m"));
}
