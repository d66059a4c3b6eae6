//! Connections whose clients speak TLS: the handshake, by the listener for the name that the client asks for, and then HTTP, or
//! whatever goes to a pod as it is.

use super::preface::{Protocol, Read};
use super::replay::Replay;
use super::socket::ClientSocket;
use super::{http, stream};
use crate::client::Client;
use crate::config::StreamRule;
use crate::limits::TLS_CONNECTION;
use crate::pipeline::Pipeline;
use crate::termination::{TlsListener, TlsPort};
use crate::tls_info::ClientTls;
use alb_config::proto::TlsMode;
use rustls::server::Acceptor;
use std::io;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The alert `unrecognized_name`, fatal, in a record of TLS 1.2 (RFC 6066 section 3, RFC 8446 section 6): no handshake has begun,
/// and so nothing is encrypted.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What a handshake has come to.
enum Greeted {
    Http(Box<TlsStream<Replay<TcpStream>>>),
    Stream(Box<TlsStream<Replay<TcpStream>>>, Arc<StreamRule>),
    /// The handshake is the pod's.
    Passthrough(Replay<TcpStream>, Arc<StreamRule>),
}

/// Serves a connection until its end, or until its listener is gone and what is in flight has ended.
pub(super) async fn serve(stream: TcpStream, client: Client, port: &TlsPort, pipeline: &Arc<Pipeline>) {
    let (settings, metrics) = (&pipeline.settings, &pipeline.reporter.metrics);
    if !client.place.permit.grow(TLS_CONNECTION) {
        metrics.client_connections_refused.inc();
        return;
    }
    let greeting = greet(stream, port, client.port, pipeline);
    let greeted = tokio::select! {
        () = client.place.stop.cancelled() => return,
        () = client.place.permit.in_the_way() => return,
        greeted = tokio::time::timeout(settings.handshake_timeout, greeting) => greeted,
    };
    let (result, greeted) = match greeted {
        Ok(Ok(None)) => ("unknown_name", None),
        Ok(Ok(Some(greeted))) => ("done", Some(greeted)),
        Ok(Err(error)) => {
            tracing::debug!(peer = %client.peer, port = client.port, %error, "TLS handshake of a client failed");
            ("failed", None)
        }
        Err(_) => ("late", None),
    };
    metrics.handshake(result);
    let Some((greeted, listener, tls)) = greeted else { return };
    let is_http2 = tls.alpn.as_deref() == Some("h2");
    let client = Client { tls: Some(Arc::new(tls)), ..client };
    let serving = async {
        match greeted {
            Greeted::Http(stream) => {
                // What was a moment ago is over: the next byte begins a request.
                client.activity.begin_rest();
                let stream = ClientSocket::new(*stream, Read::default(), client.activity.clone(), settings);
                let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
                http(stream, protocol, &client, pipeline).await;
            }
            Greeted::Stream(stream, rule) => stream::serve(*stream, &rule, false, &client, pipeline).await,
            Greeted::Passthrough(stream, rule) => stream::serve(stream, &rule, true, &client, pipeline).await,
        }
    };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        () = serving.as_mut() => return,
        () = listener.standing.retired.cancelled() => client.place.stop.cancel(),
    }
    serving.await;
}

/// Reads what the client asks for, finds the listener, and does the handshake as it says. None when there is nobody of that name.
async fn greet(
    stream: TcpStream,
    port: &TlsPort,
    bind_port: u16,
    pipeline: &Pipeline,
) -> io::Result<Option<(Greeted, Arc<TlsListener>, ClientTls)>> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), Replay::new(stream)).await?;
    let name = start.client_hello().server_name().map(str::to_owned);
    let found = port.listener(name.as_deref()).cloned().and_then(|listener| {
        // Whoever wants HTTP is told by it what there is; to anybody else a route has to lead.
        let rule = match listener.mode {
            TlsMode::TerminateHttp => None,
            _ => Some(stream_rule(pipeline, bind_port, &listener, name.as_deref())?),
        };
        Some((listener, rule))
    });
    let Some((listener, rule)) = found else {
        let mut stream = start.io;
        if port.is_for_http {
            stream.write_all(&UNRECOGNIZED_NAME).await?;
        }
        stream.shutdown().await?;
        return Ok(None);
    };
    let Some(handshake) = &listener.handshake else {
        let Some(rule) = rule else { return Ok(None) };
        let tls = ClientTls {
            listener: listener.name.clone(),
            version: "passthrough",
            server_name: name,
            alpn: None,
            client_identity: None,
        };
        start.io.rewind();
        return Ok(Some((Greeted::Passthrough(start.io, rule), listener, tls)));
    };
    start.io.forget();
    let stream = Box::new(start.into_stream(handshake.config.clone()).await?);
    let tls = handshake.outcome(&listener.name, stream.get_ref().1);
    let greeted = match rule {
        None => Greeted::Http(stream),
        Some(rule) => Greeted::Stream(stream, rule),
    };
    Ok(Some((greeted, listener, tls)))
}

/// Where a listener's connections for a name go.
fn stream_rule(
    pipeline: &Pipeline,
    port: u16,
    listener: &TlsListener,
    name: Option<&str>,
) -> Option<Arc<StreamRule>> {
    let config = pipeline.config.load();
    let rules = config.ports.get(&port)?.streams.get(&listener.name)?;
    rules.find(name.unwrap_or_default()).cloned()
}
