//! Actions that do not end.

use futures::future::pending;

use super::*;
use crate::ports::{PortFuture, Script, Tool, ToolOutput, Tools};
use meshproof_model::scenario::limits::{ACTION, GRACE};

/// Commands that never end.
struct Hanging;

impl Tools for Hanging {
    fn run<'a>(&'a self, _: Tool, _: &'a [String]) -> PortFuture<'a, ToolOutput> {
        Box::pin(pending())
    }

    fn shell<'a>(&'a self, _: &'a Script) -> PortFuture<'a, ToolOutput> {
        Box::pin(pending())
    }
}

/// What became of steps whose commands never end, and what was called.
async fn hang(steps: &str) -> (ScenarioResult, Vec<String>) {
    let world = Arc::new(World::default());
    let runner = Runner {
        outside: crate::context::Outside { tools: Arc::new(Hanging), ..world.outside() },
        sink: Arc::new(Recorder::default()),
        results: "results".into(),
        keep: Keep::Never,
        stop: CancellationToken::new(),
    };
    (runner.run(&scenario(steps)).await, world.calls())
}

#[tokio::test(start_paused = true)]
async fn an_action_that_hangs_is_ended_at_its_limit_and_undone() {
    let (result, calls) = hang("- apply: ns.yaml\n- kubectl: get pods\n  within: 40s\n").await;
    assert_eq!(result.verdict, Verdict::Error, "nothing was found out about the implementation");
    let step = &result.steps[1];
    assert_eq!(step.duration_ms, crate::context::millis(Duration::from_secs(40) + GRACE));
    let failure = step.failure.as_ref().unwrap();
    assert_eq!(failure.doing, "running the step `kubectl get pods`");
    assert_eq!(failure.expected, "it to end within 40s");
    assert!(failure.next.as_ref().unwrap().contains("within"), "{failure:?}");
    assert_eq!(failure.evidence.as_deref(), Some(Path::new("evidence/s")));
    let at = |call: &str| calls.iter().rposition(|known| known.starts_with(call)).unwrap();
    assert!(at("collect evidence") < at("delete namespace/ns"), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_no_step_gives_is_that_of_its_word() {
    let (result, _) = hang("- shell: wrong.sh\n").await;
    assert_eq!(result.steps[0].duration_ms, crate::context::millis(ACTION + GRACE));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_keeps_its_limit_itself_tells_what_it_waited_for() {
    let world = Arc::new(World::default());
    let deployment =
        json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {"observedGeneration": 1}});
    world.insert("deployment/d in ns", deployment);
    let steps = "- scale: deployment/d\n  to: 1\n  within: 30s\n";
    let ran = run_until(world, steps, Keep::Never, CancellationToken::new()).await;
    let failure = ran.result.steps[0].failure.as_ref().unwrap();
    assert!(failure.seen.contains("its controller has not seen the change"), "{failure:?}");
}
