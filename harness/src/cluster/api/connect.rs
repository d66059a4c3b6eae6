//! The connection to the API server.

use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

/// kube's client, but for one thing: what it writes goes out at once (`TCP_NODELAY`). Without that the kernel holds the first
/// request of a connection back for up to 45 ms, until the end of the TLS handshake before it is acknowledged, and each watch,
/// log and exec has the next request open a connection.
///
/// # Errors
/// The certificates or the credentials cannot be used.
pub(super) fn connect(config: Config) -> kube::Result<Client> {
    // What kube does beyond that, for proxies and for programs that hand out certificates, it keeps to itself.
    if config.proxy_url.is_some() || config.auth_info.exec.is_some() {
        return Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http = Http::builder(TokioExecutor::new()).build::<_, Body>(tls);
    let retry = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retry)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
