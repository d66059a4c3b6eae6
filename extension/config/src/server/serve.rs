//! Serving over TLS with a certificate that may change at run time.

use super::{Authenticate, Hub};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 pings find a proxy whose node is gone; it then stops counting for Programmed.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the protocol on `listener` until `shutdown`.
///
/// `tls` holds the configuration for new connections (ALPN must contain `h2`); replacing it rotates the
/// certificate without ending streams. While it is `None`, connections are closed at once.
///
/// # Errors
/// When the HTTP/2 server fails as a whole; a single connection's failure is logged.
pub async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
    hub: &Hub,
    authenticate: Arc<dyn Authenticate>,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let (accepted, incoming) = mpsc::channel(16);
    let accept = tokio::spawn(accept(listener, tls, accepted, shutdown.clone()));
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(hub.service(authenticate))
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), shutdown.cancelled_owned())
        .await;
    accept.abort();
    served
}

type Accepted = Result<tokio_rustls::server::TlsStream<tokio::net::TcpStream>, std::io::Error>;

async fn accept(
    listener: TcpListener,
    tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
    accepted: mpsc::Sender<Accepted>,
    shutdown: CancellationToken,
) {
    loop {
        let connection = tokio::select! {
            () = shutdown.cancelled() => return,
            connection = listener.accept() => connection,
        };
        let (stream, peer) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                // Out of descriptors, most likely: give the others a moment to close theirs.
                tracing::warn!(%error, "accepting a configuration connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(config) = tls.borrow().clone() else {
            tracing::debug!(%peer, "no serving certificate yet: connection closed");
            continue;
        };
        let _ = stream.set_nodelay(true);
        let accepted = accepted.clone();
        // A task each, so that one slow handshake holds up nobody.
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
                Ok(Ok(stream)) => drop(accepted.send(Ok(stream)).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake of a proxy failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake of a proxy timed out"),
            }
        });
    }
}
