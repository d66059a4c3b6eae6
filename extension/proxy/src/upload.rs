//! What becomes of a request's body, told by the body to whoever answers for the request.

use crate::error::Reason;
use crate::idle::Since;
use http_body::Body;
use hyper::body::Incoming;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes that have mostly come with the header.
const LITTLE: u64 = 8 * 1024;

/// Of one request.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    bytes: AtomicU64,
    fault: AtomicU8,
    /// Since when the client has been waited for.
    waiting: Since,
    /// Nanoseconds for which it was, up to now.
    waited: AtomicU64,
    /// The header of the response is there.
    answered: AtomicBool,
    /// There is a body, and its end has not come.
    unfinished: AtomicBool,
    /// Asks for a body that the client sends only when it is asked to.
    ask: Mutex<Option<oneshot::Sender<()>>>,
    /// A body that nobody reads to its end. It is kept until the response is complete: dropping it tells a client of HTTP/2
    /// that its stream has failed, and one of HTTP/1 that its connection ends.
    rest: Mutex<Option<Incoming>>,
}

/// How a client can be to blame for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// It stopped sending, or sent too little.
    Stalled = 1,
    /// It broke the connection.
    Broken = 2,
    /// What it sent is no body.
    Malformed = 3,
}

impl Upload {
    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::Relaxed);
    }

    /// Why the client is to blame for a failed request, if it is.
    pub(crate) fn fault(&self) -> Option<Reason> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(Reason::RequestTimeout),
            2 => Some(Reason::ClientClosed),
            3 => Some(Reason::BadRequest),
            _ => None,
        }
    }

    /// There is a body.
    pub(crate) fn begin(&self) {
        self.unfinished.store(true, Ordering::Relaxed);
    }

    /// Its end has come.
    pub(crate) fn finish(&self) {
        self.unfinished.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// The client has nothing ready.
    pub(crate) fn begin_waiting(&self) {
        if self.waiting.lasting().is_none() {
            self.waiting.begin();
        }
    }

    /// Something has come.
    pub(crate) fn end_waiting(&self) {
        if let Some(lasting) = self.waiting.lasting() {
            self.waiting.end();
            let nanoseconds = u64::try_from(lasting.as_nanos()).unwrap_or(u64::MAX);
            self.waited.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    /// For how long the client was waited for: what no backend is to blame for.
    pub(crate) fn waited(&self) -> Duration {
        let past = Duration::from_nanos(self.waited.load(Ordering::Relaxed));
        past + self.waiting.lasting().unwrap_or_default()
    }

    /// Whoever calls this waits until the body is asked for.
    pub(crate) fn until_asked(&self) -> oneshot::Receiver<()> {
        let (ask, asked) = oneshot::channel();
        *self.ask.lock().unwrap_or_else(PoisonError::into_inner) = Some(ask);
        asked
    }

    /// The pod asks for the body (RFC 9110 section 15.2.1).
    pub(crate) fn ask(&self) {
        let ask = self.ask.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ask) = ask {
            let _ = ask.send(());
        }
    }

    /// The header of the response is there: a body that nobody has asked for is not wanted.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Keeps what nobody reads any more.
    pub(crate) fn keep(&self, rest: Incoming) {
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }

    /// Whether more is left than is worth reading to keep a connection.
    pub(crate) fn has_much_left(&self) -> bool {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.as_ref().is_some_and(|rest| rest.size_hint().upper().is_none_or(|most| most > LITTLE))
    }

    /// The response is complete, or given up.
    pub(crate) fn end(&self) {
        self.ask.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_client_is_waited_for_adds_up() {
        const SECOND: Duration = Duration::from_secs(1);
        let upload = Upload::default();
        for _ in 0..2 {
            upload.begin_waiting();
            tokio::time::advance(SECOND).await;
            upload.begin_waiting();
            tokio::time::advance(SECOND).await;
            upload.end_waiting();
            tokio::time::advance(SECOND).await;
        }
        assert_eq!(upload.waited(), 4 * SECOND);
        upload.begin_waiting();
        tokio::time::advance(SECOND).await;
        assert_eq!(upload.waited(), 5 * SECOND);
    }

    #[tokio::test]
    async fn a_body_is_asked_for_once_or_never() {
        let upload = Upload::default();
        upload.ask();
        let asked = upload.until_asked();
        upload.ask();
        upload.ask();
        assert!(asked.await.is_ok());
        let never = upload.until_asked();
        upload.end();
        assert!(never.await.is_err());
    }
}
