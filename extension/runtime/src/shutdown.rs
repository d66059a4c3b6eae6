//! An orderly end: the first SIGTERM or SIGINT cancels a token that everything watches.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM (the kubelet's) or SIGINT (a terminal's) cancels.
///
/// The process does not end by it: the program stops what it does, and returns from `main`. A second signal ends the
/// process at once, with the usual status 128 + number.
///
/// # Errors
/// When the handlers cannot be installed.
///
/// # Panics
/// Outside a tokio runtime.
pub fn shutdown_on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => (SignalKind::terminate(), "SIGTERM"),
                _ = interrupt.recv() => (SignalKind::interrupt(), "SIGINT"),
            }
        };
        let (_, name) = next().await;
        tracing::info!(signal = name, "shutting down");
        cancel.cancel();
        let (kind, name) = next().await;
        tracing::warn!(signal = name, "second signal: ending at once");
        std::process::exit(128 + kind.as_raw_value());
    });
    Ok(token)
}
