//! Body of a response to the client.

use super::BodyError;
use crate::account::Account;
use crate::deadline::Deadline;
use crate::error::Reason;
use crate::idle::Timer;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Body of a response to the client. The request's account is closed, and logged, when it is dropped.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    timer: Timer,
}

#[derive(Debug)]
enum Source {
    /// Of a response that switches protocols: what follows is accounted for elsewhere.
    None,
    Own(Full<Bytes>, Account),
    Upstream(Incoming, Account, Option<Deadline>),
}

impl ResponseBody {
    /// No body, and no account to close.
    pub(crate) fn none() -> Self {
        Self { source: Source::None, timer: Timer::new(Duration::MAX) }
    }

    /// The proxy's own text. It is short: handing it over is sending it, and for HEAD nobody asks for it.
    pub(crate) fn own(text: impl Into<Bytes>, mut account: Account) -> Self {
        let text = text.into();
        account.sent(text.len());
        account.complete();
        Self { source: Source::Own(Full::new(text), account), timer: Timer::new(Duration::MAX) }
    }

    /// A pod's response: each part of it within `idle`, all of it by the `deadline`.
    pub(crate) fn upstream(
        body: Incoming,
        mut account: Account,
        idle: Duration,
        deadline: Option<Deadline>,
    ) -> Self {
        if body.is_end_stream() {
            account.complete();
        }
        Self { source: Source::Upstream(body, account, deadline), timer: Timer::new(idle) }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { source, timer } = self;
        let (body, account, deadline) = match source {
            Source::None => return Poll::Ready(None),
            Source::Own(text, _) => {
                let frame = ready!(Pin::new(text).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
            Source::Upstream(body, account, deadline) => (body, account, deadline),
        };
        if let Some(deadline) = deadline
            && deadline.poll(cx).is_ready()
        {
            account.fail(
                Reason::UpstreamTimeout,
                format!("the response was not complete within {:?}", deadline.limit()),
            );
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let stalled = ready!(timer.poll(cx));
                account.fail(Reason::UpstreamTimeout, format!("reading the response body: {stalled}"));
                return Poll::Ready(Some(Err(BodyError::Stalled(stalled))));
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                timer.moved(bytes);
                account.sent(bytes);
                if frame.is_trailers() {
                    // Nothing comes behind them, and nobody asks whether it does.
                    account.complete();
                }
            }
            Some(Err(error)) => {
                account.fail(Reason::UpstreamReset, format!("reading the response body: {error}"))
            }
            None => account.complete(),
        }
        if body.is_end_stream() {
            account.complete();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn account(&self) -> Option<&Account> {
        match &self.source {
            Source::None => None,
            Source::Own(_, account) | Source::Upstream(_, account, _) => Some(account),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(account) = this.account() {
            account.activity().asked_for_more();
        }
        let polled = this.poll_source(cx);
        if let Poll::Ready(Some(Ok(_))) = &polled
            && let Some(account) = this.account()
        {
            account.activity().handed_over();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::None => true,
            Source::Own(text, _) => text.is_end_stream(),
            Source::Upstream(body, ..) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::None => SizeHint::with_exact(0),
            Source::Own(text, _) => text.size_hint(),
            Source::Upstream(body, ..) => body.size_hint(),
        }
    }
}
