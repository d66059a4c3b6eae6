//! An access log with fields of its own, as the implementation's file maps them.

use serde_json::Value;

use meshproof_model::implementation::LogFields;

use crate::probe::client::trace_of;
use crate::probe::request_id::untraced;
use crate::probe::{AccessLogEntry, UpstreamTls};

/// What is there of TLS towards the pod, in the log's words: that a log says nothing of it does not mean that there was none.
const UNSAID: &str = "unsaid";

/// Reads a line. `None` for what is no entry about a request.
pub(super) fn parse(own: &LogFields, line: &str) -> Option<AccessLogEntry> {
    let line: Value = serde_json::from_str(line.trim()).ok()?;
    let of = |what: &str| own.of(&line, what);
    let sent_as = of("traceparent").as_deref().and_then(trace_of).map(str::to_owned);
    let request_id = of("request-id").map(|id| untraced(&id));
    if request_id.is_none() && sent_as.is_none() {
        return None;
    }
    let (client, server) = (of("client-identity"), of("server-identity"));
    Some(AccessLogEntry {
        time: of("time").unwrap_or_default(),
        path: of("path").unwrap_or_default(),
        status: of("status")?.parse().ok()?,
        reason: of("reason").map(|reason| own.reason(&reason)).unwrap_or_default(),
        upstream_address: of("upstream-address"),
        upstream_tls: Some(UpstreamTls {
            mode: if client.is_some() { "mtls" } else { UNSAID }.to_owned(),
            client_identity: client,
            server_identity: server,
            ..UpstreamTls::default()
        }),
        request_id: request_id.unwrap_or_default(),
        sent_as,
        ..AccessLogEntry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_by_the_fields_that_are_named() {
        let fields = [("status", "code"), ("traceparent", "headers.traceparent"), ("reason", "why")];
        let own = LogFields {
            fields: fields.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned())).into(),
            reasons: [("UH".to_owned(), "no_endpoint".to_owned())].into(),
        };
        let line = r#"{"code":503,"why":"UH","headers":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}}"#;
        let entry = parse(&own, line).unwrap();
        assert_eq!((entry.status, entry.reason.as_str()), (503, "no_endpoint"));
        assert_eq!(entry.sent_as.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(entry.upstream_tls.unwrap().mode, UNSAID);
        assert_eq!(parse(&own, r#"{"code":503}"#), None);
        assert_eq!(parse(&own, "listening"), None);
    }
}
