//! Bodies on their way through: counted, watched for stalls, never buffered.

use crate::error::Reason;
use crate::exchange::Exchange;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What became of a request's body, told by the body to whoever handles the request.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) bytes: AtomicU64,
    /// The client stopped sending, or broke the connection.
    pub(crate) stalled: AtomicBool,
    pub(crate) broken: AtomicBool,
}

impl Upload {
    /// Why the client is to blame for a failed request, if it is.
    pub(crate) fn fault(&self) -> Option<Reason> {
        if self.stalled.load(Ordering::Relaxed) {
            Some(Reason::RequestTimeout)
        } else if self.broken.load(Ordering::Relaxed) {
            Some(Reason::ClientClosed)
        } else {
            None
        }
    }
}

/// Gives up when nothing has moved for a while.
#[derive(Debug)]
struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Stall {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None, armed: false }
    }

    /// Something moved.
    fn moved(&mut self) {
        self.armed = false;
    }

    /// Nothing moves: whether the limit has passed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.armed {
            timer.as_mut().reset(deadline);
            self.armed = true;
        }
        timer.as_mut().poll(cx)
    }
}

/// A body that ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("no byte for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// Body of a request to a pod.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Streaming(Streaming),
}

#[derive(Debug)]
pub(crate) struct Streaming {
    body: Incoming,
    upload: Arc<Upload>,
    stall: Stall,
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, upload: Arc<Upload>, stall: Duration) -> Self {
        match body.is_end_stream() {
            true => Self::Empty,
            false => Self::Streaming(Streaming { body, upload, stall: Stall::new(stall) }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streaming(Streaming { body, upload, stall }) = self.get_mut() else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(stall.poll(cx));
                upload.stalled.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(BodyError::Stalled(stall.limit))));
            }
        };
        stall.moved();
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                upload.bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
            Some(Err(_)) => upload.broken.store(true, Ordering::Relaxed),
            None => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}

/// Body of a response to the client. The exchange ends, and is logged, when it is dropped.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    exchange: Exchange,
    stall: Stall,
}

#[derive(Debug)]
enum Source {
    Own(Full<Bytes>),
    Upstream(Incoming),
}

impl ResponseBody {
    /// The proxy's own text. It is short: handing it over is sending it, and for HEAD nobody asks for it.
    pub(crate) fn own(text: impl Into<Bytes>, mut exchange: Exchange) -> Self {
        let text = text.into();
        exchange.sent(text.len());
        exchange.complete();
        Self { source: Source::Own(Full::new(text)), exchange, stall: Stall::new(Duration::MAX) }
    }

    /// A pod's response.
    pub(crate) fn upstream(body: Incoming, mut exchange: Exchange, stall: Duration) -> Self {
        if body.is_end_stream() {
            exchange.complete();
        }
        Self { source: Source::Upstream(body), exchange, stall: Stall::new(stall) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { source, exchange, stall } = self.get_mut();
        let body = match source {
            Source::Own(text) => {
                let frame = ready!(Pin::new(text).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
            Source::Upstream(body) => body,
        };
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(stall.poll(cx));
                exchange.fail(
                    Reason::UpstreamTimeout,
                    format!("no byte of the response body for {:?}", stall.limit),
                );
                return Poll::Ready(Some(Err(BodyError::Stalled(stall.limit))));
            }
        };
        stall.moved();
        match &frame {
            Some(Ok(frame)) => exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(error)) => {
                exchange.fail(Reason::UpstreamReset, format!("reading the response body: {error}"))
            }
            None => exchange.complete(),
        }
        if body.is_end_stream() {
            exchange.complete();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(text) => text.is_end_stream(),
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(text) => text.size_hint(),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}
