//! What a sidecar writes down of a connection or a request.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A line of the sidecar's access log, of which only this much is needed. TCP proxies write it when the
/// connection closes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SidecarEntry {
    /// When the connection, or on HTTP chains the request, began (RFC 3339).
    pub time: Option<String>,
    /// Serial number of the client's certificate, hexadecimal.
    pub downstream_peer_serial: Option<String>,
    /// URI SANs in the certificate of the client.
    pub downstream_peer_uri_san: Option<String>,
    /// Address of the client.
    pub downstream_remote_address: Option<String>,
    /// Protocol version, such as `TLSv1.3`.
    pub downstream_tls_version: Option<String>,
    /// Which filter chain took the connection.
    pub filter_chain: Option<String>,
    /// Cluster the sidecar sent it to: `inbound|3000||` for connections to the pod.
    pub upstream_cluster: Option<String>,
    /// Path of the request, on HTTP chains.
    pub path: Option<String>,
    /// Its `x-request-id`.
    pub request_id: Option<String>,
    /// Status that the client was answered; 0 on TCP chains.
    pub response_code: Option<u16>,
    /// Own end of the connection to the program: what the program sees as its client. Not every form of log has it.
    pub upstream_local_address: Option<String>,
    /// Envoy's short codes for what went wrong, `null` when nothing did.
    pub response_flags: Option<String>,
}

impl SidecarEntry {
    /// Whether the connection came in with a client certificate that carries `spiffe_id`.
    pub fn is_from(&self, spiffe_id: &str) -> bool {
        let sans = self.downstream_peer_uri_san.as_deref().unwrap_or_default();
        self.downstream_tls_version.as_deref().is_some_and(|version| version.starts_with("TLS"))
            && sans.split(',').any(|san| san.trim() == spiffe_id)
    }

    /// When the connection or request began, in milliseconds since 1970.
    pub(crate) fn began_ms(&self) -> Option<u64> {
        let began: jiff::Timestamp = self.time.as_deref()?.parse().ok()?;
        began.as_millisecond().try_into().ok()
    }

    /// Whether the sidecar itself ended the connection before anything came of it: no filter chain was for it (`NR`), or it
    /// was not the protocol that was expected (`DPE`).
    pub(crate) fn turned_away(&self) -> bool {
        self.response_flags
            .as_deref()
            .is_some_and(|flags| flags.split(',').any(|f| matches!(f, "NR" | "DPE")))
    }

    /// Address of the client without its port.
    pub fn client(&self) -> Option<std::net::IpAddr> {
        Some(self.downstream_remote_address.as_deref()?.parse::<SocketAddr>().ok()?.ip())
    }
}
