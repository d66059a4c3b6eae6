//! `clear-text-to-backend`, `verified-tls-to-backend`: gateway and backend agree on how they spoke to each other outside
//! the mesh (R19).
//!
//! The gateway's side is its access log, found by request id; the backend's side is the echo program's own account of the
//! connection. A pod with a sidecar is no backend of either: the sidecar could take off, or put on, what the program does
//! not see. What TLS has to prove is not asked of the gateway but read from the BackendTLSPolicy.

use std::collections::BTreeMap;

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};

use super::{BackendPod, LOG_DELAY, RECENT, backend, nothing_to_see, testimony, trouble};
use crate::probe::ProxyLogs;
use meshproof_model::event::Testimony;
use meshproof_run::ports::{PortError, WitnessContext};
use meshproof_run::probe::{AccessLogEntry, Answer, EchoTls, deployment_of};

pub(super) const CLEAR_TEXT: &str = "clear-text-to-backend";
pub(super) const VERIFIED_TLS: &str = "verified-tls-to-backend";

/// Everything the judgement rests on.
#[derive(Debug, Default)]
struct Facts {
    answers: Vec<Seen>,
    /// The gateway's lines about the answers, by request id.
    accounts: BTreeMap<String, AccessLogEntry>,
    /// Pods behind the Service.
    pods: Vec<BackendPod>,
    /// What the policy for the Service asks for.
    wanted: Option<Wanted>,
}

/// An answer 200, as the backend sees it.
#[derive(Clone, Debug, Default)]
struct Seen {
    pod: String,
    request_id: Option<String>,
    tls: Option<EchoTls>,
}

/// What a BackendTLSPolicy asks for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    hostname: String,
    /// Names of which the certificate must carry one.
    names: Vec<String>,
}

pub(super) async fn hear(
    client: &Client,
    logs: Option<ProxyLogs>,
    witness: &str,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let Some(logs) = logs else {
        return Ok(nothing_to_see(witness, "the gateway keeps no access log that can be read"));
    };
    let good: Vec<&Answer> = context.answers.iter().filter(|answer| answer.complete() == Some(200)).collect();
    let mut facts = Facts {
        answers: good.iter().map(|answer| seen(answer)).collect(),
        pods: backend::pods(client, context.namespace_of_backend(), &context.backend).await?,
        ..Facts::default()
    };
    let ids: Vec<String> = good.iter().filter_map(|answer| answer.request_id()).collect();
    if !ids.is_empty() {
        facts.accounts = logs.accounts(&ids, RECENT, LOG_DELAY).await?;
    }
    if witness == VERIFIED_TLS {
        facts.wanted = policy(client, context).await?;
    }
    Ok(judge(witness, &facts, &context.backend))
}

fn seen(answer: &Answer) -> Seen {
    Seen {
        pod: answer.pod().unwrap_or_default().into(),
        request_id: answer.request_id(),
        tls: answer.echo.as_ref().and_then(|echo| echo.tls.clone()),
    }
}

/// What the oldest policy for the Service asks for.
async fn policy(client: &Client, context: &WitnessContext) -> Result<Option<Wanted>, PortError> {
    let resource = ApiResource {
        group: "gateway.networking.k8s.io".into(),
        version: "v1".into(),
        api_version: "gateway.networking.k8s.io/v1".into(),
        kind: "BackendTLSPolicy".into(),
        plural: "backendtlspolicies".into(),
    };
    let policies: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), context.namespace_of_backend(), &resource);
    let doing = || format!("listing the BackendTLSPolicies of {}", context.namespace_of_backend());
    let mut list = policies.list(&ListParams::default()).await.map_err(trouble(doing()))?.items;
    list.sort_by_key(|policy| {
        policy.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default()
    });
    let is_about = |spec: &Value| {
        let targets = spec["targetRefs"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets.iter().any(|target| target["kind"] == "Service" && target["name"] == context.backend.as_str())
    };
    Ok(list.iter().map(|policy| &policy.data["spec"]).find(|spec| is_about(spec)).map(wanted))
}

fn wanted(spec: &Value) -> Wanted {
    let validation = &spec["validation"];
    let hostname = validation["hostname"].as_str().unwrap_or_default().to_owned();
    let alternatives = validation["subjectAltNames"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |alternative: &Value| {
        let name = alternative["uri"].as_str().or_else(|| alternative["hostname"].as_str());
        name.map(str::to_owned)
    };
    let mut names: Vec<String> = alternatives.iter().filter_map(name).collect();
    if names.is_empty() {
        names.push(hostname.clone());
    }
    Wanted { hostname, names }
}

/// What the facts amount to.
fn judge(witness: &str, facts: &Facts, backend: &str) -> Testimony {
    if facts.answers.is_empty() {
        return nothing_to_see(witness, "no answer 200 that could have come from the backend");
    }
    if witness == VERIFIED_TLS && facts.wanted.is_none() {
        return nothing_to_see(witness, format!("there is no BackendTLSPolicy for Service {backend}"));
    }
    for answer in &facts.answers {
        if let Some(against) = against(facts, answer) {
            return testimony(witness, false, against, detail(facts));
        }
    }
    let summary = match &facts.wanted {
        None => format!(
            "every answer came in clear text: the gateway's log gives no TLS, {backend} saw none, and its pod has nothing \
             that could have taken any off"
        ),
        Some(wanted) => {
            let version = facts.answers.iter().rev().find_map(|answer| answer.tls.as_ref());
            format!(
                "every answer came over {}: the gateway asked for {} and verified {}, as the BackendTLSPolicy says; \
                 {backend} was asked for {}",
                version.map(|tls| tls.version.as_str()).unwrap_or("TLS"),
                wanted.hostname,
                wanted.names.join(" or "),
                wanted.hostname,
            )
        }
    };
    testimony(witness, true, summary, detail(facts))
}

/// What speaks against an answer.
fn against(facts: &Facts, answer: &Seen) -> Option<String> {
    let workload = deployment_of(&answer.pod).unwrap_or(&answer.pod);
    let Some(pod) = facts.pods.iter().find(|pod| pod.name == answer.pod) else {
        return Some(format!("an answer came from {}, which is not behind the Service", answer.pod));
    };
    if pod.sidecar {
        return Some(format!("{workload} has a sidecar: what its program sees is not what the gateway sent"));
    }
    let entry = answer.request_id.as_ref().and_then(|id| facts.accounts.get(id));
    let Some(entry) = entry else {
        return Some(format!("the gateway's log has no line for an answer from {workload}"));
    };
    let logged = entry.upstream_tls.clone().unwrap_or_default();
    let Some(wanted) = &facts.wanted else {
        return match (&answer.tls, logged.mode.as_str()) {
            (None, "none") => None,
            (Some(tls), _) => Some(format!("{workload} saw {}", tls.version)),
            (None, mode) => {
                Some(format!("the gateway's log gives TLS mode {mode} for an answer of {workload}"))
            }
        };
    };
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".into());
    let proved = logged.server_identity.as_ref().is_some_and(|name| wanted.names.contains(name));
    if logged.mode != "tls" || !proved || logged.server_name.as_ref() != Some(&wanted.hostname) {
        return Some(format!(
            "the gateway's log gives TLS mode {}, name asked for {}, name verified {} for an answer of {workload}; \
             expected tls, {}, {}",
            logged.mode,
            name(&logged.server_name),
            name(&logged.server_identity),
            wanted.hostname,
            wanted.names.join(" or "),
        ));
    }
    match &answer.tls {
        Some(tls) if tls.server_name == wanted.hostname => None,
        Some(tls) => Some(format!("{workload} was asked for {:?}, not {}", tls.server_name, wanted.hostname)),
        None => Some(format!("{workload} saw no TLS")),
    }
}

fn detail(facts: &Facts) -> Value {
    let last = facts.answers.last();
    let sample = last.and_then(|answer| facts.accounts.get(answer.request_id.as_deref()?));
    json!({
        "answers": facts.answers.len(),
        "gateway": sample,
        "backend": last.and_then(|answer| answer.tls.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_run::probe::UpstreamTls;

    const POD: &str = "backend-v2-6bbdbd646d-9s7qv";
    const HOSTNAME: &str = "backend-v2.example";

    /// An answer whose gateway and backend say these things.
    fn facts(logged: UpstreamTls, seen: Option<EchoTls>, wanted: Option<Wanted>) -> Facts {
        let entry = AccessLogEntry {
            status: 200,
            reason: "ok".into(),
            upstream_tls: Some(logged),
            request_id: "id".into(),
            ..AccessLogEntry::default()
        };
        let pod = BackendPod {
            namespace: "plain".into(),
            name: POD.into(),
            address: "10.244.0.17:8443".parse().unwrap(),
            service_account: "default".into(),
            sidecar: false,
        };
        Facts {
            answers: vec![Seen { pod: POD.into(), request_id: Some("id".into()), tls: seen }],
            accounts: [("id".to_owned(), entry)].into(),
            pods: vec![pod],
            wanted,
        }
    }

    fn clear_text() -> Facts {
        facts(UpstreamTls { mode: "none".into(), ..UpstreamTls::default() }, None, None)
    }

    fn tls() -> Facts {
        let logged = UpstreamTls {
            mode: "tls".into(),
            server_name: Some(HOSTNAME.into()),
            server_identity: Some(HOSTNAME.into()),
            ..UpstreamTls::default()
        };
        let seen = EchoTls { version: "TLSv1.3".into(), server_name: HOSTNAME.into(), ..EchoTls::default() };
        let spec = json!({"validation": {"hostname": HOSTNAME}});
        facts(logged, Some(seen), Some(wanted(&spec)))
    }

    fn held(witness: &str, facts: &Facts) -> bool {
        judge(witness, facts, "backend-v2").held
    }

    #[test]
    fn gateway_and_backend_agree() {
        for (witness, facts) in [(CLEAR_TEXT, clear_text()), (VERIFIED_TLS, tls())] {
            let testimony = judge(witness, &facts, "backend-v2");
            assert!(testimony.held, "{}", testimony.summary);
            assert!(!testimony.summary.contains(POD), "a name of the day: {}", testimony.summary);
        }
    }

    #[test]
    fn tls_is_no_clear_text_whoever_says_so() {
        let mut by_backend = clear_text();
        by_backend.answers[0].tls = Some(EchoTls { version: "TLSv1.3".into(), ..EchoTls::default() });
        assert!(judge(CLEAR_TEXT, &by_backend, "backend-v2").summary.contains("saw TLSv1.3"));
        let mut by_gateway = clear_text();
        by_gateway.accounts.get_mut("id").unwrap().upstream_tls.as_mut().unwrap().mode = "mtls".into();
        assert!(judge(CLEAR_TEXT, &by_gateway, "backend-v2").summary.contains("TLS mode mtls"));
    }

    #[test]
    fn tls_counts_only_when_the_policys_name_was_verified() {
        type Spoil = fn(&mut Facts);
        let spoiled: [Spoil; 5] = [
            |facts| facts.answers[0].tls = None,
            |facts| facts.answers[0].tls.as_mut().unwrap().server_name = "other.example".into(),
            |facts| facts.accounts.get_mut("id").unwrap().upstream_tls = None,
            |facts| facts.wanted.as_mut().unwrap().names = vec!["other.example".into()],
            |facts| facts.wanted = None,
        ];
        for spoil in spoiled {
            let mut facts = tls();
            spoil(&mut facts);
            assert!(!held(VERIFIED_TLS, &facts), "{facts:?}");
        }
    }

    #[test]
    fn alternative_names_are_expected_instead_of_the_hostname() {
        let spec = json!({"validation": {"hostname": HOSTNAME, "subjectAltNames": [
            {"type": "URI", "uri": "spiffe://mesh.example/a"}, {"type": "Hostname", "hostname": "a.example"},
        ]}});
        assert_eq!(wanted(&spec).names, ["spiffe://mesh.example/a", "a.example"]);
    }

    #[test]
    fn a_pod_with_a_sidecar_a_foreign_pod_or_a_missing_line_is_against_it() {
        for witness in [CLEAR_TEXT, VERIFIED_TLS] {
            let good = || if witness == CLEAR_TEXT { clear_text() } else { tls() };
            let mut facts = good();
            facts.pods[0].sidecar = true;
            assert!(!held(witness, &facts));
            let mut facts = good();
            facts.pods.clear();
            assert!(!held(witness, &facts));
            let mut facts = good();
            facts.accounts.clear();
            assert!(!held(witness, &facts));
        }
    }
}
