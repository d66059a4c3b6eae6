//! Connections to pods that carry whatever their client sends (Gateway API, TLSRoute).

use super::backend::Backend;
use super::connect::{dial, proved, shake_hands};
use super::exchange::{Asked, MAX_ENDPOINTS};
use super::pool::Upstream;
use super::security::Security;
use super::socket::Patience;
use crate::error::{ProxyError, Reason, Retry};
use crate::settings::Settings;
use crate::tls_info::{Mode, TlsInfo};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a connection to one of a backend's pods. With `passthrough` what the client sends is TLS already: a BackendTLSPolicy has no
/// bearing on it, and the mesh's mutual TLS is put around it.
///
/// # Errors
/// Those of the endpoint that was asked last. `asked` says which one that was.
pub(crate) async fn stream_to(
    backend: &Backend,
    passthrough: bool,
    settings: &Settings,
    asked: &mut Option<Asked>,
) -> Result<Box<dyn Stream>, ProxyError> {
    let mut last = ProxyError::new(Reason::NoEndpoint, "the backend has no ready endpoint");
    for upstream in backend.endpoints(None).take(MAX_ENDPOINTS) {
        let opening = tokio::time::timeout(settings.connect_timeout, open(upstream, passthrough, settings));
        let opened = opening.await.unwrap_or_else(|_| {
            let detail =
                format!("connecting to {}: not done within {:?}", upstream.address, settings.connect_timeout);
            Err(ProxyError::before_sending(Reason::UpstreamConnectFailed, detail))
        });
        let (tls, result) = match opened {
            Ok((tls, stream)) => (tls, Ok(stream)),
            Err(error) => (upstream.security.intended(), Err(error)),
        };
        *asked = Some(Asked { upstream: upstream.clone(), tls: Arc::new(tls), reused: false });
        match result {
            Ok(stream) => {
                upstream.connected(None);
                return Ok(stream);
            }
            Err(error) => {
                upstream.connected(Some(Instant::now()));
                if error.retry == Retry::No {
                    return Err(error);
                }
                last = error;
            }
        }
    }
    Err(last)
}

type Opened = Result<(TlsInfo, Box<dyn Stream>), ProxyError>;

async fn open(upstream: &Upstream, passthrough: bool, settings: &Settings) -> Opened {
    let clear = || TlsInfo {
        mode: Mode::None,
        server_name: None,
        server_identity: None,
        client_identity: None,
        alpn: None,
    };
    let (address, patience) = (upstream.address, Patience::new(settings));
    // How much of it there is, nobody knows.
    patience.choose_long();
    let tls = match &*upstream.security {
        Security::ClearText => None,
        Security::Tls(tls) if passthrough && tls.mode == Mode::Tls => None,
        Security::Unusable(Mode::Tls, _) if passthrough => None,
        Security::Unusable(_, error) => return Err(error.clone()),
        Security::Tls(tls) => Some(tls),
    };
    let stream = dial(address, &patience, settings).await?;
    let Some(tls) = tls else { return Ok((clear(), Box::new(stream))) };
    // What is spoken inside is between the client and the pod.
    let mut config = (*tls.config).clone();
    config.alpn_protocols.clear();
    let stream = shake_hands(stream, address, tls, Arc::new(config)).await?;
    let server_identity = proved(&stream, tls);
    let info = TlsInfo { server_identity, alpn: None, ..upstream.security.intended() };
    Ok((info, Box::new(stream)))
}
