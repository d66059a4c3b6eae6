//! The clients' side: accepting, HTTP/1.1 or HTTP/2, graceful end.

mod http2;
mod preface;
mod progress;
mod socket;

pub(crate) use progress::Progress;

use crate::error::{Reason, chain};
use crate::handle::{Client, handle};
use crate::shared::Shared;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use preface::Protocol;
use socket::socket;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

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
        let client = Client { port, peer, progress: Arc::default() };
        let (task_shared, stop) = (shared.clone(), stop.clone());
        shared.tasks.spawn(async move {
            let abort = task_shared.abort.clone();
            task_shared.reporter.metrics.client_connections.inc();
            tokio::select! {
                () = abort.cancelled() => {}
                () = serve(stream, client, &task_shared, stop) => {}
            }
            task_shared.reporter.metrics.client_connections.dec();
            drop(slot);
        });
    }
}

async fn serve(mut stream: TcpStream, client: Client, shared: &Arc<Shared>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let settings = &shared.settings;
    let sniffed = tokio::select! {
        () = stop.cancelled() => return,
        sniffed = tokio::time::timeout(settings.client_idle_timeout, preface::sniff(&mut stream)) => sniffed,
    };
    let Ok(Ok((protocol, read))) = sniffed else { return };
    let stream = socket(stream, read, client.progress.clone(), settings.stream_idle_timeout);
    let result = match protocol {
        Protocol::Http1 => serve_http1(stream, &client, shared, &stop).await,
        Protocol::Http2 => http2::serve(stream, &client, shared, &stop).await,
    };
    if let Err(error) = result {
        tracing::debug!(peer = %client.peer, port = client.port, error = chain(&error), "connection of a client broke");
        // With HTTP/2 only the stream of such a request ends, and nobody is told.
        if protocol == Protocol::Http1 {
            report_refusal(&client, shared, &error);
        }
    }
}

async fn serve_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: &Client,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, client) = (shared.clone(), client.clone());
        async move { Ok::<_, Infallible>(handle(&shared, client, request).await) }
    });
    let mut builder = server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.client_idle_timeout)
        .max_buf_size(shared.settings.max_header_bytes);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        result = connection.as_mut() => result,
        // An idle connection is closed, one that serves a request afterwards.
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Logs and counts a request that hyper has refused itself, before anybody could handle it, and closed the connection:
/// with 400 what is malformed, with 431 a header that is too large, and without an answer one that was begun and not sent to
/// its end in time. An idle connection that is closed is no request.
fn report_refusal(client: &Client, shared: &Shared, error: &hyper::Error) {
    let (status, reason) = if error.is_parse_too_large() {
        (431, Reason::BadRequest)
    } else if error.is_parse() {
        (Reason::BadRequest.status().as_u16(), Reason::BadRequest)
    } else if error.is_timeout() && client.progress.has_begun() {
        (Reason::RequestTimeout.status().as_u16(), Reason::RequestTimeout)
    } else {
        return;
    };
    let mut record = client.record(shared);
    record.status = status;
    record.reason = reason.as_str();
    record.detail = Some(chain(error));
    shared.reporter.refused(record);
}
