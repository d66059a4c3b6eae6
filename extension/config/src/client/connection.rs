//! Keeps one stream to the controller open, for ever.

use super::{Rejection, Resources, Store};
use crate::MAX_MESSAGE_BYTES;
use crate::proto::{Node, configuration_client::ConfigurationClient};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Time for TCP, TLS and HTTP/2 set-up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for the server to authenticate the stream (it asks the API server).
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 pings find a controller whose node is gone, within ten seconds.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait before the next attempt: doubled each time, from the first to the second.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// Where the controller is and who asks.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `https://host:port`, or `http://` for clear text (tests). The certificate must carry the host's name.
    pub url: String,
    /// PEM bundle that the server's certificate must chain to; read again at each connect.
    pub ca_file: Option<PathBuf>,
    /// Service-account token; read again at each connect, as the kubelet rotates it.
    pub token_file: Option<PathBuf>,
    /// Pod and load balancer.
    pub node: Node,
}

/// How the connection is doing, for readiness and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionState {
    /// A stream is open.
    pub connected: bool,
    /// At least one response was applied since the process started.
    pub configured: bool,
    /// The last failure, until the next response.
    pub failure: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("reading {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} does not hold a token that fits into an HTTP header")]
    Token { path: String },
    #[error("configuration server {url}: {source}{}", cause(.source))]
    Connect { url: String, source: tonic::transport::Error },
    #[error("configuration server {url} did not answer within {} s", OPEN_TIMEOUT.as_secs())]
    Timeout { url: String },
    #[error("configuration server {url}: {:?}: {}", .status.code(), .status.message())]
    Stream { url: String, status: Box<tonic::Status> },
    #[error("configuration server {url} ended the stream")]
    Ended { url: String },
}

/// The innermost cause: tonic's own text is only "transport error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut source = error.source();
    let mut text = String::new();
    while let Some(inner) = source {
        text = format!(": {inner}");
        source = inner.source();
    }
    text
}

/// Connects, applies every response to `store` through `apply`, and reconnects, until `shutdown`.
///
/// What was applied stays when the connection is lost: the proxy goes on serving its last configuration.
pub async fn run(
    options: ClientOptions,
    store: &mut Store,
    mut apply: impl FnMut(&Resources) -> Result<(), Rejection>,
    state: &watch::Sender<ConnectionState>,
    shutdown: CancellationToken,
) {
    let mut wait = FIRST_RETRY;
    loop {
        let mut answered = false;
        let mut counted = |resources: &Resources| {
            answered = true;
            apply(resources)
        };
        let error = tokio::select! {
            () = shutdown.cancelled() => return,
            Err(error) = stream(&options, store, &mut counted, state) => error,
        };
        if answered {
            wait = FIRST_RETRY;
        }
        tracing::warn!(%error, retry_in_ms = wait.as_millis(), "configuration stream: serving what is known");
        state.send_modify(|state| {
            state.connected = false;
            state.failure = Some(error.to_string());
        });
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LAST_RETRY),
        }
    }
}

/// One stream, until it fails.
async fn stream(
    options: &ClientOptions,
    store: &mut Store,
    apply: &mut impl FnMut(&Resources) -> Result<(), Rejection>,
    state: &watch::Sender<ConnectionState>,
) -> Result<std::convert::Infallible, StreamError> {
    let url = &options.url;
    let failed = |status| StreamError::Stream { url: url.clone(), status: Box::new(status) };
    let channel = connect(options).await?;
    let token = token(options)?;
    let mut client = ConfigurationClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);

    let (requests, outgoing) = mpsc::channel(1);
    let ended = || StreamError::Ended { url: url.clone() };
    requests.send(store.hello(options.node.clone())).await.map_err(|_| ended())?;
    let mut request = Request::new(ReceiverStream::new(outgoing));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
    let mut responses = tokio::time::timeout(OPEN_TIMEOUT, client.delta(request))
        .await
        .map_err(|_| StreamError::Timeout { url: url.clone() })?
        .map_err(failed)?
        .into_inner();
    state.send_modify(|state| state.connected = true);
    tracing::info!(url, "configuration stream open");

    loop {
        let response = responses.message().await.map_err(failed)?.ok_or_else(ended)?;
        let (updated, removed) = (response.resources.len(), response.removed.len());
        let answer = store.receive(response, &mut *apply);
        match &answer.error {
            None => {
                tracing::info!(updated, removed, "configuration applied");
                state.send_modify(|state| {
                    state.configured = true;
                    state.failure = None;
                });
            }
            Some(error) => {
                tracing::warn!(message = error.message, resources = ?error.resources, "configuration refused");
            }
        }
        requests.send(answer).await.map_err(|_| ended())?;
    }
}

async fn connect(options: &ClientOptions) -> Result<Channel, StreamError> {
    let failed = |source| StreamError::Connect { url: options.url.clone(), source };
    let mut endpoint = Endpoint::from_shared(options.url.clone())
        .map_err(failed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    if let Some(path) = &options.ca_file {
        let pem = read(path)?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        endpoint = endpoint.tls_config(tls).map_err(failed)?;
    }
    endpoint.connect().await.map_err(failed)
}

fn token(options: &ClientOptions) -> Result<Option<MetadataValue<Ascii>>, StreamError> {
    let Some(path) = &options.token_file else { return Ok(None) };
    let token = String::from_utf8_lossy(&read(path)?).trim().to_owned();
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| StreamError::Token { path: path.display().to_string() })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Reads a small file of a projected volume, once per connect: not worth a thread of the blocking pool.
fn read(path: &std::path::Path) -> Result<Vec<u8>, StreamError> {
    std::fs::read(path).map_err(|source| StreamError::Read { path: path.display().to_string(), source })
}
