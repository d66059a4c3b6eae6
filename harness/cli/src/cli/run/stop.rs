//! Ending a run early.

use std::process;

use tokio_util::sync::CancellationToken;

/// The first Ctrl-C (or SIGTERM) ends the step under way and cleans up; the second ends the program.
pub(in crate::cli) fn on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signal().await;
        eprintln!("interrupted: cleaning up; once more to leave everything as it is");
        token.cancel();
        signal().await;
        process::exit(130);
    });
    stop
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
