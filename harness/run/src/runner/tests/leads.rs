//! Who leads after the holder of a Lease has died.

use super::*;

const KILL: &str = "- kill: {holder-of: lease/l}\n  namespace: ns\n";
const LEADS: &str = "- leads: lease/l\n  by: another\n  within: 10s\n";

fn world() -> World {
    let world = World::default();
    world.insert("pod/web-1 in ns", json!({"metadata": {"name": "web-1"}, "status": {"phase": "Running"}}));
    let spec = json!({"holderIdentity": "web-1", "renewTime": "1"});
    world.insert("lease/l in ns", json!({"metadata": {"name": "l"}, "spec": spec}));
    world
}

#[tokio::test(start_paused = true)]
async fn whoever_took_over_before_anybody_looked_is_another() {
    let ran = run(world(), &format!("{KILL}{LEADS}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(ran.calls, ["kill ns/web-1"]);
}

#[tokio::test(start_paused = true)]
async fn one_death_has_one_successor() {
    let ran = run(world(), &format!("{KILL}{LEADS}{LEADS}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    assert_eq!(ran.result.culprit().unwrap().info.index, 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_death_it_is_another_than_at_first_sight() {
    let ran = run(world(), LEADS, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Failed);
    let seen = &ran.result.culprit().unwrap().failure.as_ref().unwrap().seen;
    assert!(seen.contains("web-1 still holds it"), "{seen}");
}
