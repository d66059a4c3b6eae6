//! What the access log says about TLS to a pod.

use serde::Serialize;
use std::sync::Arc;

/// How a pod is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    None,
    Mtls,
    Tls,
}

/// What TLS to a pod turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TlsInfo {
    pub(crate) mode: Mode,
    /// Sent as SNI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<Arc<str>>,
    /// The name or SPIFFE id that the pod has proved, once the handshake is done.
    pub(crate) server_identity: Option<Arc<str>>,
    pub(crate) client_identity: Option<Arc<str>>,
    /// Application protocols offered, with commas. The offer decides: Istio's inbound chains match on it, and a
    /// sidecar picks none of Istio's own names.
    pub(crate) alpn: Option<String>,
}
