//! How the gateway's requests came to the backend, as its side tells: the sidecar's access log first, then the gateway's own.
//!
//! A sidecar writes a line for each request in clear text, and one for each connection of mutual TLS when that closes: what
//! it has not written (yet) shows nothing. What a log tells of the time before the claim does not count.

use serde_json::Value;

use super::{
    Facts,
    facts::{Log, name_of, text},
    inbound,
};

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Without TLS.
    ClearText,
    /// With the mesh's mutual TLS.
    MutualTls,
}

/// A request or connection of the gateway's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// How.
    pub(super) how: How,
    /// When it began, as the log has it.
    pub(super) time: String,
    /// Who says so, and what.
    pub(super) said: String,
}

/// What sidecars of the backend say of the gateway's requests since the claim began, the oldest first. Empty where they keep
/// no access log in JSON.
pub(super) fn seen_by_sidecars(facts: &Facts) -> Vec<Came> {
    let mut all: Vec<Came> = inbound::pods(facts)
        .into_iter()
        .flat_map(|pod| log(facts, pod).into_iter().flat_map(|log| &log.lines).map(move |line| (pod, line)))
        .filter_map(|(pod, line)| came(facts, pod, &entry(line)?))
        .collect();
    all.sort_by(|a, b| a.time.cmp(&b.time));
    all
}

/// The log of a pod's sidecar.
fn log<'a>(facts: &'a Facts, pod: &Value) -> Option<&'a Log> {
    facts.logs.iter().find(|log| log.container == inbound::SIDECAR && log.is_of(pod))
}

fn came(facts: &Facts, pod: &Value, entry: &Value) -> Option<Came> {
    let time = text(&entry["time"]);
    let client = text(&entry["downstream_remote_address"]);
    let address = client.rsplit_once(':').map(|(address, _)| address)?;
    // Some logs name who is said to be the client (`x-forwarded-for`) and not the gateway, which passed the request on.
    let is_asked_for = facts.claim.last_request.as_deref().is_some_and(|id| entry["request_id"] == id);
    let is_of_gateway = is_asked_for || facts.proxies.iter().any(|proxy| proxy == address);
    if time < facts.claim.since.as_str() || !is_of_gateway {
        return None;
    }
    let tls = text(&entry["downstream_tls_version"]);
    let who = text(&entry["downstream_peer_uri_san"]);
    let by = format!("the sidecar of pod {}", name_of(pod));
    let (how, said) = match () {
        () if !who.is_empty() && tls.starts_with("TLS") => {
            (How::MutualTls, format!("{by}: mutual TLS from {client}, which is {who}"))
        }
        // A request, so the sidecar understood it: nothing encrypted.
        () if tls.is_empty() && !text(&entry["method"]).is_empty() => {
            let (method, path, code) =
                (text(&entry["method"]), text(&entry["path"]), &entry["response_code"]);
            (How::ClearText, format!("{by}: {method} {path} in clear text from {client}, answered {code}"))
        }
        // What Envoy says of a plain request where it waits for a handshake.
        () if text(&entry["downstream_transport_failure_reason"]).contains(":HTTP_REQUEST") => {
            (How::ClearText, format!("{by}: a request in clear text from {client}, refused"))
        }
        () => return None,
    };
    Some(Came { how, time: time.to_owned(), said })
}

/// An entry of a sidecar's access log, behind the time that the kubelet puts before each line.
pub(super) fn entry(line: &str) -> Option<Value> {
    serde_json::from_str(line.get(line.find('{')?..)?).ok()
}

/// Entries of the logs of the backend's sidecars since the claim began, with their pods, the latest first.
pub(super) fn entries(facts: &Facts) -> impl Iterator<Item = (&Value, Value)> {
    inbound::pods(facts).into_iter().flat_map(|pod| {
        let lines = log(facts, pod).into_iter().flat_map(|log| log.lines.iter().rev());
        lines
            .filter_map(|line| entry(line))
            .filter(|entry| text(&entry["time"]) >= facts.claim.since.as_str())
            .map(move |entry| (pod, entry))
    })
}

/// How the last answered request came, and who says so: a sidecar, or else the gateway itself.
pub(super) fn last(facts: &Facts) -> Option<Came> {
    if let Some(came) = seen_by_sidecars(facts).pop() {
        return Some(came);
    }
    if let Some(came) = seen_by_program(facts) {
        return Some(came);
    }
    let entry = facts.last_account().filter(|entry| entry.reason == "ok")?;
    let how = match entry.upstream_tls.as_ref()?.mode.as_str() {
        "mtls" => How::MutualTls,
        "none" => How::ClearText,
        _ => return None,
    };
    let words = match how {
        How::MutualTls => "mutual TLS",
        How::ClearText => "clear text",
    };
    let pod = entry.upstream_pod.as_deref().unwrap_or("the backend");
    let said = format!("the gateway's log: it spoke {words} with {pod}");
    Some(Came { how, time: entry.time.clone(), said })
}

/// What the program that answered says of the way its request came, where no sidecar stands before it.
fn seen_by_program(facts: &Facts) -> Option<Came> {
    let answerer = facts.claim.answered_by.as_ref().filter(|answerer| !answerer.over_tls)?;
    let pod =
        facts.get("pods", &answerer.namespace, &answerer.pod).filter(|pod| !inbound::has_sidecar(pod))?;
    let said = format!("pod {} has no sidecar, and its program was asked in clear text", name_of(pod));
    Some(Came { how: How::ClearText, time: facts.claim.since.clone(), said })
}

/// Requests in clear text since the claim began, as a sidecar or the gateway's own log tells.
pub(super) fn clear_text(facts: &Facts) -> Option<Came> {
    let by_sidecar = seen_by_sidecars(facts).into_iter().rev().find(|came| came.how == How::ClearText);
    by_sidecar.or_else(|| last(facts).filter(|came| came.how == How::ClearText))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POD: &str = "backend-v1-6c8f9d7b54-q2w8z";

    fn with(entries: &[Value]) -> Facts {
        let mut facts = Facts::sample();
        facts.proxies = vec!["10.244.1.9".into()];
        facts.claim.since = "2026-11-23T16:00:00".into();
        let lines = entries.iter().map(|entry| format!("2026-11-23T16:00:01.000000000Z {entry}"));
        facts.logs = vec![Log {
            namespace: "isto-example-namespace".into(),
            pod: POD.into(),
            container: "istio-proxy".into(),
            lines: std::iter::once("2026-11-23T15:00:00Z info Envoy proxy is ready".to_owned())
                .chain(lines)
                .collect(),
        }];
        facts
    }

    fn clear(time: &str, client: &str) -> Value {
        json!({"time": time, "downstream_remote_address": client, "downstream_tls_version": null, "method": "GET",
            "path": "/", "response_code": 200, "downstream_peer_uri_san": null})
    }

    fn tls(time: &str, client: &str) -> Value {
        json!({"time": time, "downstream_remote_address": client, "downstream_tls_version": "TLSv1.3", "method": null,
            "downstream_peer_uri_san": "spiffe://cluster.local/ns/azure-alb-system/sa/x"})
    }

    #[test]
    fn what_the_gateway_sent_is_told_by_the_sidecar() {
        let facts = with(&[
            clear("2026-11-23T16:00:03Z", "10.244.1.9:4000"),
            tls("2026-11-23T16:00:02Z", "10.244.1.9:4001"),
        ]);
        let came = seen_by_sidecars(&facts);
        assert_eq!(came.iter().map(|came| came.how).collect::<Vec<_>>(), [How::MutualTls, How::ClearText]);
        assert!(
            came[1].said.contains(POD) && came[1].said.contains("GET / in clear text from 10.244.1.9:4000"),
            "{came:?}"
        );
        assert_eq!(last(&facts).unwrap().how, How::ClearText);
    }

    #[test]
    fn clear_text_that_a_strict_sidecar_refused_is_told() {
        let refused = json!({"time": "2026-11-23T16:00:03Z", "downstream_remote_address": "10.244.1.9:4000", "method": null,
            "response_code_details": "filter_chain_not_found", "downstream_tls_version": null, "downstream_transport_failure_reason":
            "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end"});
        assert!(clear_text(&with(&[refused])).unwrap().said.ends_with("refused"));
    }

    #[test]
    fn others_and_the_time_before_do_not_count() {
        let facts = with(&[
            clear("2026-11-23T16:00:03Z", "10.244.1.10:4000"),
            clear("2026-11-23T15:59:59Z", "10.244.1.9:4000"),
        ]);
        assert_eq!(seen_by_sidecars(&facts), []);
        assert_eq!(
            clear_text(&facts.answered(200, "ok").over("")),
            None,
            "the gateway's log says mutual TLS"
        );
    }

    /// HTTP chains of Envoy name who is said to be the client, where the log's form has no better operator.
    #[test]
    fn a_request_of_the_claim_is_the_gateways_whoever_is_named_as_its_client() {
        let named = |id: &str| {
            let mut entry = clear("2026-11-23T16:00:03Z", "192.0.2.1:0");
            entry["request_id"] = id.into();
            entry
        };
        let mut facts = with(&[named("7")]);
        assert_eq!(clear_text(&facts), None, "it is not known whose it is");
        facts.claim.last_request = Some("8".into());
        assert_eq!(clear_text(&facts), None);
        facts.claim.last_request = Some("7".into());
        assert!(clear_text(&facts).unwrap().said.contains("GET / in clear text"));
    }

    #[test]
    fn without_the_sidecars_word_the_gateways_is_taken() {
        let mut facts = with(&[]).expecting(503).answered(200, "ok").over("");
        assert_eq!(last(&facts).unwrap().how, How::MutualTls);
        if let Some(tls) = facts.access_log.last_mut().and_then(|entry| entry.upstream_tls.as_mut()) {
            tls.mode = "none".into();
        }
        assert!(clear_text(&facts).unwrap().said.starts_with("the gateway's log"));
        assert_eq!(last(&with(&[])), None);
    }
}
