//! What the access log says about TLS, with a client and to a pod.

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

/// What TLS with a client turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ClientTls {
    /// Name of the listener that the handshake was for.
    #[serde(skip)]
    pub(crate) listener: Arc<str>,
    pub(crate) version: &'static str,
    /// What the client asked for (SNI).
    pub(crate) server_name: Option<String>,
    /// Application protocol that both agreed on.
    pub(crate) alpn: Option<String>,
    /// Whom the client's certificate names, if it has shown one that is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_identity: Option<Arc<str>>,
}
