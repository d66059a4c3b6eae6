//! The gateway's own word for an answer.

use super::*;
use meshproof_model::implementation::Implementation;

const ASK: &str = "- request: {gateway: g}\n  becomes: {status: 200, reason: no_route}\n  within: 10s\n";

/// The scenario put to a gateway that keeps no log that can be read.
fn of_a_silent_gateway(steps: &str) -> Scenario {
    let implementation: Implementation = {
        let mut implementation = implementation();
        implementation.proxies.access_log = None;
        implementation
    };
    scenario_for(HEAD, steps, &implementation)
}

#[tokio::test(start_paused = true)]
async fn a_gateway_without_a_log_can_be_proved_and_its_reason_is_said_not_to_be_shown() {
    let world = Arc::new(World::default());
    let runner = Runner {
        outside: world.outside(),
        sink: Arc::new(Recorder::default()),
        results: "results".into(),
        keep: Keep::Never,
        stop: CancellationToken::new(),
    };
    let result = runner.run(&of_a_silent_gateway(&format!("{SETUP}{ASK}"))).await;
    assert_eq!(result.verdict, Verdict::Proved, "{:?}", result.culprit());
    let summary = &result.steps[2].observed.summary;
    assert!(
        summary.contains("that the reason is no_route is not shown: the gateway keeps no log"),
        "{summary}"
    );
    // One that keeps a log is held to it.
    assert_eq!(
        run(World::default(), &format!("{SETUP}{ASK}"), Keep::Never).await.result.verdict,
        Verdict::Failed
    );
}
