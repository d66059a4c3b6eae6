//! The row of stages that every request passes: accept → parse → limits → match → filters → choose endpoint → connect →
//! exchange → account. Each is a small type or function of its own; here they are put in their order, and nothing else.

use crate::account::{Account, DownstreamTls, Record, Reporter, cut};
use crate::body::{RequestBody, ResponseBody};
use crate::client::Client;
use crate::config::{Config, Rule};
use crate::deadline::Deadline;
use crate::ending::Ending;
use crate::error::{ProxyError, Reason};
use crate::filters::{self, Arrival, Finish};
use crate::headers::X_REQUEST_ID;
use crate::limits::{HTTP2_REQUEST, Permit};
use crate::matching;
use crate::mirrors::Mirrors;
use crate::parse::{Parse, Parsed};
use crate::settings::Settings;
use crate::tunnel::Tunnel;
use crate::upload::Upload;
use crate::upstream::{Exchange, Outcome, Protocol};
use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The stages, and what they share.
pub(crate) struct Pipeline {
    pub(crate) config: ArcSwap<Config>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) parse: Parse,
    pub(crate) mirrors: Mirrors,
    pub(crate) exchange: Exchange,
    pub(crate) reporter: Reporter,
    pub(crate) ending: Ending,
}

/// Where a response comes from.
enum Reply {
    Pod(Forwarded),
    Filter(filters::Answer),
}

/// A response, and what goes with it.
struct Forwarded {
    response: Response<Incoming>,
    /// By when it must be complete.
    deadline: Option<Deadline>,
    /// The client's side of the WebSocket that it asked for.
    websocket: Option<OnUpgrade>,
}

/// A request that has a rule.
struct Matched {
    rule: Arc<Rule>,
    arrival: Arrival,
    parsed: Parsed,
    permit: Permit,
}

impl Pipeline {
    /// Answers a request, one way or the other.
    pub(crate) async fn handle(&self, client: Client, request: Request<Incoming>) -> Response<ResponseBody> {
        let version = request.version();
        let grpc = version == Version::HTTP_2 && alb_route::is_grpc(request.method(), request.headers());
        let mut finish = Finish::default();
        let upload = Arc::new(Upload::default());
        let record = self.record_of(&client, &request);
        let account = Account::open(record, upload.clone(), client.activity.clone(), self.reporter.clone());
        #[cfg(feature = "faults")]
        let account = match crate::faults::remembered(account) {
            Ok(response) => return response,
            Err(account) => account,
        };
        let mut account = account;
        let mut response = match self.forward(&client, request, &upload, &mut account, &mut finish).await {
            Ok(Reply::Filter(answer)) => own(answer, account, &upload),
            Ok(Reply::Pod(forwarded)) => {
                #[cfg(feature = "faults")]
                let (forwarded, account) = {
                    let Forwarded { response, deadline, websocket } = forwarded;
                    match crate::faults::copied(response, account).await {
                        Ok(response) => return response,
                        Err((response, account)) => (Forwarded { response, deadline, websocket }, account),
                    }
                };
                self.pass_on(forwarded, account, client)
            }
            Err(error) => {
                #[cfg(feature = "faults")]
                let account = match crate::faults::instead_of(&error, account) {
                    Ok(response) => return response,
                    Err(account) => account,
                };
                answer(error, account, &upload, grpc)
            }
        };
        finish.apply(response.headers_mut());
        if version >= Version::HTTP_2 {
            response.headers_mut().remove(CONNECTION);
        } else if self.ending.draining.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What is known of a request before its first byte.
    pub(crate) fn record(&self, client: &Client) -> Record {
        let mut record = Record::new(client.peer);
        record.downstream_tls = client.tls.clone().map(DownstreamTls);
        if let Some(port) = self.config.load().ports.get(&client.port) {
            record.frontend = port.fqdn.clone();
            record.gateway = port.gateway.clone();
        }
        record
    }

    fn record_of(&self, client: &Client, request: &Request<Incoming>) -> Record {
        let host = match (request.uri().authority(), request.headers().get(HOST)) {
            (Some(authority), _) => cut(authority.as_str()),
            (None, Some(host)) => cut(&String::from_utf8_lossy(host.as_bytes())),
            (None, None) => String::new(),
        };
        Record {
            method: cut(request.method().as_str()),
            host,
            path: cut(request.uri().path()),
            ..self.record(client)
        }
    }

    async fn forward(
        &self,
        client: &Client,
        request: Request<Incoming>,
        upload: &Arc<Upload>,
        account: &mut Account,
        finish: &mut Finish,
    ) -> Result<Reply, ProxyError> {
        let (mut parts, body) = request.into_parts();
        // From here on whoever drops it keeps what the client still sends until the answer is complete.
        let mut body = RequestBody::new(body, upload.clone(), &self.settings);
        let version = parts.version;
        let Matched { rule, mut arrival, mut parsed, permit } = self.find(client, &mut parts, account)?;
        if let Some(filters) = &rule.filters {
            finish.rule(filters, &parts);
            if let Some(answer) = filters.answer(&parts, &arrival, account.frontend()) {
                finish.answered(&answer);
                return Ok(Reply::Filter(answer));
            }
        }
        let wanted = rule.affinity.as_ref().and_then(|affinity| affinity.wanted(&parts.headers));
        let destination = matching::destination(&rule, wanted)?;
        if let Some(filters) = &destination.filters {
            finish.backend(filters, &parts);
            if let Some(answer) = filters.answer(&parts, &arrival, account.frontend()) {
                finish.answered(&answer);
                return Ok(Reply::Filter(answer));
            }
        }
        let backend = matching::backend(destination)?;
        // With HTTP/1 what limits memory is requests that wait, with HTTP/2 all that go on.
        let permit = if version == Version::HTTP_2 {
            account.hold(permit);
            None
        } else {
            Some(permit)
        };
        let waiting = backend.limit.wait()?;
        if backend.protocol == Protocol::Http2 {
            // It knows neither.
            (parsed.websocket, parsed.expects) = (false, false);
        }

        filters::outgoing(&mut parts, &parsed, client.peer.ip(), account.request_id());
        let mut mirrored = Vec::new();
        for filters in rule.filters.iter().chain(&destination.filters) {
            filters.request(&mut parts, &mut arrival, &mut mirrored);
        }
        let websocket = parsed.websocket.then(|| parts.extensions.remove::<OnUpgrade>()).flatten();
        parts.extensions.clear();
        if body.is_of_unknown_length() {
            // Said aloud, because hyper drops the body of a GET or HEAD request that does not.
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if parsed.trusted {
            body.trust();
        }
        // Only the client can answer for a WebSocket.
        if !mirrored.is_empty() && !parsed.websocket {
            self.mirrors.send(mirrored, &mut body);
        }
        if parsed.expects {
            body.wait_to_be_asked(self.settings.continue_timeout);
        }
        let mut request = Request::from_parts(parts, body);
        if parsed.expects {
            let upload = upload.clone();
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    upload.ask();
                }
            });
        }
        let Outcome { result, asked, deadline } =
            self.exchange.send(backend, request, rule.timeouts, upload, wanted).await;
        drop((waiting, permit));
        let served = asked.as_ref().map(|asked| asked.upstream.token);
        if let Some(asked) = asked {
            account.asked(&asked.upstream.pod, asked.upstream.address, &asked.tls, asked.reused);
        }
        let response = match (result, upload.fault()) {
            (Ok(response), _) => response,
            (Err(error), Some(fault)) => {
                let detail = format!("the client's request body ended early: {}", error.detail);
                return Err(ProxyError::new(fault, detail));
            }
            (Err(error), None) => return Err(error),
        };
        let (mut parts, body) = response.into_parts();
        filters::incoming(&mut parts, websocket.is_some())?;
        if let (Some(affinity), Some(served)) = (&rule.affinity, served)
            && wanted != Some(served)
        {
            affinity.keep(&mut parts.headers, served);
        }
        account.answer(parts.status.as_u16(), Reason::Ok, None);
        Ok(Reply::Pod(Forwarded { response: Response::from_parts(parts, body), deadline, websocket }))
    }

    /// The stages that need no more than a look at the configuration.
    fn find(
        &self,
        client: &Client,
        request: &mut request::Parts,
        account: &mut Account,
    ) -> Result<Matched, ProxyError> {
        let mut parsed = self.parse.parse(request, client.peer.ip())?;
        parsed.secure = client.tls.is_some();
        let config = self.config.load();
        let Some(port) = config.ports.get(&client.port) else {
            return Err(ProxyError::new(Reason::NoRoute, "the listener was removed"));
        };
        let permit =
            port.limits.request(if request.version == Version::HTTP_2 { HTTP2_REQUEST } else { 1 })?;
        let (rule, arrival) = matching::rule(port, &parsed.host, request, client.tls.as_deref(), account)?;
        Ok(Matched { rule, arrival, parsed, permit })
    }

    /// Hands a response over to the client; what follows one that switches protocols goes its own way.
    fn pass_on(&self, forwarded: Forwarded, account: Account, client: Client) -> Response<ResponseBody> {
        let Forwarded { mut response, deadline, websocket } = forwarded;
        match websocket {
            Some(websocket) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let pod = hyper::upgrade::on(&mut response);
                let tunnel =
                    Tunnel::new(websocket, pod, account, client, self.settings.clone(), &self.ending);
                self.ending.tasks.spawn(tunnel.run());
                response.map(|_| ResponseBody::none())
            }
            _ => {
                let idle = self.settings.stream_idle_timeout;
                response.map(|body| ResponseBody::upstream(body, account, idle, deadline))
            }
        }
    }
}

/// The one place where errors become responses. To gRPC one is a status of its own, in a response that is otherwise good
/// (gRPC over HTTP/2, "Trailers-Only").
fn answer(error: ProxyError, mut account: Account, upload: &Upload, grpc: bool) -> Response<ResponseBody> {
    let ProxyError { reason, detail, .. } = error;
    let status = if grpc { StatusCode::OK } else { reason.status() };
    let request_id = HeaderValue::try_from(account.request_id()).ok();
    account.answer(status.as_u16(), reason, Some(cut(&detail)));
    let text = if grpc { String::new() } else { format!("{reason}\n{}\n", reason.sentence()) };
    let mut response = Response::new(ResponseBody::own(text, account));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, u16::from(reason.grpc_status()).into());
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason.sentence()));
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if let Some(request_id) = request_id {
        headers.insert(X_REQUEST_ID, request_id);
    }
    // What follows on this connection cannot be trusted to be a request, or is more than anybody wants to read.
    let untrusted =
        matches!(reason, Reason::BadRequest | Reason::UnsupportedTransferCoding | Reason::RequestTimeout);
    if untrusted || upload.has_much_left() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer of a filter becomes a response.
fn own(answer: filters::Answer, mut account: Account, upload: &Upload) -> Response<ResponseBody> {
    let request_id = HeaderValue::try_from(account.request_id()).ok();
    account.answer(answer.status.as_u16(), Reason::Filter, None);
    let mut response = Response::new(ResponseBody::own("", account));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let headers = response.headers_mut();
    if let Some(request_id) = request_id {
        headers.insert(X_REQUEST_ID, request_id);
    }
    if upload.has_much_left() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
