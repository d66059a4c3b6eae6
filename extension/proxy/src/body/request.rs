//! Body of a request to a pod.

use super::BodyError;
use super::copy::{Copied, Copying};
use crate::error::find;
use crate::headers::sanitise_trailers;
use crate::idle::Timer;
use crate::settings::Settings;
use crate::upload::{Fault, Upload};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Bytes of a [small](RequestBody::is_small) body. Linux has room for four times as much before anything is read.
const SMALL: u64 = 16 * 1024;

/// Body of a request to a pod.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Streaming(Streaming),
    /// All of it is there; none once it is taken.
    Whole(Option<Bytes>),
}

#[derive(Debug)]
pub(crate) struct Streaming {
    /// None only while it is dropped.
    body: Option<Incoming>,
    upload: Arc<Upload>,
    timer: Timer,
    /// The client sends nothing before it is asked to.
    expected: Option<Box<Expected>>,
    /// Whether trailers may say who the client is.
    trusted: bool,
    /// For mirrors.
    copy: Option<Box<Copying>>,
}

#[derive(Debug)]
struct Expected {
    asked: oneshot::Receiver<()>,
    /// Not every server asks (RFC 9110 section 10.1.1): after this time it is asked for all the same.
    patience: Pin<Box<Sleep>>,
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, upload: Arc<Upload>, settings: &Settings) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        upload.begin();
        // A body of unknown length may be a conversation; one whose length is known only has to be sent.
        let rate = body.size_hint().exact().and(settings.minimum_upload_rate);
        let timer = Timer::with_rate(settings.stream_idle_timeout, rate);
        let (expected, copy) = (None, None);
        Self::Streaming(Streaming { body: Some(body), upload, timer, expected, trusted: false, copy })
    }

    /// A body that is there already.
    pub(crate) fn whole(body: Bytes) -> Self {
        if body.is_empty() { Self::Empty } else { Self::Whole(Some(body)) }
    }

    /// Copies the body while it passes, unless it has more bytes than `limit`; none when there is nothing to be copied, or
    /// when that is known already.
    pub(crate) fn copy(&mut self, limit: usize) -> Option<Copied> {
        let fits = usize::try_from(self.size_hint().lower()).is_ok_and(|least| least <= limit);
        match self {
            Self::Streaming(streaming) if fits => {
                let (copy, copied) = Copying::new(limit);
                streaming.copy = Some(Box::new(copy));
                Some(copied)
            }
            _ => None,
        }
    }

    /// Asks the client for the body only when the pod does, or after `patience`.
    pub(crate) fn wait_to_be_asked(&mut self, patience: Duration) {
        if let Self::Streaming(streaming) = self {
            let expected = Expected {
                asked: streaming.upload.until_asked(),
                patience: Box::pin(tokio::time::sleep(patience)),
            };
            streaming.expected = Some(Box::new(expected));
        }
    }

    /// The client may say who it is and where it comes from.
    pub(crate) fn trust(&mut self) {
        if let Self::Streaming(streaming) = self {
            streaming.trusted = true;
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

impl Streaming {
    /// Waits until the body is asked for.
    fn poll_expected(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(expected) = &mut self.expected else { return Poll::Ready(Ok(())) };
        match Pin::new(&mut expected.asked).poll(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(BodyError::NotWanted)),
            Poll::Pending => {
                // What is answered already needs no body: it ends with the response.
                if self.upload.is_answered() {
                    return Poll::Pending;
                }
                ready!(expected.patience.as_mut().poll(cx));
                if self.upload.is_answered() {
                    return Poll::Pending;
                }
            }
        }
        self.expected = None;
        Poll::Ready(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Err(error) = ready!(self.poll_expected(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        let Self { body: Some(body), upload, timer, trusted, copy, .. } = self else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                upload.begin_waiting();
                let stalled = ready!(timer.poll(cx));
                upload.fail(Fault::Stalled);
                return Poll::Ready(Some(Err(BodyError::Stalled(stalled))));
            }
        };
        upload.end_waiting();
        match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                timer.moved(bytes);
                upload.add(bytes as u64);
                if let (Some(copy), Some(data)) = (copy.as_mut(), frame.data_ref()) {
                    copy.add(data);
                }
                if body.is_end_stream() || frame.is_trailers() {
                    upload.finish();
                    if let Some(copy) = copy {
                        copy.finish();
                    }
                }
                let frame = match frame.into_trailers() {
                    Ok(mut trailers) => {
                        sanitise_trailers(&mut trailers, *trusted);
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                };
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                upload.fail(fault(&error));
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            None => {
                upload.finish();
                if let Some(copy) = copy {
                    copy.finish();
                }
                Poll::Ready(None)
            }
        }
    }
}

/// Whether a body that cannot be read is malformed (RFC 9112 section 7.1) or just not there.
fn fault(error: &hyper::Error) -> Fault {
    let kind = find::<io::Error>(error).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Fault::Malformed,
        _ => Fault::Broken,
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.upload.end_waiting();
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            self.upload.keep(body);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(streaming) => streaming.poll(cx),
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.body.as_ref().is_none_or(Body::is_end_stream),
            Self::Whole(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(streaming) => streaming.body.as_ref().map(Body::size_hint).unwrap_or_default(),
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
        }
    }
}
