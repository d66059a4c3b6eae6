//! Pods: an echo that also says on which connection and to whom it answered, and pods that misbehave.

use crate::support::soon;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// A running pod; it ends with the value.
pub(crate) struct Pod {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Connections that are open now.
    open: watch::Sender<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pod {
    /// Answers every request with JSON about it.
    pub(crate) async fn echo() -> Self {
        Self::start(|_, stream| async move { serve_echo(stream, None).await }).await
    }

    /// The same over TLS.
    pub(crate) async fn tls_echo(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::start(move |_, stream| {
            let acceptor = TlsAcceptor::from(tls.clone());
            async move {
                // A refused client is the test's business.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let state = stream.get_ref().1;
                let info = serde_json::json!({
                    "client": state.peer_certificates().map(|chain| format!("{:x?}", &chain[0].as_ref()[..40])),
                    "alpn": state.alpn_protocol().map(String::from_utf8_lossy),
                    "sni": state.server_name(),
                });
                serve_echo(stream, Some(info)).await;
            }
        })
        .await
    }

    /// Answers GET requests by hand: `script` gets the number of the connection, from 0, and the stream.
    pub(crate) async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// The same on a socket of one's own.
    pub(crate) fn on<F, R>(listener: TcpListener, script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (open, counted) = (watch::Sender::new(0), connections.clone());
        let script = Arc::new(script);
        let now_open = open.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let (script, open) = (script.clone(), now_open.clone());
                open.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    script(number, stream).await;
                    open.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { address, connections, open, task }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until exactly so many connections are open.
    pub(crate) async fn until_open(&self, count: usize) {
        let mut open = self.open.subscribe();
        soon("connections open and closed", open.wait_for(|open| *open == count)).await.unwrap();
    }
}

async fn serve_echo(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    tls: Option<serde_json::Value>,
) {
    let tls = Arc::new(tls);
    let service = service_fn(move |request: Request<Incoming>| {
        let tls = tls.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, value) in &parts.headers {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                headers.entry(name.to_string()).or_default().push(value);
            }
            let told = serde_json::json!({
                "method": parts.method.as_str(),
                "path": parts.uri.to_string(),
                "headers": headers,
                "body": String::from_utf8_lossy(&body),
                "tls": *tls,
            });
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(told.to_string()))))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Reads up to the end of a request's header.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Writes a whole response with a text.
pub(crate) async fn respond(stream: &mut TcpStream, text: &str) {
    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    let _ = stream.write_all(response.as_bytes()).await;
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    // Bound and never listening: the port stays taken, and connecting to it is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}
