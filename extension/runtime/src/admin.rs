//! The admin server: `/healthz`, `/readyz`, `/metrics`, and the program's own JSON pages. Plain HTTP/1.1, port 8081.
//!
//! The program's own pages tell what all tenants have configured: they are answered only over the pod's loopback, which
//! `kubectl port-forward` reaches (and so asks the API server for permission) and other pods do not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;

/// Where programs listen unless told otherwise.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8081);

/// Connections served at a time; more wait in the listener's backlog. Probes and scrapes need two or three.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take to send its request headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

type JsonPage = Box<dyn Fn() -> BoxFuture<'static, serde_json::Value> + Send + Sync>;

/// The admin server of one program: pages first, then [`Admin::serve`].
pub struct Admin {
    readiness: Readiness,
    registry: Registry,
    pages: BTreeMap<String, JsonPage>,
}

impl Admin {
    /// A server that tells `readiness` and the metrics of `registry` (to which the process's own are added).
    #[must_use]
    pub fn new(readiness: Readiness, mut registry: Registry) -> Self {
        crate::process::register_metrics(&mut registry);
        Self { readiness, registry, pages: BTreeMap::new() }
    }

    /// Adds a page: GET `path` (`/debug/world`, say) over loopback answers with what `page` returns, as JSON.
    #[must_use]
    pub fn json<F, R>(mut self, path: impl Into<String>, page: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = serde_json::Value> + Send + 'static,
    {
        self.pages.insert(path.into(), Box::new(move || page().boxed()));
        self
    }

    /// Serves until `shutdown` is cancelled; connections then open are closed after the answer under way.
    ///
    /// Keep it up while the program drains, so that `/readyz` can say so: give it the token that is cancelled last.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accept = async {
                // The semaphore is never closed, so this cannot fail.
                let slot = Arc::clone(&slots).acquire_owned().await.ok();
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (this, shutdown) = (Arc::clone(&this), shutdown.clone());
                    tokio::spawn(async move {
                        this.connection(stream, peer.ip(), shutdown).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of descriptors, usually: let some close instead of spinning.
                    tracing::warn!(%error, "admin server: accepting a connection failed; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr, shutdown: CancellationToken) {
        let service = service_fn(move |request: Request<Incoming>| {
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.answer(peer, request.method(), request.uri().path()).await) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(16 * 1024);
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            // A client that breaks off is its own business.
            _ = connection.as_mut() => return,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    /// The answer to one request.
    async fn answer(&self, peer: IpAddr, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => {
                let report = self.readiness.to_string();
                let status = match self.readiness.is_ready() {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                text(status, report)
            }
            "/metrics" => {
                let mut page = String::new();
                match prometheus_client::encoding::text::encode(&mut page, &self.registry) {
                    Ok(()) => typed(
                        StatusCode::OK,
                        "application/openmetrics-text; version=1.0.0; charset=utf-8",
                        page.into(),
                    ),
                    Err(error) => {
                        text(StatusCode::INTERNAL_SERVER_ERROR, format!("encoding the metrics: {error}\n"))
                    }
                }
            }
            _ => match self.pages.get(path) {
                Some(_) if !peer.to_canonical().is_loopback() => text(
                    StatusCode::FORBIDDEN,
                    format!("{path} is answered over loopback only: use kubectl port-forward\n"),
                ),
                Some(page) => typed(StatusCode::OK, "application/json", page().await.to_string().into()),
                None => text(StatusCode::NOT_FOUND, self.index(path)),
            },
        }
    }

    fn index(&self, path: &str) -> String {
        let pages =
            ["/healthz", "/readyz", "/metrics"].into_iter().chain(self.pages.keys().map(String::as_str));
        format!("no page {path}; there are {}\n", pages.collect::<Vec<_>>().join(", "))
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body.into())
}

fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Sends one request over loopback and returns the whole answer.
    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    struct Running {
        address: SocketAddr,
        readiness: Readiness,
        shutdown: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn running() -> Running {
        let readiness = Readiness::new();
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        counter.inc_by(7);
        registry.register("rotations", "Certificates read", counter);
        let admin = Admin::new(readiness.clone(), registry)
            .json("/debug/world", || async { serde_json::json!({"gateways": 2}) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(admin.serve(listener, shutdown.clone()));
        Running { address, readiness, shutdown, task }
    }

    #[tokio::test]
    async fn readyz_is_503_and_names_the_blocker_until_it_clears() {
        let server = running().await;
        let blocker = server.readiness.block("certificate", "waiting for the sidecar");
        let answer = get(server.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("- certificate: waiting for the sidecar"), "{answer}");
        blocker.clear();
        let answer = get(server.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn metrics_hold_the_programs_and_the_processs() {
        let server = running().await;
        let answer = get(server.address, "/metrics").await;
        assert!(answer.contains("rotations_total 7"), "{answer}");
        assert!(answer.contains("process_resident_memory_bytes "), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_page_of_the_program_is_json_and_an_unknown_one_lists_what_there_is() {
        let server = running().await;
        let answer = get(server.address, "/debug/world?x=1").await;
        assert!(answer.contains("application/json") && answer.ends_with(r#"{"gateways":2}"#), "{answer}");
        let answer = get(server.address, "/debug").await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/debug/world"), "{answer}");
    }

    #[tokio::test]
    async fn pages_of_the_program_are_for_loopback_and_the_others_for_everybody() {
        let admin = Admin::new(Readiness::new(), Registry::default())
            .json("/debug/world", || async { serde_json::json!({"gateways": 2}) });
        let status = async |peer: &str, path| {
            let peer = peer.parse().unwrap();
            admin.answer(peer, &Method::GET, path).await.status()
        };
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(status(peer, "/debug/world").await, StatusCode::OK, "{peer}");
        }
        for peer in ["10.244.0.7", "fd00::7", "::ffff:10.244.0.7"] {
            assert_eq!(status(peer, "/debug/world").await, StatusCode::FORBIDDEN, "{peer}");
            for path in ["/healthz", "/readyz", "/metrics"] {
                assert_eq!(status(peer, path).await, StatusCode::OK, "{peer} {path}");
            }
        }
    }

    #[tokio::test]
    async fn ends_on_shutdown_even_with_an_idle_connection() {
        let server = running().await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        get(server.address, "/healthz").await;
        server.shutdown.cancel();
        server.task.await.unwrap();
        let mut rest = Vec::new();
        assert_eq!(idle.read_to_end(&mut rest).await.unwrap(), 0);
    }
}
