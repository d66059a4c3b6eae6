//! The stage that sends a request to one of a backend's pods: on which connection, how often, and for how long.

use super::backend::Backend;
use super::connect::{Connection, connect};
use super::pool::{PodToken, Upstream};
use super::protocol::{Protocol, to_http2};
use crate::body::RequestBody;
use crate::deadline::Deadline;
use crate::error::{ProxyError, Reason, Retry};
use crate::headers::{is_idempotent, keep_alive_timeout};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::tls_info::TlsInfo;
use crate::upload::Upload;
use http::{Request, Response, request};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Endpoints asked for one request.
pub(super) const MAX_ENDPOINTS: usize = 3;

/// The stage.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Time limits of a rule (Gateway API, `HTTPRouteTimeouts`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// From the request to the last byte of the response, attempts and all.
    pub(crate) request: Option<Duration>,
    /// The same for each attempt.
    pub(crate) backend_request: Option<Duration>,
}

/// How it went, and with whom.
pub(crate) struct Outcome {
    pub(crate) result: Result<Response<Incoming>, ProxyError>,
    /// The pod that was asked last; none when there was none to ask.
    pub(crate) asked: Option<Asked>,
    /// By when the response must be complete.
    pub(crate) deadline: Option<Deadline>,
}

pub(crate) struct Asked {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) tls: Arc<TlsInfo>,
    pub(crate) reused: bool,
}

/// A request that may have to be sent more than once.
struct Outgoing {
    request: Option<Request<RequestBody>>,
    /// For requests without body that may be repeated.
    replay: Option<request::Parts>,
}

impl Outgoing {
    fn new(request: Request<RequestBody>) -> Self {
        let replayable = request.body().is_empty() && is_idempotent(request.method());
        let (parts, body) = request.into_parts();
        let replay = replayable.then(|| parts.clone());
        Self { request: Some(Request::from_parts(parts, body)), replay }
    }

    fn take(&mut self) -> Option<Request<RequestBody>> {
        self.request
            .take()
            .or_else(|| self.replay.clone().map(|parts| Request::from_parts(parts, RequestBody::Empty)))
    }

    fn can_be_sent(&self) -> bool {
        self.request.is_some() || self.replay.is_some()
    }
}

impl Exchange {
    /// Sends a request and waits for the header of the response.
    ///
    /// An endpoint that cannot be reached is passed over for the next, as long as nothing of the request was sent.
    /// A reused connection that turns out to be closed is replaced by a new one to the same endpoint; one that has fallen
    /// silent, by the next endpoint.
    pub(crate) async fn send(
        &self,
        backend: &Backend,
        request: Request<RequestBody>,
        timeouts: Timeouts,
        upload: &Arc<Upload>,
        wanted: Option<PodToken>,
    ) -> Outcome {
        let mut asked = None;
        let request = match backend.protocol {
            Protocol::Http1 => request,
            Protocol::Http2 => {
                let (mut parts, body) = request.into_parts();
                if let Err(error) = to_http2(&mut parts) {
                    return Outcome { result: Err(error), asked, deadline: None };
                }
                Request::from_parts(parts, body)
            }
        };
        let limit = match (timeouts.request, timeouts.backend_request) {
            (Some(limit), _) => Some(limit),
            (None, None) => Some(self.settings.request_timeout),
            (None, Some(_)) => None,
        };
        let limit = limit.map(|limit| Deadline::new(limit, upload.clone()));
        // Only one attempt goes on at a time: its limit begins anew with each.
        let mut attempt_limit = None;
        let attempt = self.attempt(
            backend.endpoints(wanted),
            request,
            &mut asked,
            &mut attempt_limit,
            timeouts,
            upload,
        );
        let result = tokio::select! {
            biased;
            result = attempt => result,
            limit = passed(limit.as_ref()) => Err(ProxyError::new(
                Reason::UpstreamTimeout,
                format!("no response within {limit:?}"),
            )),
        };
        // The default is a limit to the header alone: a response may take hours.
        let whole = limit.filter(|_| timeouts.request.is_some());
        Outcome { result, asked, deadline: earlier(whole, attempt_limit) }
    }

    async fn attempt<'a>(
        &self,
        endpoints: impl Iterator<Item = &'a Arc<Upstream>>,
        request: Request<RequestBody>,
        asked: &mut Option<Asked>,
        limit: &mut Option<Deadline>,
        timeouts: Timeouts,
        upload: &Arc<Upload>,
    ) -> Result<Response<Incoming>, ProxyError> {
        let mut outgoing = Outgoing::new(request);
        let mut last = ProxyError::new(Reason::NoEndpoint, "the backend has no ready endpoint");
        for upstream in endpoints.take(MAX_ENDPOINTS) {
            *limit = timeouts.backend_request.map(|limit| Deadline::new(limit, upload.clone()));
            let answer = tokio::select! {
                biased;
                answer = self.ask(upstream, &mut outgoing, asked) => answer,
                limit = passed(limit.as_ref()) => Err(ProxyError::new(
                    Reason::UpstreamTimeout,
                    format!("no response of this attempt within {limit:?}"),
                )),
            };
            match answer {
                Ok(response) => return Ok(response),
                Err(error) => {
                    if error.retry == Retry::Silent {
                        upstream.connected(Some(Instant::now()));
                    }
                    if error.retry == Retry::No || !outgoing.can_be_sent() {
                        return Err(error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Asks one endpoint, on an idle connection if there is one.
    async fn ask(
        &self,
        upstream: &Arc<Upstream>,
        outgoing: &mut Outgoing,
        asked: &mut Option<Asked>,
    ) -> Result<Response<Incoming>, ProxyError> {
        #[cfg(feature = "faults")]
        if let Some(error) = crate::faults::refuses(outgoing.request.as_ref()) {
            return Err(error);
        }
        if let Some(connection) = upstream.checkout(Instant::now(), self.settings.pool_idle_timeout) {
            match self.exchange(upstream, connection, true, outgoing, asked).await {
                Ok(response) => return Ok(response),
                Err(error) if error.retry == Retry::Silent => {
                    self.metrics.retries.inc();
                    return Err(error);
                }
                // The pod had closed it, or broke it at this moment.
                Err(_) if outgoing.can_be_sent() => {
                    self.metrics.retries.inc();
                }
                Err(error) => return Err(error),
            }
        }
        *asked = Some(Asked {
            upstream: upstream.clone(),
            tls: Arc::new(upstream.security.intended()),
            reused: false,
        });
        let opened = connect(upstream.address, &upstream.security, upstream.protocol, &self.settings).await;
        #[cfg(feature = "faults")]
        let opened = crate::faults::opened(opened, upstream, &self.settings, outgoing.request.as_ref()).await;
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                self.metrics.connect_failures.inc();
                upstream.connected(Some(Instant::now()));
                return Err(error);
            }
        };
        upstream.connected(None);
        self.metrics.connects.inc();
        if let Some(shared) = connection.shared() {
            upstream.checkin(shared, Instant::now() + self.settings.pool_idle_timeout);
        }
        self.exchange(upstream, connection, false, outgoing, asked).await
    }

    /// One request on one connection; the connection goes back to the pool when the response is done.
    async fn exchange(
        &self,
        upstream: &Arc<Upstream>,
        mut connection: Connection,
        reused: bool,
        outgoing: &mut Outgoing,
        asked: &mut Option<Asked>,
    ) -> Result<Response<Incoming>, ProxyError> {
        *asked = Some(Asked { upstream: upstream.clone(), tls: connection.tls.clone(), reused });
        let Some(request) = outgoing.take() else {
            return Err(ProxyError::new(Reason::UpstreamReset, "the request's body was sent already"));
        };
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(failure) => {
                outgoing.request = failure.unsent;
                return Err(failure.error);
            }
        };
        self.metrics.upstream_request(reused);
        // Stop a second before the pod does, so that no request meets its close.
        let idle = keep_alive_timeout(response.headers())
            .map_or(self.settings.pool_idle_timeout, |seconds| Duration::from_secs(seconds.saturating_sub(1)))
            .min(self.settings.pool_idle_timeout);
        let upstream = upstream.clone();
        #[cfg(feature = "faults")]
        let idle = if crate::faults::is_stray(&connection, &upstream) { Duration::ZERO } else { idle };
        if connection.is_free_now() {
            // The whole response has come with its header.
            upstream.checkin(connection, Instant::now() + idle);
        } else {
            tokio::spawn(async move {
                if connection.is_free().await {
                    upstream.checkin(connection, Instant::now() + idle);
                }
            });
        }
        Ok(response)
    }
}

/// Waits until a limit has passed, for ever when there is none, and says which.
async fn passed(deadline: Option<&Deadline>) -> Duration {
    match deadline {
        Some(deadline) => {
            deadline.passed().await;
            deadline.limit()
        }
        None => std::future::pending().await,
    }
}

/// The limit that passes first.
fn earlier(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.left() <= other.left() { one } else { other }),
        (one, other) => one.or(other),
    }
}
