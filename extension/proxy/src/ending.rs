//! The end of the proxy, in its steps.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What has been said about it.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// The end is announced: answers close their connections.
    pub(crate) draining: CancellationToken,
    /// It is near: WebSockets, which end with no answer, are told so.
    pub(crate) closing: CancellationToken,
    /// The deadline of the drain has passed: what is still open is cut off.
    pub(crate) abort: CancellationToken,
    /// Accept loops, connections and WebSockets.
    pub(crate) tasks: TaskTracker,
}
