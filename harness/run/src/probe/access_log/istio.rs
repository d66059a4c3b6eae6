//! Envoy's access log as meshproof's Istio keeps it, in the words the harness has for what happened.

use serde::Deserialize;

use crate::probe::client::trace_of;
use crate::probe::request_id::untraced;
use crate::probe::{AccessLogEntry, UpstreamTls};

/// The fields that are read, with Envoy's operators.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("time", "START_TIME"),
    ("request_id", "REQ(X-REQUEST-ID)"),
    ("traceparent", "REQ(TRACEPARENT)"),
    ("authority", "REQ(:AUTHORITY)"),
    ("path", "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)"),
    ("response_code", "RESPONSE_CODE"),
    ("response_code_details", "RESPONSE_CODE_DETAILS"),
    ("response_flags", "RESPONSE_FLAGS"),
    ("upstream_host", "UPSTREAM_HOST"),
    ("upstream_transport_failure_reason", "UPSTREAM_TRANSPORT_FAILURE_REASON"),
    ("upstream_tls_version", "UPSTREAM_TLS_VERSION"),
    ("upstream_local_uri_san", "UPSTREAM_LOCAL_URI_SAN"),
    ("upstream_peer_uri_san", "UPSTREAM_PEER_URI_SAN"),
];

/// A line, of which only this much is needed. Envoy writes `null` (older: `-`) for what there is not.
#[derive(Deserialize)]
struct Line {
    time: String,
    request_id: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
    authority: Option<String>,
    path: Option<String>,
    response_code: u16,
    response_code_details: Option<String>,
    response_flags: Option<String>,
    upstream_host: Option<String>,
    upstream_transport_failure_reason: Option<String>,
    // Without `default`: a log that keeps none of these three says nothing about TLS, and is not read as if it did.
    #[serde(deserialize_with = "Option::deserialize")]
    upstream_tls_version: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    upstream_local_uri_san: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    upstream_peer_uri_san: Option<String>,
}

/// Reads a line. `None` for what is no entry about an HTTP request.
pub(super) fn parse(line: &str) -> Option<AccessLogEntry> {
    let line: Line = serde_json::from_str(line.trim()).ok()?;
    let request_id = untraced(given(line.request_id.as_deref())?);
    Some(AccessLogEntry {
        reason: reason(&line).to_owned(),
        upstream_tls: Some(tls(&line)),
        time: line.time,
        path: line.path.unwrap_or_default(),
        frontend: line.authority.unwrap_or_default(),
        status: line.response_code,
        upstream_address: given(line.upstream_host.as_deref()).map(str::to_owned),
        request_id,
        sent_as: given(line.traceparent.as_deref()).and_then(trace_of).map(str::to_owned),
        ..AccessLogEntry::default()
    })
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty() && *text != "-")
}

/// What happened, in one word. Envoy tells it by details and flags
/// (`envoyproxy.io/docs`, response code details and `%RESPONSE_FLAGS%`).
fn reason(line: &Line) -> &str {
    let details = line.response_code_details.as_deref().unwrap_or_default();
    let flags = line.response_flags.as_deref().unwrap_or_default();
    let transport = given(line.upstream_transport_failure_reason.as_deref());
    let flag = |wanted: &str| flags.split(',').any(|flag| flag == wanted);
    match details {
        "via_upstream" => "ok",
        "route_not_found" => "no_route",
        "no_healthy_upstream" | "cluster_not_found" => "no_endpoint",
        _ if flag("UF") && transport.is_some_and(|reason| reason.contains("TLS_error")) => {
            "upstream_tls_handshake_failed"
        }
        _ if flag("UF") => "upstream_connect_failed",
        _ if flag("UC") || flag("UR") => "upstream_reset",
        _ if flag("UT") => "upstream_timeout",
        "" => "unknown",
        other => other,
    }
}

fn tls(line: &Line) -> UpstreamTls {
    let client = given(line.upstream_local_uri_san.as_deref());
    let version = given(line.upstream_tls_version.as_deref());
    let mode = match (version, client) {
        (None, _) => "none",
        (Some(_), None) => "tls",
        (Some(_), Some(_)) => "mtls",
    };
    UpstreamTls {
        mode: mode.to_owned(),
        client_identity: client.map(str::to_owned),
        server_name: None,
        server_identity: given(line.upstream_peer_uri_san.as_deref()).map(str::to_owned),
        // Envoy's log has no word for these two.
        alpn: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line(changes: Value) -> String {
        let mut line = json!({
            "time": "2026-11-23T18:24:45.459Z", "request_id": "id-1", "authority": "172.18.255.200", "path": "/",
            "response_code": 200, "response_code_details": "via_upstream", "response_flags": "-",
            "upstream_host": "10.244.0.17:3000", "upstream_transport_failure_reason": null,
            "upstream_tls_version": "TLSv1.3",
            "upstream_local_uri_san": "spiffe://cluster.local/ns/shop/sa/gateway-01-istio",
            "upstream_peer_uri_san": "spiffe://cluster.local/ns/shop/sa/default"
        });
        for (key, value) in changes.as_object().unwrap() {
            line[key] = value.clone();
        }
        line.to_string()
    }

    #[test]
    fn an_answer_over_mutual_tls_names_both_identities() {
        let entry = parse(&line(json!({}))).unwrap();
        assert_eq!((entry.status, entry.reason.as_str(), entry.request_id.as_str()), (200, "ok", "id-1"));
        assert!(entry.is_mtls(
            "spiffe://cluster.local/ns/shop/sa/gateway-01-istio",
            "spiffe://cluster.local/ns/shop/sa/default"
        ));
    }

    #[test]
    fn a_request_is_found_by_the_clients_trace() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let entry = parse(&line(json!({"traceparent": traceparent}))).unwrap();
        assert_eq!(entry.sent_as.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(parse(&line(json!({"traceparent": null}))).unwrap().sent_as, None);
    }

    #[test]
    fn clear_text_is_no_mutual_tls() {
        let clear = json!({"upstream_tls_version": null, "upstream_local_uri_san": null, "upstream_peer_uri_san": null});
        assert_eq!(parse(&line(clear)).unwrap().upstream_tls.unwrap().mode, "none");
    }

    #[test]
    fn a_log_that_is_silent_about_tls_is_not_read_as_clear_text() {
        let mut silent: Value = serde_json::from_str(&line(json!({}))).unwrap();
        silent.as_object_mut().unwrap().remove("upstream_tls_version");
        assert_eq!(parse(&silent.to_string()), None);
    }

    #[test]
    fn what_went_wrong_is_told_in_the_harnesss_words() {
        let reason = |details: &str, flags: &str, transport: Value| {
            let changes = json!({"response_code": 503, "response_code_details": details, "response_flags": flags,
                                 "upstream_transport_failure_reason": transport});
            parse(&line(changes)).unwrap().reason
        };
        let wrong = json!("TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER");
        let connect = "upstream_reset_before_response_started{remote_connection_failure}";
        assert_eq!(reason(connect, "UF", wrong), "upstream_tls_handshake_failed");
        assert_eq!(reason(connect, "UF", Value::Null), "upstream_connect_failed");
        assert_eq!(
            reason("upstream_reset_before_response_started{connection_termination}", "UC", json!("-")),
            "upstream_reset"
        );
        assert_eq!(reason("route_not_found", "NR", Value::Null), "no_route");
        assert_eq!(reason("no_healthy_upstream", "UH", Value::Null), "no_endpoint");
    }

    #[test]
    fn lines_about_connections_and_the_programs_own_are_no_entries() {
        assert_eq!(parse("2026-11-23T17:56:14.718568Z\tinfo\tEnvoy proxy is ready"), None);
        assert_eq!(parse(&line(json!({"request_id": null}))), None);
    }
}
