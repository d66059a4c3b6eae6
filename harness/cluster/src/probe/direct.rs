//! Requests from this host over a connection of their own: over TLS, as a WebSocket, to gRPC. What an ordinary client keeps to
//! itself is told: the certificate that was shown, also where it was refused, and in which part of an exchange it failed.

mod body;
mod classify;
mod grpc;
mod tls;
mod websocket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(super) use self::body::joined;

use self::body::Read;
use self::classify::Broken;
use super::{ProbeError, route};
use meshproof_model::vantage::Vantage;
use meshproof_run::probe::tls::Shown;
use meshproof_run::probe::{Answer, Ask, Echo, Exchange, Failure, Http};

/// A connection, whatever it is over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What is known of an exchange, whether or not it came to its end.
#[derive(Default)]
struct Seen {
    peer: Option<SocketAddr>,
    certificate: Option<Shown>,
}

/// Whom a request is for.
struct Place {
    url: reqwest::Url,
    /// As in the URL, without brackets.
    host: String,
    /// Host and, where it is not the scheme's own, port.
    authority: String,
}

impl Place {
    fn of(ask: &Ask) -> Result<Self, ProbeError> {
        let bad = |reason: String| ProbeError::Url { url: ask.url.clone(), reason };
        let url = reqwest::Url::parse(&ask.url).map_err(|error| bad(error.to_string()))?;
        let host = url.host_str().ok_or_else(|| bad("it names no host".into()))?.to_owned();
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), authority, url })
    }

    /// Path with query.
    fn path(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.url.path())
    }

    /// Where to connect, if the request does not say.
    async fn address(&self) -> Result<SocketAddr, Broken> {
        let port = self.url.port_or_known_default().unwrap_or(80);
        let found = tokio::net::lookup_host((self.host.as_str(), port)).await;
        let mut found = found.map_err(|error| Broken::dns(format!("looking up {}: {error}", self.host)))?;
        found.next().ok_or_else(|| Broken::dns(format!("{} has no address", self.host)))
    }
}

/// Sends one request over a new connection. `local_only` refuses addresses that only the default route reaches.
///
/// # Errors
/// The question cannot be asked: no URL, certificates that are none, an address that is not this host's to reach.
pub(super) async fn send(ask: &Ask, local_only: bool) -> Result<Answer, ProbeError> {
    let place = Place::of(ask)?;
    let secured = ask.tls.as_ref().map(|tls| tls::Offer::new(tls, &place.host, is_http2(ask))).transpose()?;
    let (connected, started) = (AtomicBool::new(false), Instant::now());
    let address = match ask.connect_to {
        Some(address) => Ok(address),
        None => place.address().await,
    };
    let address = match address {
        Ok(address) => address,
        Err(broken) => return Ok(broken.answer(Seen::default(), started.elapsed())),
    };
    if local_only && !route::is_local(address.ip()) {
        return Err(ProbeError::NotLocal { address });
    }
    let exchange = exchange(ask, &place, address, secured.as_ref(), &connected);
    let outcome = match tokio::time::timeout(ask.timeout, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Broken::timeout(ask.timeout)),
    };
    let seen = Seen {
        peer: connected.into_inner().then_some(address),
        certificate: secured.as_ref().and_then(tls::Offer::shown),
    };
    Ok(match outcome {
        Ok(read) => answer(read, seen, started.elapsed()),
        Err(broken) => broken.answer(seen, started.elapsed()),
    })
}

/// Whether the request is made over HTTP/2.
fn is_http2(ask: &Ask) -> bool {
    match ask.exchange {
        Exchange::Http => ask.http == Http::Two,
        Exchange::WebSocket(_) => false,
        Exchange::GrpcHealth(_) => true,
    }
}

async fn exchange(
    ask: &Ask,
    place: &Place,
    address: SocketAddr,
    secured: Option<&tls::Offer>,
    connected: &AtomicBool,
) -> Result<Read, Broken> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| Broken::of(format!("connecting to {address}"), &error))?;
    let _ = stream.set_nodelay(true);
    connected.store(true, Ordering::Relaxed);
    let stream: Box<dyn Stream> = match secured {
        None => Box::new(stream),
        Some(offer) => Box::new(offer.connect(stream).await?),
    };
    match &ask.exchange {
        Exchange::Http => body::whole(request(ask, place, stream, content(ask)).await?).await,
        Exchange::WebSocket(message) => websocket::exchange(ask, place, stream, message).await,
        Exchange::GrpcHealth(service) => grpc::exchange(ask, place, stream, service).await,
    }
}

/// Headers and body of an ordinary request.
fn content(ask: &Ask) -> (Vec<(String, String)>, Bytes) {
    let mut headers = ask.headers.clone();
    let Some(body) = &ask.body else { return (headers, Bytes::new()) };
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
        headers.push((CONTENT_TYPE.to_string(), body.content_type().to_owned()));
    }
    (headers, body.bytes())
}

/// Sends a request, and returns the answer as soon as it begins.
async fn request(
    ask: &Ask,
    place: &Place,
    stream: Box<dyn Stream>,
    (headers, body): (Vec<(String, String)>, Bytes),
) -> Result<Response<Incoming>, Broken> {
    let http2 = is_http2(ask);
    let uri = match http2 {
        true => format!("{}://{}{}", place.url.scheme(), place.authority, place.path()),
        false => place.path(),
    };
    let mut request = Request::builder().method(ask.method.as_str()).uri(uri);
    if !http2 {
        // First, as every client of note sends it; HTTP/2 has it in a field of its own.
        request = request.header(HOST, &place.authority);
    }
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body));
    let request = request.map_err(|error| Broken::other(format!("making the request: {error}")))?;
    let (io, begun) = (TokioIo::new(stream), |error: hyper::Error| Broken::of("starting HTTP", &error));
    let answer = match http2 {
        true => {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = handshake.map_err(begun)?;
            tokio::spawn(connection);
            sender.send_request(request).await
        }
        false => {
            let mut builder = hyper::client::conn::http1::Builder::new();
            let handshake = builder.title_case_headers(true).handshake(io).await;
            let (mut sender, connection) = handshake.map_err(begun)?;
            tokio::spawn(connection.with_upgrades());
            sender.send_request(request).await
        }
    };
    answer.map_err(|error| Broken::of("waiting for the answer", &error))
}

/// Replaces the client's headers of these names.
fn with(ask: &Ask, own: &[(HeaderName, &str)]) -> Vec<(String, String)> {
    let replaced = |name: &str| own.iter().any(|(other, _)| name.eq_ignore_ascii_case(other.as_str()));
    let kept = ask.headers.iter().filter(|(name, _)| !replaced(name)).cloned();
    kept.chain(own.iter().map(|(name, value)| (name.to_string(), (*value).to_owned()))).collect()
}

fn answer(read: Read, seen: Seen, duration: Duration) -> Answer {
    let Read { status, headers, body, broken, account } = read;
    Answer {
        vantage: Vantage::Outside,
        sent_as: None,
        status: Some(status),
        headers,
        echo: account.as_deref().or(Some(body.as_str())).and_then(Echo::parse),
        body,
        failure: broken.map(Failure::from),
        duration,
        peer: seen.peer,
        certificate: seen.certificate,
    }
}

/// What a client of gRPC calls itself.
const GRPC_AGENT: (HeaderName, &str) = (USER_AGENT, "grpc-go/1.65.0");
/// The header in which the echo backend tells what it received, where its answer's body is something else.
const ACCOUNT: HeaderName = HeaderName::from_static("echo");

fn account(headers: &http::HeaderMap<HeaderValue>) -> Option<String> {
    headers.get(ACCOUNT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
