//! Sending a request to one of a backend's pods: which one, on which connection, and how often.

use super::connect::{TlsInfo, connect};
use super::{Connection, Upstream};
use crate::body::RequestBody;
use crate::config::Backend;
use crate::error::{ProxyError, Reason, Retry};
use crate::headers::{is_idempotent, keep_alive_timeout};
use crate::metrics::Metrics;
use crate::settings::Settings;
use http::{Request, Response, request};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Endpoints asked for one request.
const MAX_ENDPOINTS: usize = 3;

/// Sends requests to pods.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<Metrics>,
}

/// How it went, and with whom.
pub(crate) struct Outcome {
    pub(crate) result: Result<Response<Incoming>, ProxyError>,
    /// The pod that was asked last; none when there was none to ask.
    pub(crate) asked: Option<Asked>,
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

impl Sender {
    /// Sends a request and waits for the header of the response.
    ///
    /// An endpoint that cannot be reached is passed over for the next, as long as nothing of the request was sent.
    /// A reused connection that turns out to be closed is replaced by a new one to the same endpoint; one that has fallen
    /// silent, by the next endpoint.
    pub(crate) async fn send(
        &self,
        backend: &Backend,
        request: Request<RequestBody>,
        timeout: Option<Duration>,
    ) -> Outcome {
        let mut asked = None;
        let limit = timeout.unwrap_or(self.settings.request_timeout);
        let result = match tokio::time::timeout(limit, self.attempt(backend, request, &mut asked)).await {
            Ok(result) => result,
            Err(_) => Err(ProxyError::new(Reason::UpstreamTimeout, format!("no response within {limit:?}"))),
        };
        Outcome { result, asked }
    }

    async fn attempt(
        &self,
        backend: &Backend,
        request: Request<RequestBody>,
        asked: &mut Option<Asked>,
    ) -> Result<Response<Incoming>, ProxyError> {
        let mut outgoing = Outgoing::new(request);
        let mut last = ProxyError::new(Reason::NoEndpoint, "the backend has no ready endpoint");
        for upstream in backend.endpoints().take(MAX_ENDPOINTS) {
            match self.ask(upstream, &mut outgoing, asked).await {
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
        if let Some(connection) = upstream.checkout(Instant::now()) {
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
            tls: Arc::new(TlsInfo::intended(&upstream.security)),
            reused: false,
        });
        let opened = connect(upstream, &self.settings).await;
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
        tokio::spawn(async move {
            if connection.ready().await {
                upstream.checkin(connection, Instant::now() + idle);
            }
        });
        Ok(response)
    }
}
