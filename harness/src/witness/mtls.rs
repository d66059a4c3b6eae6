//! `mtls-from-extension`: gateway and sidecar agree that the answers came over mutual TLS, with the
//! gateway's identity (that of its extension, where it has one) on one side and the backend's on the other.
//!
//! The gateway's side is its access log, found by request id; of a gateway that keeps none, the sidecar's
//! word has to do. The sidecar's side is its own access log: a
//! line with the caller's SPIFFE id. Behind an unnamed port the sidecar is a TCP proxy, which writes its line
//! when the connection closes, and gateways keep connections open. So the witness makes the gateway close
//! one (half a request, see [`crate::probe::Prober::hang_up`]) and waits for the line. The sidecar's TLS counters
//! are reported where this Istio keeps them. `X-Forwarded-Client-Cert` is not asked for: on such a port
//! there is none.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use kube::Client;
use serde_json::json;

use super::{BackendPod, LOG_DELAY, RECENT, SidecarEntry, backend, nothing_to_see, sidecar, testimony};
use crate::{
    event::Testimony,
    ports::{PortError, WitnessContext},
    probe::{AccessLogEntry, Answer, ProbeError, Prober, ProxyLogs, deployment_of},
};

pub(super) const NAME: &str = "mtls-from-extension";

/// How long the sidecar may take to write about a closed connection.
const SIDECAR_DELAY: Duration = Duration::from_secs(10);

/// From one lost connection to the next, while the sidecar has not written.
const HANG_UP_AGAIN: Duration = Duration::from_millis(500);

/// What the witness asks.
pub(super) struct Outside<'a> {
    pub(super) client: &'a Client,
    pub(super) prober: &'a Prober,
    /// The gateway's log, if it keeps one.
    pub(super) logs: Option<ProxyLogs>,
    /// The identity the gateway is to show.
    pub(super) spiffe_id: String,
}

/// TLS counters of a sidecar, before and after the witness made the gateway close a connection.
type Counters = (BTreeMap<String, u64>, BTreeMap<String, u64>);

/// Everything the judgement rests on.
#[derive(Debug, Default)]
struct Facts {
    /// The gateway's lines about the answers, by request id; nothing if it keeps no log.
    accounts: Option<BTreeMap<String, AccessLogEntry>>,
    /// Answers, as pod and request id.
    answers: Vec<(String, Option<String>)>,
    /// Pods behind the Service.
    pods: Vec<BackendPod>,
    /// Per pod that answered, what its sidecar wrote since the witness began.
    sidecars: BTreeMap<String, Vec<SidecarEntry>>,
    /// Per pod that answered, its TLS counters.
    counters: BTreeMap<String, Counters>,
}

pub(super) async fn hear(outside: &Outside<'_>, context: &WitnessContext) -> Result<Testimony, PortError> {
    let facts = gather(outside, context).await?;
    Ok(judge(&facts, &outside.spiffe_id, &context.backend))
}

async fn gather(outside: &Outside<'_>, context: &WitnessContext) -> Result<Facts, PortError> {
    let good: Vec<&Answer> = context.answers.iter().filter(|answer| answer.complete() == Some(200)).collect();
    let mut facts = Facts {
        answers: good
            .iter()
            .map(|answer| (answer.pod().unwrap_or_default().into(), answer.request_id()))
            .collect(),
        pods: backend::pods(outside.client, context.namespace_of_backend(), &context.backend).await?,
        ..Facts::default()
    };
    if let Some(logs) = &outside.logs {
        let ids: Vec<String> = good.iter().filter_map(|answer| answer.request_id()).collect();
        facts.accounts = Some(logs.accounts(&ids, RECENT, LOG_DELAY).await?);
    }
    let answered = facts.pods.iter().filter(|pod| facts.answers.iter().any(|(name, _)| *name == pod.name));
    let asked: Vec<BackendPod> = answered.filter(|pod| pod.sidecar).cloned().collect();
    for pod in asked {
        let (entries, counters) = ask_sidecar(outside, context, &pod, good.last().copied()).await?;
        facts.sidecars.insert(pod.name.clone(), entries);
        facts.counters.insert(pod.name, counters);
    }
    Ok(facts)
}

/// Makes the gateway close a connection and reads what the sidecar wrote about it.
async fn ask_sidecar(
    outside: &Outside<'_>,
    context: &WitnessContext,
    pod: &BackendPod,
    answer: Option<&Answer>,
) -> Result<(Vec<SidecarEntry>, Counters), PortError> {
    let spiffe_id = &outside.spiffe_id;
    let (before, known) =
        futures::join!(sidecar::tls_counters(outside.client, pod), sidecar::entries(outside.client, pod));
    let (before, known) = (before.unwrap_or_default(), known?);
    let known = known.iter().filter(|entry| entry.is_from(spiffe_id)).count();
    let address = outside.prober.frontend(&context.fqdn, None).await?.address;
    let host =
        answer.and_then(|answer| answer.echo.as_ref()).map_or(context.fqdn.as_str(), |echo| &echo.host);
    let mut entries = tokio::select! {
        entries = sidecar::entries_from(outside.client, pod, spiffe_id, known + 1, SIDECAR_DELAY) => entries?,
        Err(error) = hang_up_again_and_again(outside.prober, address, host, &context.path) => return Err(error.into()),
    };
    let after = sidecar::tls_counters(outside.client, pod).await.unwrap_or_default();
    Ok((entries.split_off(known.min(entries.len())), (before, after)))
}

/// Which pod loses a connection is the gateway's choice: of several, each comes up sooner or later.
pub(super) async fn hang_up_again_and_again(
    prober: &Prober,
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Result<Infallible, ProbeError> {
    let mut pace = tokio::time::interval(HANG_UP_AGAIN);
    loop {
        pace.tick().await;
        prober.hang_up(address, host, path).await?;
    }
}

/// What the facts amount to.
fn judge(facts: &Facts, client: &str, backend: &str) -> Testimony {
    if facts.answers.is_empty() {
        return nothing_to_see(NAME, "no answer 200 that could have come over mutual TLS");
    }
    for (name, id) in &facts.answers {
        if let Some(against) = against_gateway(facts, name, id.as_deref(), client) {
            return testimony(NAME, false, against, detail(facts));
        }
    }
    for name in pods_that_answered(facts) {
        let Some(pod) = facts.pods.iter().find(|pod| pod.name == name) else { continue };
        if !pod.sidecar {
            let summary = format!("{} has no sidecar that could have seen mutual TLS", pod.name);
            return testimony(NAME, false, summary, detail(facts));
        }
        let seen = facts.sidecars.get(name).is_some_and(|entries| !entries.is_empty());
        if !seen {
            let summary = format!(
                "the sidecar of {name} wrote of no connection from {client} within {} s after the gateway had to close one",
                SIDECAR_DELAY.as_secs()
            );
            return testimony(NAME, false, summary, detail(facts));
        }
        let counters = facts.counters.get(name).map(|(_, after)| after);
        if let Some(against) = counters.and_then(against_counters) {
            return testimony(NAME, false, format!("the sidecar of {name} {against}"), detail(facts));
        }
    }
    let server = facts.pods.first().map(BackendPod::spiffe_id).unwrap_or_default();
    let summary = match &facts.accounts {
        Some(_) => format!(
            "every answer came over mutual TLS: the gateway showed {client}, {backend} showed {server}; \
             its sidecar logged the gateway's connection under that identity"
        ),
        None => format!(
            "the sidecar of {backend} logged the gateway's connection as mutual TLS of {client}; the gateway keeps no \
             log of its own"
        ),
    };
    testimony(NAME, true, summary, detail(facts))
}

/// What the sidecar's own counters, if it keeps them, speak against mutual TLS.
fn against_counters(counters: &BTreeMap<String, u64>) -> Option<String> {
    let count = |name: &str| counters.get(name).copied();
    match (count("handshake"), count("no_certificate")) {
        (Some(0), _) => Some("counts no TLS handshake".into()),
        (_, Some(without)) if without > 0 => {
            Some(format!("counts {without} TLS connections without a client certificate"))
        }
        _ => None,
    }
}

fn pods_that_answered(facts: &Facts) -> impl Iterator<Item = &str> {
    let names: std::collections::BTreeSet<&str> =
        facts.answers.iter().map(|(name, _)| name.as_str()).collect();
    names.into_iter()
}

/// What in the gateway's own account speaks against an answer.
fn against_gateway(facts: &Facts, name: &str, id: Option<&str>, client: &str) -> Option<String> {
    let workload = deployment_of(name).unwrap_or(name);
    let Some(pod) = facts.pods.iter().find(|pod| pod.name == name) else {
        return Some(format!("an answer came from {name}, which is not behind the Service"));
    };
    let accounts = facts.accounts.as_ref()?;
    let Some(id) = id else {
        return Some(format!(
            "an answer from {workload} carries no request id to find it in the gateway's log"
        ));
    };
    let Some(entry) = accounts.get(id) else {
        return Some(format!("the gateway's log has no line for the answer {id} from {workload}"));
    };
    let server = pod.spiffe_id();
    if entry.is_mtls(client, &server) {
        return None;
    }
    let tls = entry.upstream_tls.clone().unwrap_or_default();
    let mode = if tls.mode.is_empty() { "none" } else { &tls.mode };
    Some(format!(
        "the gateway's log gives TLS mode {mode}, client {}, server {} for an answer from {workload}; expected mtls, \
         {client}, {server}",
        tls.client_identity.as_deref().unwrap_or("none"),
        tls.server_identity.as_deref().unwrap_or("none"),
    ))
}

fn detail(facts: &Facts) -> serde_json::Value {
    let sample = facts
        .accounts
        .as_ref()
        .and_then(|accounts| facts.answers.iter().rev().find_map(|(_, id)| accounts.get(id.as_deref()?)));
    let handshakes: BTreeMap<&str, serde_json::Value> = facts
        .counters
        .iter()
        .filter(|(_, (_, after))| !after.is_empty())
        .map(|(pod, (before, after))| (pod.as_str(), json!({"before": before, "after": after})))
        .collect();
    json!({
        "answers": facts.answers.len(),
        "gateway": sample,
        "sidecars": facts.sidecars,
        "tls_counters": handshakes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";
    const POD: &str = "backend-v1-6bbdbd646d-9s7qv";

    fn facts() -> Facts {
        let entry =
            AccessLogEntry::parse(include_str!("../../../fixtures/recorded/access-log-200.json")).unwrap();
        let log = include_str!("../../../fixtures/recorded/sidecar-access-log.txt");
        let pod = BackendPod {
            namespace: "isto-example-namespace".into(),
            name: POD.into(),
            address: "10.244.0.17:3000".parse().unwrap(),
            service_account: "default".into(),
            sidecar: true,
        };
        let written =
            log.lines().filter_map(SidecarEntry::parse).filter(|entry| entry.is_from(CLIENT)).collect();
        Facts {
            answers: vec![(POD.into(), Some(entry.request_id.clone())); 3],
            accounts: Some([(entry.request_id.clone(), entry)].into()),
            pods: vec![pod],
            sidecars: [(POD.into(), written)].into(),
            counters: BTreeMap::new(),
        }
    }

    #[test]
    fn gateway_and_sidecar_agree() {
        let testimony = judge(&facts(), CLIENT, "backend-v1");
        assert!(testimony.held, "{}", testimony.summary);
        assert!(!testimony.summary.contains(POD), "a name of the day in the summary: {}", testimony.summary);
    }

    #[test]
    fn the_gateways_word_alone_is_not_enough() {
        let mut facts = facts();
        facts.sidecars.insert(POD.into(), vec![]);
        let testimony = judge(&facts, CLIENT, "backend-v1");
        assert!(!testimony.held);
        assert!(testimony.summary.contains("wrote of no connection"), "{}", testimony.summary);
    }

    #[test]
    fn of_a_gateway_without_a_log_the_sidecars_word_has_to_do() {
        let mut facts = facts();
        facts.accounts = None;
        let testimony = judge(&facts, CLIENT, "backend-v1");
        assert!(testimony.held && testimony.summary.contains("keeps no log"), "{}", testimony.summary);
        facts.sidecars.clear();
        assert!(!judge(&facts, CLIENT, "backend-v1").held);
    }

    #[test]
    fn an_answer_in_clear_text_is_against_it() {
        let mut facts = facts();
        for entry in facts.accounts.iter_mut().flatten().map(|(_, entry)| entry) {
            entry.upstream_tls = None;
        }
        let testimony = judge(&facts, CLIENT, "backend-v1");
        assert!(!testimony.held);
        assert!(testimony.summary.contains("TLS mode none"), "{}", testimony.summary);
    }

    #[test]
    fn another_identity_on_either_side_is_against_it() {
        let mut facts = facts();
        facts.pods[0].service_account = "other".into();
        assert!(!judge(&facts, CLIENT, "backend-v1").held);
        assert!(!judge(&self::facts(), "spiffe://cluster.local/ns/a/sa/b", "backend-v1").held);
    }

    #[test]
    fn an_answer_without_a_line_in_the_gateways_log_is_against_it() {
        let mut facts = facts();
        facts.answers.push((POD.into(), Some("unknown".into())));
        assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("no line for the answer unknown"));
        facts.answers.last_mut().unwrap().1 = None;
        assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("no request id"));
    }

    #[test]
    fn a_pod_without_a_sidecar_cannot_have_seen_mutual_tls() {
        let mut facts = facts();
        facts.pods[0].sidecar = false;
        assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("has no sidecar"));
    }

    #[test]
    fn counters_that_know_of_no_handshake_are_against_it() {
        let counters = |handshakes, without| {
            let after = [("handshake".to_string(), handshakes), ("no_certificate".to_string(), without)];
            let mut facts = facts();
            facts.counters.insert(POD.into(), (BTreeMap::new(), after.into()));
            judge(&facts, CLIENT, "backend-v1")
        };
        assert!(counters(1, 0).held);
        assert!(counters(0, 0).summary.contains("counts no TLS handshake"));
        assert!(counters(2, 1).summary.contains("1 TLS connections without a client certificate"));
    }

    #[test]
    fn without_a_good_answer_there_is_nothing_to_prove() {
        assert!(!judge(&Facts::default(), CLIENT, "backend-v1").held);
    }
}
