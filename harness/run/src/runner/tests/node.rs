//! Nodes that lose their power.

use super::*;

const CUT: &str = "- stop-node: {pod: web-}\n- end-connections: stopped\n";

fn world() -> World {
    let world = World::default();
    world.insert(
        "pod/web-1 in ns",
        json!({"metadata": {"name": "web-1"}, "spec": {"nodeName": "n2"}, "status": {"phase": "Running"}}),
    );
    world
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_is_forgotten_and_started_again_at_the_end() {
    let ran = run(world(), CUT, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(ran.calls, ["stop n2", "forget n2", "start n2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_of_a_node_that_runs() {
    let ran = run(world(), "- end-connections: stopped\n", Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    assert_eq!(ran.calls, [""; 0]);
}
