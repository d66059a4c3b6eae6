//! Connections that are not looked into (Gateway API, TLSRoute): bytes pass as they come, from the client to a pod and back.

use crate::account::{Account, cut};
use crate::client::Client;
use crate::config::StreamRule;
use crate::error::{ProxyError, Reason};
use crate::idle::Since;
use crate::matching;
use crate::pipeline::Pipeline;
use crate::upload::Upload;
use crate::upstream::{Stream, stream_to};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that are read at a time.
const BUFFER: usize = 16 * 1024;

/// What moves in either direction.
#[derive(Debug, Default)]
struct Traffic {
    to_pod: AtomicU64,
    to_client: AtomicU64,
    /// Since the last byte.
    silence: Since,
}

/// Passes a connection on to where its rule leads, and writes one line of the access log about it: it has no status.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    rule: &StreamRule,
    passthrough: bool,
    client: &Client,
    pipeline: &Arc<Pipeline>,
) {
    let mut record = pipeline.record(client);
    record.listener = client.tls.as_ref().map(|tls| tls.listener.clone());
    record.route = Some(rule.route.clone());
    record.host = client.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).map(cut).unwrap_or_default();
    let upload = Arc::new(Upload::default());
    let reporter = pipeline.reporter.clone();
    let mut account = Account::open(record, upload, client.activity.clone(), reporter);
    let pod = match connect(rule, passthrough, &mut account, pipeline).await {
        Ok(pod) => pod,
        Err(error) => {
            account.answer(0, error.reason, None);
            return account.fail(error.reason, cut(&error.detail));
        }
    };
    account.answer(0, Reason::Ok, None);
    let traffic = Traffic::default();
    traffic.silence.begin();
    let limit = pipeline.settings.tunnel_idle_timeout;
    let result = tokio::select! {
        result = pass(stream, pod, &traffic) => result,
        () = traffic.silence.lasted(limit) => {
            Err((Reason::UpstreamTimeout, format!("no byte in either direction for {limit:?}")))
        }
        () = end_is_near(client, pipeline) => {
            Err((Reason::ShuttingDown, "the connection was cut off".to_owned()))
        }
    };
    account.received(traffic.to_pod.load(Ordering::Relaxed));
    account.sent(usize::try_from(traffic.to_client.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
    match result {
        Ok(()) => account.complete(),
        Err((reason, detail)) => account.fail(reason, detail),
    }
}

async fn connect(
    rule: &StreamRule,
    passthrough: bool,
    account: &mut Account,
    pipeline: &Pipeline,
) -> Result<Box<dyn Stream>, ProxyError> {
    let backend = matching::target(&rule.targets)?;
    // While it is opened it waits, as a request does.
    let _waiting = backend.limit.wait()?;
    let mut asked = None;
    let opened = stream_to(backend, passthrough, &pipeline.settings, &mut asked).await;
    let metrics = &pipeline.reporter.metrics;
    if opened.is_ok() {
        metrics.connects.inc()
    } else {
        metrics.connect_failures.inc()
    };
    if let Some(asked) = asked {
        account.asked(&asked.upstream.pod, asked.upstream.address, &asked.tls, asked.reused);
    }
    opened
}

/// Waits until the proxy, or the listener, goes away, and for the time that connections have then to end by themselves.
async fn end_is_near(client: &Client, pipeline: &Pipeline) {
    let listener_is_gone = async {
        client.place.stop.cancelled().await;
        tokio::time::sleep(pipeline.settings.tunnel_drain).await;
    };
    tokio::select! {
        () = pipeline.ending.closing.cancelled() => {}
        () = listener_is_gone => {}
    }
}

/// Both directions, until both have ended.
async fn pass(
    client: impl AsyncRead + AsyncWrite + Unpin,
    pod: Box<dyn Stream>,
    traffic: &Traffic,
) -> Result<(), (Reason, String)> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_pod, to_pod) = tokio::io::split(pod);
    let up = copy(from_client, to_pod, &traffic.to_pod, &traffic.silence);
    let down = copy(from_pod, to_client, &traffic.to_client, &traffic.silence);
    let named = |reason: Reason| move |error: io::Error| (reason, format!("the connection broke: {error}"));
    let up = async { up.await.map_err(named(Reason::ClientClosed)) };
    let down = async { down.await.map_err(named(Reason::UpstreamReset)) };
    tokio::try_join!(up, down).map(|_| ())
}

/// Passes one direction on until its sender has nothing more to say, and tells the receiver.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &AtomicU64,
    silence: &Since,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        silence.begin();
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            return to.shutdown().await;
        };
        bytes.fetch_add(read.len() as u64, Ordering::Relaxed);
        to.write_all(read).await?;
        to.flush().await?;
    }
}
