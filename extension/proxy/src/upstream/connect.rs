//! The stage that opens a connection to a pod.

use super::protocol::Protocol;
use super::security::{Security, TlsClient};
use super::socket::{Patience, PodSocket};
use super::verify::IdentityMismatch;
use crate::body::RequestBody;
use crate::error::{ProxyError, Reason, chain, find};
use crate::settings::Settings;
use crate::tls_info::{Mode, TlsInfo};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the end of a connection that is known to be broken is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that a pod may send in one stream of HTTP/2, and in all of one connection, before clients take them.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Bytes of a request's body that wait in a stream for the pod to take them.
const SEND_BUFFER: usize = 64 * 1024;
/// Pings find a pod that is gone while streams are open.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to a pod. Dropping it closes it, once the response in flight is done.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: Requests,
    patience: Patience,
    pub(crate) tls: Arc<TlsInfo>,
    /// How the connection ended, when nobody was waiting for a response. Only one of those who share it is told.
    ended: Option<oneshot::Receiver<hyper::Error>>,
}

#[derive(Debug)]
enum Requests {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// A request that a connection did not answer.
pub(crate) struct SendFailure {
    /// The request, when nothing of it was written.
    pub(crate) unsent: Option<Request<RequestBody>>,
    pub(crate) error: ProxyError,
}

impl Connection {
    pub(crate) fn is_ready(&self) -> bool {
        match &self.requests {
            Requests::Http1(requests) => requests.is_ready(),
            Requests::Http2(requests) => requests.is_ready(),
        }
    }

    /// The same connection for somebody else, with HTTP/2.
    pub(super) fn shared(&self) -> Option<Self> {
        match &self.requests {
            Requests::Http1(_) => None,
            Requests::Http2(requests) => Some(Self {
                requests: Requests::Http2(requests.clone()),
                patience: self.patience.clone(),
                tls: self.tls.clone(),
                ended: None,
            }),
        }
    }

    /// Whether a connection of HTTP/1 can be used for the next request at once: its response has come to the end already.
    pub(super) fn is_free_now(&self) -> bool {
        match &self.requests {
            Requests::Http1(requests) => requests.is_ready(),
            // Others have it already.
            Requests::Http2(_) => false,
        }
    }

    /// Waits until a connection of HTTP/1 can be used for the next request; false when it is closed.
    pub(super) async fn is_free(&mut self) -> bool {
        match &mut self.requests {
            Requests::Http1(requests) => requests.ready().await.is_ok(),
            // Others have it already.
            Requests::Http2(_) => false,
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let result = match &mut self.requests {
            Requests::Http1(requests) => {
                self.patience.choose_for(request.body());
                requests.try_send_request(request).await
            }
            Requests::Http2(requests) => {
                // Whose bytes are on their way, nobody knows.
                self.patience.choose_long();
                requests.try_send_request(request).await
            }
        };
        let mut failed = match result {
            Ok(response) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    self.patience.choose_long();
                }
                return Ok(response);
            }
            Err(failed) => failed,
        };
        let unsent = failed.take_message();
        let error = failed.into_error();
        // "Cancelled" only says that the connection is gone; what it died of is told at its end.
        let died_of = match &mut self.ended {
            Some(ended) if error.is_canceled() || error.is_closed() => {
                tokio::time::timeout(END_TIMEOUT, ended).await.ok().and_then(Result::ok)
            }
            _ => None,
        };
        let error = classify(died_of.as_ref().unwrap_or(&error), self.tls.mode, unsent.is_some());
        Err(SendFailure { unsent, error })
    }
}

/// With TLS 1.3 a server that refuses the client's certificate says so after the handshake is done on this side,
/// as an alert where the response should be.
fn classify(error: &hyper::Error, mode: Mode, unsent: bool) -> ProxyError {
    let alert = find::<rustls::Error>(error);
    let reason = match alert {
        Some(_) if mode != Mode::None => Reason::UpstreamTlsHandshakeFailed,
        _ => Reason::UpstreamReset,
    };
    let detail = format!("waiting for the response: {}", chain(error));
    let silent = find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    match (silent, unsent) {
        (true, _) => ProxyError::silent(reason, detail),
        (false, true) => ProxyError::before_sending(reason, detail),
        (false, false) => ProxyError::new(reason, detail),
    }
}

/// Opens a connection and, where it is asked for, does the TLS handshake.
pub(super) async fn connect(
    address: SocketAddr,
    security: &Security,
    protocol: Protocol,
    settings: &Settings,
) -> Result<Connection, ProxyError> {
    let work = open(address, security, protocol, settings);
    match tokio::time::timeout(settings.connect_timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(ProxyError::before_sending(
            Reason::UpstreamConnectFailed,
            format!("connecting to {address}: not done within {:?}", settings.connect_timeout),
        )),
    }
}

/// Opens a connection in clear text to a pod that is to be spoken to otherwise.
#[cfg(feature = "faults")]
pub(crate) async fn clear_text(address: SocketAddr, settings: &Settings) -> Result<Connection, ProxyError> {
    open(address, &Security::ClearText, Protocol::Http1, settings).await
}

async fn open(
    address: SocketAddr,
    security: &Security,
    protocol: Protocol,
    settings: &Settings,
) -> Result<Connection, ProxyError> {
    if let Security::Unusable(_, error) = security {
        return Err(error.clone());
    }
    let patience = Patience::new(settings);
    let stream = dial(address, &patience, settings).await?;
    let Security::Tls(tls) = security else {
        return start(stream, patience, security.intended(), protocol, settings).await;
    };
    let stream = shake_hands(stream, address, tls, tls.config.clone()).await?;
    let info = TlsInfo { server_identity: proved(&stream, tls), ..security.intended() };
    start(stream, patience, info, protocol, settings).await
}

/// Opens a TCP connection.
pub(super) async fn dial(
    address: SocketAddr,
    patience: &Patience,
    settings: &Settings,
) -> Result<PodSocket, ProxyError> {
    let failed = |error: io::Error| {
        ProxyError::before_sending(Reason::UpstreamConnectFailed, format!("connecting to {address}: {error}"))
    };
    let limit = settings.tcp_connect_timeout;
    let connecting = tokio::time::timeout(limit, TcpStream::connect(address)).await;
    let stream = connecting.unwrap_or_else(|_| Err(silence(limit))).map_err(failed)?;
    // Header and first body bytes leave at once.
    stream.set_nodelay(true).map_err(failed)?;
    PodSocket::new(stream, patience.clone(), settings).map_err(failed)
}

/// The TLS handshake with a pod.
pub(super) async fn shake_hands(
    stream: PodSocket,
    address: SocketAddr,
    tls: &TlsClient,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<PodSocket>, ProxyError> {
    let name = match &tls.server_name {
        Some(name) => ServerName::DnsName(name.clone()),
        None => ServerName::IpAddress(address.ip().into()),
    };
    let connecting = TlsConnector::from(config).connect(name, stream).await;
    connecting.map_err(|error| handshake_failed(&error, address))
}

/// Who the pod has proved to be.
pub(super) fn proved(stream: &TlsStream<PodSocket>, tls: &TlsClient) -> Option<Arc<str>> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    certificate.and_then(|certificate| tls.expected.found_in(certificate).ok())
}

fn silence(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("not done within {limit:?}"))
}

fn handshake_failed(error: &io::Error, address: SocketAddr) -> ProxyError {
    let mismatch = find::<rustls::Error>(error).is_some_and(|error| match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.is::<IdentityMismatch>()
        }
        _ => false,
    });
    let reason = if mismatch { Reason::UpstreamIdentityMismatch } else { Reason::UpstreamTlsHandshakeFailed };
    ProxyError::before_sending(reason, format!("TLS handshake with {address}: {}", chain(error)))
}

async fn start<S>(
    stream: S,
    patience: Patience,
    tls: TlsInfo,
    protocol: Protocol,
    settings: &Settings,
) -> Result<Connection, ProxyError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed =
        |error: hyper::Error| ProxyError::before_sending(Reason::UpstreamConnectFailed, chain(&error));
    let (requests, ended) = match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(settings.max_header_bytes);
            let (requests, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
            (Requests::Http1(requests), spawn(connection.with_upgrades()))
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX))
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT);
            let (requests, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
            (Requests::Http2(requests), spawn(connection))
        }
    };
    Ok(Connection { requests, patience, tls: Arc::new(tls), ended: Some(ended) })
}

/// Runs a connection, and tells what it died of.
fn spawn(
    connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
) -> oneshot::Receiver<hyper::Error> {
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = chain(&error), "connection to a pod broke");
            let _ = end.send(error);
        }
    });
    ended
}
