//! What the client of a connection does meanwhile.

use crate::idle::Since;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a client has done lately, told by whoever sees it to whoever must decide that it has done too little.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Since when a request has been begun that nobody has seen whole yet.
    begun: Since,
    /// Since when nothing is to be done: no request, and none begun.
    rest: Since,
    /// A request is being answered.
    exchanging: AtomicBool,
    /// A part of the response was handed over, and nobody has asked for the next.
    handed_over: Since,
    /// It took nothing of the response for too long.
    stalled: AtomicBool,
    /// It was answered before it had sent everything.
    cut_short: AtomicBool,
}

impl Activity {
    /// Bytes have come.
    pub(crate) fn hear(&self) {
        if !self.exchanging.load(Ordering::Relaxed) && self.begun.lasting().is_none() {
            self.begun.begin();
        }
        self.rest.end();
    }

    /// A request has come whole, up to its body.
    pub(crate) fn begin_exchange(&self) {
        self.exchanging.store(true, Ordering::Relaxed);
        self.begun.end();
        self.rest.end();
    }

    /// The exchange has ended; what comes now is the next request.
    pub(crate) fn end_exchange(&self) {
        self.exchanging.store(false, Ordering::Relaxed);
        self.rest.begin();
    }

    /// The client was answered before it had sent everything.
    pub(crate) fn cut_short(&self) {
        self.cut_short.store(true, Ordering::Relaxed);
    }

    /// Whether the client may be sending what nobody will read.
    pub(crate) fn may_still_send(&self) -> bool {
        self.has_begun() || self.cut_short.load(Ordering::Relaxed)
    }

    /// Whether the client has begun a request that nobody has seen yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.lasting().is_some()
    }

    /// For how long the client has had nothing to say, or has not said it to its end; none while it is served.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.begun.lasting().or_else(|| self.rest.lasting())
    }

    /// The connection is new: nothing has come yet.
    pub(crate) fn begin_rest(&self) {
        self.rest.begin();
    }

    /// Waits until a request has been begun for `limit` and is not whole.
    pub(crate) async fn header_is_late(&self, limit: Duration) {
        self.begun.lasted(limit).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_header_is_late_from_its_first_byte_and_what_comes_during_an_exchange_is_none() {
        const LIMIT: Duration = Duration::from_secs(10);
        let activity = Activity::default();
        activity.hear();
        assert!(activity.has_begun());
        activity.begin_exchange();
        activity.hear();
        assert!(!activity.has_begun() && activity.idle().is_none(), "the body of the request");
        assert!(tokio::time::timeout(10 * LIMIT, activity.header_is_late(LIMIT)).await.is_err());
        activity.end_exchange();
        tokio::time::advance(LIMIT).await;
        assert_eq!((activity.has_begun(), activity.idle()), (false, Some(LIMIT)));
        activity.hear();
        let started = tokio::time::Instant::now();
        tokio::time::sleep(LIMIT / 2).await;
        // More of the same header does not put it off.
        activity.hear();
        activity.header_is_late(LIMIT).await;
        assert_eq!(started.elapsed(), LIMIT);
    }
}
