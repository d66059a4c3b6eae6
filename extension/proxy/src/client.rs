//! The clients' side: accepting, HTTP/1.1 or HTTP/2, graceful end.

mod preface;

use crate::handle::{Client, handle};
use crate::shared::Shared;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use preface::{Prefixed, Protocol};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Streams that an HTTP/2 client may have open at once.
const MAX_STREAMS: u32 = 256;
/// Pings find an HTTP/2 client that is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections of one port until `stop`, which also ends those that are open, gracefully.
pub(crate) async fn accept(listener: TcpListener, port: u16, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let next = async {
            // The semaphore is never closed, so this cannot fail.
            let slot = shared.connections.clone().acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: let some close instead of spinning.
                tracing::warn!(port, %error, "accepting a connection failed; trying again");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // IPv4 clients of a dual-stack socket have mapped addresses.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (task_shared, stop) = (shared.clone(), stop.clone());
        shared.tasks.spawn(async move {
            let abort = task_shared.abort.clone();
            task_shared.reporter.metrics.client_connections.inc();
            tokio::select! {
                () = abort.cancelled() => {}
                () = serve(stream, Client { port, peer }, &task_shared, stop) => {}
            }
            task_shared.reporter.metrics.client_connections.dec();
            drop(slot);
        });
    }
}

async fn serve(mut stream: TcpStream, client: Client, shared: &Arc<Shared>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let sniffed = tokio::select! {
        () = stop.cancelled() => return,
        sniffed = tokio::time::timeout(shared.settings.client_idle_timeout, preface::sniff(&mut stream)) => sniffed,
    };
    let Ok(Ok((protocol, read))) = sniffed else { return };
    let io = TokioIo::new(Prefixed::new(read, stream));
    let service = service_fn({
        let shared = shared.clone();
        move |request: Request<Incoming>| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(handle(&shared, client, request).await) }
        }
    });
    let settings = &shared.settings;
    match protocol {
        Protocol::Http1 => {
            let mut builder = server::conn::http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(settings.client_idle_timeout)
                .max_buf_size(settings.max_header_bytes);
            let mut connection = pin!(builder.serve_connection(io, service));
            let result = tokio::select! {
                result = connection.as_mut() => result,
                // An idle connection is closed, one that serves a request afterwards.
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            report(client, result);
        }
        Protocol::Http2 => {
            let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX))
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT);
            let mut connection = pin!(builder.serve_connection(io, service));
            let result = tokio::select! {
                result = connection.as_mut() => result,
                // GOAWAY loses no request, so it is sent as soon as the end is announced.
                () = async { tokio::select! { () = stop.cancelled() => {}, () = shared.draining.cancelled() => {} } } => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            report(client, result);
        }
    }
}

/// hyper has answered a malformed request itself (400, or 431 and 414 for too long ones) and closed the connection.
fn report(client: Client, result: hyper::Result<()>) {
    if let Err(error) = result {
        let malformed = error.is_parse();
        tracing::debug!(peer = %client.peer, port = client.port, malformed, %error, "connection of a client broke");
    }
}
