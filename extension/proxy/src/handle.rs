//! One request: route, backend, pod, answer.

use crate::access_log::Record;
use crate::body::{RequestBody, ResponseBody, Upload};
use crate::client::Progress;
use crate::config::{Rule, Target};
use crate::error::{ProxyError, Reason};
use crate::exchange::Exchange;
use crate::headers::{X_REQUEST_ID, host, prepare_request, remove_hop_by_hop};
use crate::shared::Shared;
use crate::upstream::Outcome;
use alb_route::{Lookup, RequestParts};
use http::header::{CONNECTION, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;

/// Whose connection it is.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The port that was connected to.
    pub(crate) port: u16,
    pub(crate) peer: SocketAddr,
    /// Of the connection or, with HTTP/2, of the stream.
    pub(crate) progress: Arc<Progress>,
}

impl Client {
    /// What is known of a request before its first byte.
    pub(crate) fn record(&self, shared: &Shared) -> Record {
        let mut record = Record::new(self.peer);
        if let Some(port) = shared.config.load().ports.get(&self.port) {
            record.frontend = port.fqdn.clone();
            record.gateway = port.gateway.clone();
        }
        record
    }
}

/// Answers a request, one way or the other.
pub(crate) async fn handle(
    shared: &Shared,
    client: Client,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let version = request.version();
    let upload = Arc::new(Upload::default());
    let record = record(shared, &client, &request);
    let exchange = Exchange::start(record, upload.clone(), client.progress.clone(), shared.reporter.clone());
    #[cfg(feature = "faults")]
    let exchange = match crate::faults::remembered(exchange) {
        Ok(response) => return response,
        Err(exchange) => exchange,
    };
    let mut exchange = exchange;
    let mut response = match forward(shared, &client, request, &upload, &mut exchange).await {
        Ok(response) => {
            #[cfg(feature = "faults")]
            let (response, exchange) = match crate::faults::copied(response, exchange).await {
                Ok(response) => return response,
                Err(both) => both,
            };
            let stall = shared.settings.stream_idle_timeout;
            response.map(|body| ResponseBody::upstream(body, exchange, stall))
        }
        Err(error) => {
            #[cfg(feature = "faults")]
            let exchange = match crate::faults::instead_of(&error, exchange) {
                Ok(response) => return response,
                Err(exchange) => exchange,
            };
            answer(error, exchange)
        }
    };
    let draining = shared.draining.is_cancelled();
    if draining && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    } else if version >= Version::HTTP_2 {
        response.headers_mut().remove(CONNECTION);
    }
    response
}

/// The one place where errors become responses.
fn answer(error: ProxyError, mut exchange: Exchange) -> Response<ResponseBody> {
    let ProxyError { reason, detail, .. } = error;
    let status = reason.status();
    let request_id = HeaderValue::try_from(exchange.request_id()).ok();
    exchange.answer(status.as_u16(), reason, Some(detail));
    let mut response =
        Response::new(ResponseBody::own(format!("{reason}\n{}\n", reason.sentence()), exchange));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(request_id) = request_id {
        headers.insert(X_REQUEST_ID, request_id);
    }
    if matches!(reason, Reason::BadRequest | Reason::RequestTimeout) {
        // What follows on this connection cannot be trusted to be a request.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn forward(
    shared: &Shared,
    client: &Client,
    request: Request<Incoming>,
    upload: &Arc<Upload>,
    exchange: &mut Exchange,
) -> Result<Response<Incoming>, ProxyError> {
    // Held until the header of the response: what limits memory is requests that wait.
    let _slot = shared
        .requests
        .try_acquire()
        .map_err(|_| ProxyError::new(Reason::Overloaded, "as many requests in flight as settings allow"))?;
    let host = host(&request)?;
    let rule = route(shared, client, &host, &request, exchange)?;
    let backend = match rule.targets.pick(rand::random()) {
        Some(Target::Backend(backend)) => backend,
        Some(Target::Invalid(why)) => return Err(ProxyError::new(Reason::BackendInvalid, &**why)),
        None => {
            return Err(ProxyError::new(Reason::BackendInvalid, "the rule has no backend of weight above 0"));
        }
    };

    let (mut parts, body) = request.into_parts();
    prepare_request(&mut parts, &host, client.peer.ip(), exchange.request_id());
    let body = RequestBody::new(body, upload.clone(), shared.settings.stream_idle_timeout);
    if body.is_of_unknown_length() {
        // Said aloud, because hyper drops the body of a GET or HEAD request that does not.
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let Outcome { result, asked } =
        shared.sender.send(backend, Request::from_parts(parts, body), rule.timeout).await;
    if let Some(asked) = asked {
        exchange.asked(&asked.upstream, &asked.tls, asked.reused);
    }
    let mut response = match (result, upload.fault()) {
        (Ok(response), _) => response,
        (Err(error), Some(fault)) => {
            return Err(ProxyError::new(
                fault,
                format!("the client's request body ended early: {}", error.detail),
            ));
        }
        (Err(error), None) => return Err(error),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProxyError::new(
            Reason::UpstreamReset,
            "the pod switched protocols without being asked to",
        ));
    }
    // The pod's version ends here; hyper lowers this one for clients of HTTP/1.0 (RFC 9112 section 2.3).
    *response.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(response.headers_mut());
    exchange.answer(response.status().as_u16(), Reason::Ok, None);
    Ok(response)
}

/// Finds the rule, and notes in the log what was found.
fn route(
    shared: &Shared,
    client: &Client,
    host: &HeaderValue,
    request: &Request<Incoming>,
    exchange: &mut Exchange,
) -> Result<Arc<Rule>, ProxyError> {
    let config = shared.config.load();
    let Some(port) = config.ports.get(&client.port) else {
        return Err(ProxyError::new(Reason::NoRoute, "the listener was removed"));
    };
    let parts = RequestParts {
        host: host.to_str().unwrap_or_default(),
        path: request.uri().path(),
        query: request.uri().query(),
        method: request.method(),
        headers: request.headers(),
    };
    match port.table.lookup(&parts) {
        Lookup::Found(found) => {
            exchange.update(|record| {
                record.listener = Some(found.listener.clone());
                record.route = Some(found.target.route.clone());
            });
            Ok(found.target.clone())
        }
        Lookup::NoRule { listener } => {
            exchange.update(|record| record.listener = Some(listener.clone()));
            Err(ProxyError::new(Reason::NoRoute, format!("no rule of listener {listener} matches")))
        }
        Lookup::NoListener => Err(ProxyError::new(Reason::NoRoute, "no listener is for this host")),
    }
}

fn record(shared: &Shared, client: &Client, request: &Request<Incoming>) -> Record {
    let host = request.uri().authority().map(|authority| authority.as_str().to_owned()).or_else(|| {
        request
            .headers()
            .get(http::header::HOST)
            .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
    });
    Record {
        method: request.method().to_string(),
        host: host.unwrap_or_default(),
        path: request.uri().path().to_owned(),
        ..client.record(shared)
    }
}
