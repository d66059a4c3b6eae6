//! Bodies on their way through: counted, watched for stalls, never buffered.

use crate::error::Reason;
use crate::exchange::Exchange;
use crate::stall::Stall;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

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

/// A body that ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("no byte for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// Bytes of a [small](RequestBody::is_small) body. Linux has room for four times as much before anything is read.
const SMALL: u64 = 16 * 1024;

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

    /// Whether a pod takes it even while it does not read: it fits the smallest receive buffer that is in use.
    pub(crate) fn is_small(&self) -> bool {
        self.size_hint().upper().is_some_and(|most| most <= SMALL)
    }

    /// Whether only its end tells its length, so that it must be sent in chunks.
    pub(crate) fn is_of_unknown_length(&self) -> bool {
        !self.is_end_stream() && self.size_hint().exact().is_none()
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
                return Poll::Ready(Some(Err(BodyError::Stalled(stall.limit()))));
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

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { source, exchange, stall } = self;
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
                    format!("no byte of the response body for {:?}", stall.limit()),
                );
                return Poll::Ready(Some(Err(BodyError::Stalled(stall.limit()))));
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
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.exchange.progress().asked_for_more();
        let polled = this.poll_source(cx);
        if let Poll::Ready(Some(Ok(_))) = &polled {
            this.exchange.progress().handed_over();
        }
        polled
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
