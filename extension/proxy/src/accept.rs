//! The first stage: connections of clients, HTTP/1.1 or HTTP/2, and their graceful end.

mod http1;
mod http2;
mod preface;
mod replay;
mod socket;
mod stream;
mod tls;

use crate::activity::Activity;
use crate::client::{Client, Place};
use crate::error::{Reason, chain};
use crate::limits::FrontendLimits;
use crate::pipeline::Pipeline;
use crate::termination::TlsPort;
use preface::Protocol;
use socket::ClientSocket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// How long nothing is accepted after it has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections of one port until `stop`, which also ends those that are open, gracefully.
pub(crate) async fn accept(
    listener: TcpListener,
    port: u16,
    pipeline: Arc<Pipeline>,
    stop: CancellationToken,
) {
    loop {
        let (stream, peer, limits, tls) = tokio::select! {
            () = stop.cancelled() => return,
            next = next(&listener, port, &pipeline) => next,
        };
        // Others of this frontend wait behind it, and nobody else.
        let permit = tokio::select! {
            () = stop.cancelled() => return,
            permit = limits.connection() => permit,
        };
        let activity = Arc::<Activity>::default();
        let Some(permit) = limits.of_peer(permit, peer.ip(), activity.clone()) else {
            pipeline.reporter.metrics.client_connections_refused.inc();
            limits.refuse(stream);
            continue;
        };
        // One that speaks TLS may have to end before its port does.
        let stop = if tls.is_some() { stop.child_token() } else { stop.clone() };
        let place = Arc::new(Place { permit, stop });
        let client = Client { port, peer, activity, place, tls: None };
        let shared = pipeline.clone();
        let serve = |stream| async move {
            shared.reporter.metrics.client_connections.inc();
            tokio::select! {
                () = shared.ending.abort.cancelled() => {}
                () = serve(stream, client, tls, &shared) => {}
            }
            shared.reporter.metrics.client_connections.dec();
        };
        if let Err(error) = pipeline.settings.workers.serve(stream, &pipeline.ending.tasks, serve) {
            tracing::warn!(port, %error, "a connection cannot be served");
        }
    }
}

/// The next connection, the limits of the frontend that it is to, and its TLS.
async fn next(
    listener: &TcpListener,
    port: u16,
    pipeline: &Pipeline,
) -> (TcpStream, SocketAddr, Arc<FrontendLimits>, Option<Arc<TlsPort>>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let config = pipeline.config.load();
                // Without it the port has just been removed.
                if let Some(port) = config.ports.get(&port) {
                    // IPv4 clients of a dual-stack socket have mapped addresses.
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    return (stream, peer, port.limits.clone(), port.tls.clone());
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: let some close instead of spinning.
                tracing::warn!(port, %error, "accepting a connection failed; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(mut stream: TcpStream, client: Client, tls: Option<Arc<TlsPort>>, pipeline: &Arc<Pipeline>) {
    let settings = &pipeline.settings;
    // Neither is worth a connection.
    let _ = stream.set_nodelay(true);
    let _ = crate::keepalive::set(&stream, settings.tcp_keepalive);
    client.activity.begin_rest();
    if let Some(tls) = tls {
        return tls::serve(stream, client, &tls, pipeline).await;
    }
    let sniffed = tokio::select! {
        () = client.place.stop.cancelled() => return,
        () = client.place.permit.in_the_way() => return,
        sniffed = tokio::time::timeout(settings.client_idle_timeout, preface::sniff(&mut stream)) => sniffed,
    };
    let Ok(Ok((protocol, read))) = sniffed else { return };
    let stream = ClientSocket::new(stream, read, client.activity.clone(), settings);
    http(stream, protocol, &client, pipeline).await;
}

/// Serves a connection of which the protocol is known.
async fn http<S>(stream: ClientSocket<S>, protocol: Protocol, client: &Client, pipeline: &Arc<Pipeline>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let result = match protocol {
        Protocol::Http1 => http1::serve(stream, client, pipeline).await,
        Protocol::Http2 => http2::serve(stream, client, pipeline).await,
    };
    if let Err(error) = result {
        tracing::debug!(peer = %client.peer, port = client.port, error = chain(&error), "connection of a client broke");
        // With HTTP/2 only the stream of such a request ends, and nobody is told.
        if protocol == Protocol::Http1 {
            http1::report_refusal(client, pipeline, &error);
        }
    }
}

/// Logs and counts a request that nobody could handle.
fn refused(client: &Client, pipeline: &Pipeline, status: u16, reason: Reason, detail: String) {
    let mut record = pipeline.record(client);
    record.status = status;
    record.reason = reason.as_str();
    record.detail = Some(detail);
    pipeline.reporter.refused(record);
}
