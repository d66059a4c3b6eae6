//! What a client has done lately, told by whoever sees it to whoever must decide that it has done too little.

use crate::stall::Since;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Of an HTTP/1 connection, or of one stream of HTTP/2.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Something was heard since the last exchange ended: the beginning of a request, unless one is being answered.
    heard: AtomicBool,
    /// A part of the response was handed over, and nobody has asked for the next.
    handed_over: Since,
    /// It took nothing of the response for too long.
    stalled: AtomicBool,
}

impl Progress {
    /// Bytes have come.
    pub(crate) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// The exchange has ended; what comes now is the next request.
    pub(crate) fn end_exchange(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    /// Whether the client has begun a request that nobody has seen yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Part of the response is on its way, for as long as the client likes.
    pub(crate) fn handed_over(&self) {
        self.handed_over.begin();
    }

    /// There is room for more.
    pub(crate) fn asked_for_more(&self) {
        self.handed_over.end();
    }

    /// Nothing of the response is taken any more: the connection, or the stream, ends.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Waits until the client has taken nothing of a response for `limit`.
    pub(crate) async fn stalled(&self, limit: Duration) {
        self.handed_over.lasted(limit).await;
        self.stall();
    }
}
