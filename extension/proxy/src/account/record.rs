//! One line of the access log.

use crate::error::Reason;
use crate::tls_info::{ClientTls, TlsInfo};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// Longest text of a client's that is kept, in bytes; the rest is left out.
const MAX_TEXT: usize = 4096;

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
    /// Host as received, up to 4 KiB, as are method, path and detail.
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
    /// TLS with the client; nothing in clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downstream_tls: Option<DownstreamTls>,
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
            request_id: request_id(),
            downstream_address: client.to_string(),
            downstream_tls: None,
            connection_reused: false,
        }
    }

    /// About as many bytes as it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let texts =
            [&self.time, &self.method, &self.host, &self.path, &self.request_id, &self.downstream_address];
        let optional = [&self.detail, &self.upstream_pod, &self.upstream_address];
        size_of::<Self>()
            + texts.into_iter().map(String::capacity).sum::<usize>()
            + optional.into_iter().flatten().map(String::capacity).sum::<usize>()
    }
}

/// Random (RFC 9562 section 5.4), by this thread's generator: asking the kernel each time costs as much as a part of the request.
fn request_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

/// A text of a client's, cut to what is kept of it.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// TLS to the pod.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct UpstreamTls(pub(crate) TlsInfo);

/// TLS with the client.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct DownstreamTls(pub(crate) Arc<ClientTls>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("/a"), "/a");
        let long = format!("/{}", "ä".repeat(MAX_TEXT));
        let kept = cut(&long);
        assert!(kept.len() <= MAX_TEXT + '…'.len_utf8() && kept.ends_with("ä…"), "{}", kept.len());
    }
}
