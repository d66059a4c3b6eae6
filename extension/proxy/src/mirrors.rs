//! Mirrored requests on their way: sent, and forgotten. Nobody waits for them, and their answers are thrown away.
//!
//! Their number and their bodies are bounded. What there is no place for, or has a longer body, is not mirrored, and counted.

use crate::body::{Copied, RequestBody};
use crate::filters::Mirrored;
use crate::metrics::Metrics;
use crate::upload::Upload;
use crate::upstream::{Exchange, Timeouts};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Mirrored requests that may be under way, all together.
const IN_FLIGHT: usize = 256;
/// Bytes of a body that is mirrored. All of them, at once: 16 MiB.
const BODY: usize = 64 * 1024;
/// How long the client's body is waited for, and how long a mirrored request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read so that its connection can be used again.
const ANSWER: usize = 64 * 1024;

/// Where they are sent from.
pub(crate) struct Mirrors {
    exchange: Exchange,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
}

/// The places that one of them takes.
struct Places {
    _of_all: OwnedSemaphorePermit,
    _of_mirror: OwnedSemaphorePermit,
}

impl Mirrors {
    pub(crate) fn new(exchange: Exchange, metrics: Arc<Metrics>) -> Self {
        Self { exchange, metrics, places: Arc::new(Semaphore::new(IN_FLIGHT)) }
    }

    /// Sends requests whose body is `body`, as soon as it has passed.
    pub(crate) fn send(&self, mirrored: Vec<Mirrored>, body: &mut RequestBody) {
        let placed = mirrored.into_iter().filter_map(|request| match self.place(&request) {
            Some(places) => Some((request, places)),
            None => {
                self.metrics.mirrored("skipped");
                None
            }
        });
        let placed: Vec<_> = placed.collect();
        if placed.is_empty() {
            return;
        }
        let whole = match body.is_empty() {
            true => Whole::Now,
            false => match body.copy(BODY) {
                Some(copied) => Whole::Later(copied),
                None => Whole::Never,
            },
        };
        let (exchange, metrics) = (self.exchange.clone(), self.metrics.clone());
        tokio::spawn(async move {
            let body = whole.bytes().await;
            for (request, places) in placed {
                let Some(body) = body.clone() else {
                    metrics.mirrored("skipped");
                    continue;
                };
                let (exchange, metrics) = (exchange.clone(), metrics.clone());
                tokio::spawn(async move {
                    let sent = tokio::time::timeout(PATIENCE, send(&exchange, request, body)).await;
                    metrics.mirrored(if sent == Ok(true) { "answered" } else { "failed" });
                    drop(places);
                });
            }
        });
    }

    fn place(&self, request: &Mirrored) -> Option<Places> {
        Some(Places {
            _of_mirror: request.mirror.places.clone().try_acquire_owned().ok()?,
            _of_all: self.places.clone().try_acquire_owned().ok()?,
        })
    }
}

/// When all of a body is there.
enum Whole {
    Now,
    Later(Copied),
    Never,
}

impl Whole {
    async fn bytes(self) -> Option<Bytes> {
        match self {
            Self::Now => Some(Bytes::new()),
            Self::Later(copied) => copied.whole(PATIENCE).await,
            Self::Never => None,
        }
    }
}

/// Sends one, and reads its answer. Returns whether there was one.
async fn send(exchange: &Exchange, request: Mirrored, body: Bytes) -> bool {
    let Mirrored { mirror, method, uri, mut headers } = request;
    // The body has one piece now, and its length is known.
    for name in [EXPECT, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
    let mut request = Request::new(RequestBody::whole(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    let Ok(waiting) = mirror.backend.limit.wait() else { return false };
    let upload = Arc::new(Upload::default());
    let outcome = exchange.send(&mirror.backend, request, Timeouts::default(), &upload, None).await;
    drop(waiting);
    match outcome.result {
        Ok(response) => {
            read(response.into_body()).await;
            true
        }
        Err(error) => {
            tracing::debug!(%error, "a mirrored request was not answered");
            false
        }
    }
}

async fn read(mut body: Incoming) {
    let mut left = ANSWER;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(less) => left = less,
            None => return,
        }
    }
}
