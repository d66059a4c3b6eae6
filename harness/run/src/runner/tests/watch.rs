//! Watches that break while a claim is to go on holding.

use super::*;
use crate::runner::fakes::Torn;

const STAYS: &str = "- value: gateway/g\n  field: status.addresses[0].value\n  becomes: {named: it, like: \"*\"}\n  within: \
                     1s\n  stays: 4s\n";

/// Runs a claim that is to stay for four seconds, and tears its watch in such ways, one each second.
async fn torn(ways: &[Torn]) -> Ran {
    let world = Arc::new(World::default());
    let tear = async {
        for way in ways {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.torn.send_replace(*way);
        }
    };
    let (stop, steps) = (CancellationToken::new(), format!("{SETUP}{STAYS}"));
    let (ran, ()) = tokio::join!(run_until(world.clone(), &steps, Keep::Never, stop), tear);
    ran
}

fn failure(ran: &Ran) -> String {
    ran.result.culprit().and_then(|step| step.failure.clone()).unwrap().seen
}

#[tokio::test(start_paused = true)]
async fn the_time_begins_anew_with_a_watch_that_was_renewed() {
    let ran = torn(&[Torn::Renewed]).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    let step = &ran.result.steps[2];
    assert_eq!(step.observed.stayed.map(|stayed| stayed.ms), Some(4000));
    assert!(step.duration_ms >= 5000, "one second does not count: {} ms", step.duration_ms);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_come_back_is_an_error() {
    let ran = torn(&[Torn::Silent]).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(failure(&ran), "it held, but nobody could look all the time: watching: it broke");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_again_and_again_is_an_error() {
    let ran = torn(&[Torn::Renewed; 8]).await;
    assert_eq!(ran.result.verdict, Verdict::Error, "{:?}", ran.result.steps);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_no_success_either() {
    let ran = torn(&[Torn::Ended]).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert!(ran.result.steps[2].duration_ms >= 5000, "the time begins anew");
    let ran = torn(&[Torn::Ended; 8]).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(failure(&ran), "it held, but nobody could look all the time: the watch ended");
}
