//! The stage that opens a connection to a pod.

use super::security::Security;
use super::socket::{Patience, PodSocket};
use super::verify::IdentityMismatch;
use crate::body::RequestBody;
use crate::error::{ProxyError, Reason, chain, find};
use crate::settings::Settings;
use crate::tls_info::{Mode, TlsInfo};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// How long the end of a connection that is known to be broken is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// An HTTP/1.1 connection to a pod. Dropping it closes it, once the response in flight is done.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: http1::SendRequest<RequestBody>,
    patience: Patience,
    pub(crate) tls: Arc<TlsInfo>,
    /// How the connection ended, when nobody was waiting for a response.
    ended: oneshot::Receiver<hyper::Error>,
}

/// A request that a connection did not answer.
pub(crate) struct SendFailure {
    /// The request, when nothing of it was written.
    pub(crate) unsent: Option<Request<RequestBody>>,
    pub(crate) error: ProxyError,
}

impl Connection {
    pub(crate) fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    /// Waits until the next request can be sent; false when the connection is closed.
    pub(crate) async fn ready(&mut self) -> bool {
        self.requests.ready().await.is_ok()
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        self.patience.choose_for(request.body());
        let mut failed = match self.requests.try_send_request(request).await {
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
        let died_of = match error.is_canceled() || error.is_closed() {
            true => tokio::time::timeout(END_TIMEOUT, &mut self.ended).await.ok().and_then(Result::ok),
            false => None,
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
    settings: &Settings,
) -> Result<Connection, ProxyError> {
    let work = open(address, security, settings);
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
    open(address, &Security::ClearText, settings).await
}

async fn open(
    address: SocketAddr,
    security: &Security,
    settings: &Settings,
) -> Result<Connection, ProxyError> {
    if let Security::Unusable(_, error) = security {
        return Err(error.clone());
    }
    let failed = |error: io::Error| {
        ProxyError::before_sending(Reason::UpstreamConnectFailed, format!("connecting to {address}: {error}"))
    };
    let limit = settings.tcp_connect_timeout;
    let connecting = tokio::time::timeout(limit, TcpStream::connect(address)).await;
    let stream = connecting.unwrap_or_else(|_| Err(silence(limit))).map_err(failed)?;
    // Header and first body bytes leave at once.
    stream.set_nodelay(true).map_err(failed)?;
    let patience = Patience::new(settings);
    let stream = PodSocket::new(stream, patience.clone(), settings).map_err(failed)?;
    let Security::Tls(tls) = security else {
        return start(stream, patience, security.intended(), settings).await;
    };
    let name = match &tls.server_name {
        Some(name) => ServerName::DnsName(name.clone()),
        None => ServerName::IpAddress(address.ip().into()),
    };
    let stream = TlsConnector::from(tls.config.clone())
        .connect(name, stream)
        .await
        .map_err(|error| handshake_failed(&error, address))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let proved = certificate.and_then(|certificate| tls.expected.found_in(certificate).ok());
    let info = TlsInfo { server_identity: proved, ..security.intended() };
    start(stream, patience, info, settings).await
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
    settings: &Settings,
) -> Result<Connection, ProxyError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (requests, connection) = http1::Builder::new()
        .max_buf_size(settings.max_header_bytes)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| ProxyError::before_sending(Reason::UpstreamConnectFailed, chain(&error)))?;
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = chain(&error), "connection to a pod broke");
            let _ = end.send(error);
        }
    });
    Ok(Connection { requests, patience, tls: Arc::new(tls), ended })
}
