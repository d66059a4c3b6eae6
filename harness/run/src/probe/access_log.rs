//! The gateway's own account of an answer: which hop answered, why, and with which identities.
//!
//! A proxy writes one line per request.

mod fields;
mod istio;

use std::collections::BTreeMap;

use meshproof_model::implementation::LogFormat;
use serde::{Deserialize, Serialize};

use super::request_id::untraced;

/// How the gateway spoke to the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamTls {
    /// `none`, `mtls` or `tls`.
    pub mode: String,
    /// Name the pod was asked for (SNI), if it was.
    pub server_name: Option<String>,
    /// What the certificate the pod showed proves: a SPIFFE id, or a host name.
    pub server_identity: Option<String>,
    /// SPIFFE id in the certificate the gateway showed.
    pub client_identity: Option<String>,
    /// Application protocol agreed on, if any. Istio's own would keep PERMISSIVE working.
    pub alpn: Option<String>,
}

/// One line of an access log, in the words of alb-proxy's. Fields this harness does not know are kept in `rest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessLogEntry {
    /// When the exchange ended (RFC 3339).
    pub time: String,
    /// FQDN of the frontend.
    pub frontend: String,
    /// `namespace/name` of the Gateway.
    pub gateway: Option<String>,
    /// `namespace/name` of the HTTPRoute that matched.
    pub route: Option<String>,
    /// Path as received.
    pub path: String,
    /// Status sent to the client.
    pub status: u16,
    /// Why, in one word: `ok`, `no_route`, `upstream_tls_handshake_failed`, …
    pub reason: String,
    /// `namespace/name` of the pod asked.
    pub upstream_pod: Option<String>,
    /// Its address.
    pub upstream_address: Option<String>,
    /// How it was asked.
    pub upstream_tls: Option<UpstreamTls>,
    /// The id the line is found by, [`untraced`].
    pub request_id: String,
    /// The id of the client's trace; nothing in logs that do not keep it.
    pub sent_as: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

impl AccessLogEntry {
    /// The fields that a mesh's access log has to have for this form, with Envoy's operators; none for a gateway that keeps a log of
    /// its own, whatever the mesh does.
    pub fn fields(format: &LogFormat) -> &'static [(&'static str, &'static str)] {
        match format {
            LogFormat::Alb | LogFormat::Fields(_) => &[],
            LogFormat::Istio => istio::FIELDS,
        }
    }

    /// Reads a line of a log of this form. `None` for lines that are not access log entries (the program's own log).
    pub fn read(format: &LogFormat, line: &str) -> Option<Self> {
        match format {
            LogFormat::Fields(own) => fields::parse(own, line),
            LogFormat::Alb => Self::parse(line),
            LogFormat::Istio => istio::parse(line),
        }
    }

    /// Reads a line of alb-proxy's log. `None` for lines that are not access log entries.
    pub fn parse(line: &str) -> Option<Self> {
        let mut entry: Self = serde_json::from_str(line.trim()).ok()?;
        entry.request_id = untraced(&entry.request_id);
        (!entry.reason.is_empty() && entry.status != 0).then_some(entry)
    }

    /// Whether the gateway showed `client` to a pod that proved to be `server` over mutual TLS.
    pub fn is_mtls(&self, client: &str, server: &str) -> bool {
        self.upstream_tls.as_ref().is_some_and(|tls| {
            tls.mode == "mtls"
                && tls.client_identity.as_deref() == Some(client)
                && tls.server_identity.as_deref() == Some(server)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = include_str!("../../../../fixtures/recorded/access-log-200.json");

    #[test]
    fn an_entry_says_who_spoke_to_whom() {
        let entry = AccessLogEntry::parse(LINE).unwrap();
        assert_eq!((entry.status, entry.reason.as_str()), (200, "ok"));
        let client = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";
        let server = "spiffe://cluster.local/ns/isto-example-namespace/sa/default";
        assert!(entry.is_mtls(client, server));
        assert!(!entry.is_mtls(server, client));
        assert!(entry.rest.contains_key("duration_ms"));
    }

    #[test]
    fn other_lines_of_the_program_are_no_entries() {
        assert_eq!(AccessLogEntry::parse(r#"{"level":"INFO","message":"listening"}"#), None);
        assert_eq!(AccessLogEntry::parse("panic!"), None);
    }
}
