//! One JSON line for each exchange, on standard output.

use crate::error::Reason;
use crate::upstream::TlsInfo;
use serde::Serialize;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What happened to one request. Field names are an interface: dashboards and tests read them.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// When the exchange ended (RFC 3339, UTC).
    pub time: String,
    /// FQDN of the frontend.
    pub frontend: Arc<str>,
    /// Name of the Gateway's listener.
    pub listener: Option<Arc<str>>,
    /// "<namespace>/<name>" of the Gateway.
    pub gateway: Arc<str>,
    /// "<namespace>/<name>" of the HTTPRoute.
    pub route: Option<Arc<str>>,
    /// Request method; empty when the request's header could not be read, and so are host and path.
    pub method: String,
    /// Host as received.
    pub host: String,
    /// Path as received, without the query.
    pub path: String,
    /// Status that the client got, or would have got if it were still there or had sent its whole header.
    pub status: u16,
    /// Why: [`Reason`](crate::Reason).
    pub reason: &'static str,
    /// What exactly, when the reason is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// From the request's header to the last byte of the response, in milliseconds.
    pub duration_ms: f64,
    /// "<namespace>/<name>" of the pod that was asked.
    pub upstream_pod: Option<String>,
    /// Address and port that was asked.
    pub upstream_address: Option<String>,
    /// How the pod was spoken to.
    pub upstream_tls: Option<UpstreamTls>,
    /// `X-Request-ID` of the request to the pod.
    pub request_id: String,
    /// Address of the client.
    pub downstream_address: String,
    /// Whether the connection to the pod had served an earlier request.
    pub connection_reused: bool,
}

impl Record {
    /// Of a request of which nothing is known but who sends it.
    pub(crate) fn new(client: SocketAddr) -> Self {
        Self {
            time: String::new(),
            frontend: Arc::from(""),
            listener: None,
            gateway: Arc::from(""),
            route: None,
            method: String::new(),
            host: String::new(),
            path: String::new(),
            status: 0,
            reason: Reason::ClientClosed.as_str(),
            detail: None,
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0.0,
            upstream_pod: None,
            upstream_address: None,
            upstream_tls: None,
            request_id: uuid::Uuid::new_v4().to_string(),
            downstream_address: client.to_string(),
            connection_reused: false,
        }
    }
}

/// TLS to the pod.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct UpstreamTls(pub(crate) TlsInfo);

/// Where records go.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes a record; must not block.
    fn write(&self, record: Record);
}

/// Standard output, written by a thread of its own so that a full pipe holds up no request.
pub struct Stdout {
    /// Boxed: the channel holds all its slots from the start.
    lines: SyncSender<Box<Record>>,
    /// Records thrown away because the pipe was full.
    dropped: prometheus_client::metrics::counter::Counter,
}

/// Records that may wait for the pipe.
const QUEUE: usize = 8192;

impl Stdout {
    /// Starts the thread. It ends, everything written, when the log is dropped: join the handle after that.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        dropped: prometheus_client::metrics::counter::Counter,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (lines, receiver) = sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write_all(&receiver))?;
        Ok((Self { lines, dropped }, thread))
    }
}

impl AccessLog for Stdout {
    fn write(&self, record: Record) {
        if self.lines.try_send(Box::new(record)).is_err() {
            self.dropped.inc();
        }
    }
}

/// Writes what has queued up in one go.
fn write_all(records: &Receiver<Box<Record>>) {
    let mut buffer = Vec::with_capacity(4096);
    while let Ok(record) = records.recv() {
        buffer.clear();
        append(&mut buffer, &record);
        while buffer.len() < 32 * 1024
            && let Ok(record) = records.try_recv()
        {
            append(&mut buffer, &record);
        }
        // Nobody reads it any more: nothing to tell, and nobody to tell it to.
        let _ = std::io::stdout().lock().write_all(&buffer);
    }
}

fn append(buffer: &mut Vec<u8>, record: &Record) {
    if serde_json::to_writer(&mut *buffer, record).is_ok() {
        buffer.push(b'\n');
    }
}
