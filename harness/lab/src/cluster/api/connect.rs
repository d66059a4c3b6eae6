//! The connection to the API server.

use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

use super::proxy::Proxy;

/// kube's client, but for one thing: what it writes goes out at once (`TCP_NODELAY`). Without that the kernel holds the first
/// request of a connection back for up to 45 ms, until the end of the TLS handshake before it is acknowledged, and each watch,
/// log and exec has the next request open a connection.
///
/// # Errors
/// The certificates or the credentials cannot be used.
pub(super) fn connect(mut config: Config, proxy: Option<Proxy>) -> kube::Result<Client> {
    // kube would take it from the environment, whatever that excepts.
    config.proxy_url = None;
    // What kube does beyond that for programs that hand out certificates, it keeps to itself.
    if config.auth_info.exec.is_some() && proxy.is_none() {
        return Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    match proxy {
        None => over(config, tcp),
        Some(Proxy { uri, credentials, .. }) => {
            let tunnel = Tunnel::new(uri, tcp);
            let tunnel = match credentials {
                Some(credentials) => tunnel.with_auth(credentials),
                None => tunnel,
            };
            over(config, tunnel)
        }
    }
}

/// The client over a way to the server.
fn over<C>(config: Config, way: C) -> kube::Result<Client>
where
    C: tower::Service<http::Uri> + Clone + Send + Sync + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Connection + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let tls = config.rustls_https_connector_with_connector(way)?;
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
