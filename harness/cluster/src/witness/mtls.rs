//! `mtls-from-extension`: gateway and sidecar agree that the answers came over mutual TLS, with the
//! gateway's identity (that of its extension, where it has one) on one side and the backend's on the other.
//!
//! The gateway's side is its access log, found by request id; of a gateway that keeps none, the sidecar's
//! word has to do. The sidecar's side is its own access log: of each of the answers, and of no other, a
//! line with the caller's SPIFFE id. On an HTTP port it is found by the request's id. Behind an unnamed port the sidecar is
//! a TCP proxy: its line names the port from which it spoke to the program, and the program tells in its answer which port
//! that was. It is written when the connection closes, and gateways keep connections open. So the witness makes the gateway
//! close one after the other (half a request, see [`crate::probe::Prober::hang_up`]) until those of all answers are among
//! them. The sidecar's TLS counters
//! are reported where this Istio keeps them. `X-Forwarded-Client-Cert` is not asked for: on such a port
//! there is none.
//!
//! Where sidecars keep no log that tells all this, it is shown by a policy: [`by_policy`].

pub(super) mod by_policy;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    time::Duration,
};

use futures::future::try_join_all;
use kube::Client;
use serde_json::json;

use super::program::{self, Line, Written};
use super::{BackendPod, LOG_DELAY, RECENT, backend, nothing_to_see, sidecar, testimony};
use crate::mesh::{Mesh, SidecarEntry};
use crate::probe::{ProbeError, Prober, ProxyLogs};
use meshproof_model::event::Testimony;
use meshproof_run::ports::{PortError, WitnessContext};
use meshproof_run::probe::request_id::untraced;
use meshproof_run::probe::{AccessLogEntry, Answer, deployment_of};

pub(super) const NAME: &str = "mtls-from-extension";

/// How long the sidecar may take to write about a closed connection.
const SIDECAR_DELAY: Duration = Duration::from_secs(15);

/// So many answers of a claim are looked into, the latest: their connections are the ones that are still open.
const LOOKED_INTO: usize = 20;

/// So many connections are lost at once: a gateway may have as many open.
const AT_ONCE: usize = 4;

/// From one lost connection to the next, while the sidecar has not written.
const HANG_UP_AGAIN: Duration = Duration::from_millis(200);

/// What the witness asks.
pub(super) struct Outside<'a> {
    pub(super) client: &'a Client,
    pub(super) prober: &'a Prober,
    /// The gateway's log, if it keeps one.
    pub(super) logs: Option<ProxyLogs>,
    /// The settings of the mesh.
    pub(super) mesh: Mesh,
    /// The identity the gateway is to show.
    pub(super) spiffe_id: String,
}

/// TLS counters of a sidecar, before and after the witness made the gateway close a connection.
type Counters = (BTreeMap<String, u64>, BTreeMap<String, u64>);

/// An answer, as its traces are looked for.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Pod that answered.
    pod: String,
    /// The request's id, as the gateway tells it.
    request_id: Option<String>,
    /// The same as the program was sent it.
    received_id: Option<String>,
    /// The program's view of its client: behind a sidecar, the sidecar's own end.
    peer: Option<SocketAddr>,
}

impl Seen {
    fn of(answer: &Answer) -> Self {
        Self {
            pod: answer.pod().unwrap_or_default().into(),
            request_id: answer.request_id(),
            received_id: answer.echo.as_ref().and_then(|echo| echo.header("x-request-id")).map(untraced),
            peer: answer.echo.as_ref().and_then(|echo| echo.peer),
        }
    }

    /// Whether this is what the program wrote of the request.
    fn came(&self, line: &Line) -> bool {
        let id = line.request.as_deref().map(untraced);
        line.path.is_some() && line.peer == self.peer && id == self.received_id
    }

    /// Whether this is what the sidecar wrote of the request, or of the connection that carried it.
    fn is_in(&self, entry: &SidecarEntry) -> bool {
        match &entry.request_id {
            // The sidecar's connections to the program are shared by all requests on an HTTP port.
            Some(id) => self.received_id.as_deref() == Some(untraced(id).as_str()),
            None if entry.path.is_some() => false,
            None => {
                let local = entry.upstream_local_address.as_deref().and_then(|local| local.parse().ok());
                local.is_some() && local == self.peer
            }
        }
    }
}

/// Everything the judgement rests on.
#[derive(Debug, Default)]
struct Facts {
    /// The gateway's lines about the answers, by request id; nothing if it keeps no log.
    accounts: Option<BTreeMap<String, AccessLogEntry>>,
    answers: Vec<Seen>,
    /// Pods behind the Service.
    pods: Vec<BackendPod>,
    /// Per pod that answered, the identity that its sidecar shows.
    identities: BTreeMap<String, String>,
    /// Per pod that answered, what its sidecar wrote of connections under the gateway's identity.
    sidecars: BTreeMap<String, Vec<SidecarEntry>>,
    /// Per pod that answered, what its program wrote.
    programs: BTreeMap<String, Vec<Written>>,
    /// Per pod that answered, its TLS counters.
    counters: BTreeMap<String, Counters>,
}

pub(super) async fn hear(outside: &Outside<'_>, context: &WitnessContext) -> Result<Testimony, PortError> {
    let facts = gather(outside, context).await?;
    Ok(judge(&facts, &outside.spiffe_id, &context.backend))
}

async fn gather(outside: &Outside<'_>, context: &WitnessContext) -> Result<Facts, PortError> {
    // The answer to a HEAD does not tell whose it is.
    let telling =
        context.answers.iter().filter(|answer| answer.complete() == Some(200) && answer.echo.is_some());
    let mut good: Vec<&Answer> = telling.rev().take(LOOKED_INTO).collect();
    good.reverse();
    let mut facts = Facts {
        answers: good.iter().map(|answer| Seen::of(answer)).collect(),
        pods: backend::pods(outside.client, context.namespace_of_backend(), &context.backend).await?,
        ..Facts::default()
    };
    if let Some(logs) = &outside.logs {
        let ids: Vec<String> = good.iter().filter_map(|answer| answer.request_id()).collect();
        facts.accounts = Some(logs.accounts(&ids, RECENT, LOG_DELAY).await?);
    }
    let answered = facts.pods.iter().filter(|pod| facts.answers.iter().any(|seen| seen.pod == pod.name));
    let asked: Vec<BackendPod> = answered.filter(|pod| pod.sidecar).cloned().collect();
    facts.identities =
        facts.pods.iter().map(|pod| (pod.name.clone(), pod.spiffe_id(&outside.mesh))).collect();
    for pod in asked {
        let wanted: Vec<_> = facts.answers.iter().filter(|seen| seen.pod == pod.name).collect();
        let (entries, counters) = ask_sidecar(outside, context, &pod, &wanted, good.last().copied()).await?;
        facts.sidecars.insert(pod.name.clone(), entries);
        facts.programs.insert(pod.name.clone(), program::written(outside.client, &pod).await?);
        facts.counters.insert(pod.name, counters);
    }
    Ok(facts)
}

/// Makes the gateway close connections and reads what the sidecar wrote, until those of all answers are among it.
async fn ask_sidecar(
    outside: &Outside<'_>,
    context: &WitnessContext,
    pod: &BackendPod,
    wanted: &[&Seen],
    answer: Option<&Answer>,
) -> Result<(Vec<SidecarEntry>, Counters), PortError> {
    let (spiffe_id, form) = (&outside.spiffe_id, &outside.mesh.access_log.form);
    let before = sidecar::tls_counters(outside.client, pod).await.unwrap_or_default();
    let address = outside.prober.frontend(&context.fqdn, None).await?.address;
    let host =
        answer.and_then(|answer| answer.echo.as_ref()).map_or(context.fqdn.as_str(), |echo| &echo.host);
    let enough =
        |found: &[SidecarEntry]| wanted.iter().all(|seen| found.iter().rev().any(|entry| seen.is_in(entry)));
    let entries = tokio::select! {
        entries = sidecar::entries_until(outside.client, pod, form, spiffe_id, SIDECAR_DELAY, enough) => entries?,
        Err(error) = hang_up_again_and_again(outside.prober, address, host, &context.path) => return Err(error.into()),
    };
    let after = sidecar::tls_counters(outside.client, pod).await.unwrap_or_default();
    let of_answers = |entry: &SidecarEntry| wanted.iter().any(|seen| seen.is_in(entry));
    Ok((entries.into_iter().filter(of_answers).collect(), (before, after)))
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
        try_join_all((0..AT_ONCE).map(|_| prober.hang_up(address, host, path))).await?;
    }
}

/// What the facts amount to.
fn judge(facts: &Facts, client: &str, backend: &str) -> Testimony {
    if facts.answers.is_empty() {
        return nothing_to_see(NAME, "no answer 200 that could have come over mutual TLS");
    }
    for seen in &facts.answers {
        if let Some(against) = against_gateway(facts, &seen.pod, seen.request_id.as_deref(), client) {
            return testimony(NAME, false, against, detail(facts));
        }
    }
    let ids = facts.answers.iter().filter_map(|seen| seen.received_id.as_deref());
    if let Some(twice) = twice(ids) {
        let summary =
            format!("request {twice} is the one of two answers: one of them was not given by the program");
        return testimony(NAME, false, summary, detail(facts));
    }
    for name in pods_that_answered(facts) {
        let Some(pod) = facts.pods.iter().find(|pod| pod.name == name) else { continue };
        if !pod.sidecar {
            let summary = format!("{} has no sidecar that could have seen mutual TLS", pod.name);
            return testimony(NAME, false, summary, detail(facts));
        }
        let lines = || facts.programs.get(name).into_iter().flatten().flat_map(|written| &written.lines);
        let invented =
            facts.answers.iter().find(|seen| seen.pod == name && !lines().any(|line| seen.came(line)));
        if let Some(invented) = invented {
            let id = invented.received_id.as_deref().unwrap_or("without an id");
            let summary = format!(
                "the program of {name} knows nothing of the request {id} that was answered in its name"
            );
            return testimony(NAME, false, summary, detail(facts));
        }
        let written = facts.sidecars.get(name).map(Vec::as_slice).unwrap_or_default();
        let told = |seen: &&Seen| written.iter().any(|entry| entry.is_from(client) && seen.is_in(entry));
        let of_pod: Vec<_> = facts.answers.iter().filter(|seen| seen.pod == name).collect();
        let told = of_pod.iter().filter(|seen| told(seen)).count();
        if told < of_pod.len() {
            let summary = format!(
                "the sidecar of {name} wrote of a connection from {client} for {told} of {} answers only, within {} s \
                 during which the gateway had to close its connections",
                of_pod.len(),
                SIDECAR_DELAY.as_secs()
            );
            return testimony(NAME, false, summary, detail(facts));
        }
        let counters = facts.counters.get(name).map(|(_, after)| after);
        if let Some(against) = counters.and_then(against_counters) {
            return testimony(NAME, false, format!("the sidecar of {name} {against}"), detail(facts));
        }
    }
    let server =
        facts.pods.first().and_then(|pod| facts.identities.get(&pod.name)).cloned().unwrap_or_default();
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

/// The first of these that is there twice.
fn twice<'a>(mut ids: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut known = BTreeSet::new();
    ids.find(|id| !known.insert(*id))
}

fn pods_that_answered(facts: &Facts) -> impl Iterator<Item = &str> {
    let names: BTreeSet<&str> = facts.answers.iter().map(|seen| seen.pod.as_str()).collect();
    names.into_iter()
}

/// What in the gateway's own account speaks against an answer.
fn against_gateway(facts: &Facts, name: &str, id: Option<&str>, client: &str) -> Option<String> {
    let workload = deployment_of(name).unwrap_or(name);
    let Some(server) = facts.identities.get(name) else {
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
    if entry.is_mtls(client, server) {
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
    let sample = facts.accounts.as_ref().and_then(|accounts| {
        facts.answers.iter().rev().find_map(|seen| accounts.get(seen.request_id.as_deref()?))
    });
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
            AccessLogEntry::parse(include_str!("../../../../fixtures/recorded/access-log-200.json")).unwrap();
        let log = include_str!("../../../../fixtures/recorded/sidecar-access-log.txt");
        let pod = BackendPod {
            namespace: "isto-example-namespace".into(),
            name: POD.into(),
            address: "10.244.0.17:3000".parse().unwrap(),
            service_account: "default".into(),
            sidecar: true,
        };
        let (form, peer) = (Mesh::sample().access_log.form, "127.0.0.6:40001");
        let written = log.lines().filter_map(|line| form.parse(line)).filter(|entry| entry.is_from(CLIENT));
        let written =
            written.map(|entry| SidecarEntry { upstream_local_address: Some(peer.into()), ..entry });
        let answer = |id: &str| Seen {
            pod: POD.into(),
            request_id: Some(id.into()),
            received_id: Some(id.into()),
            peer: Some(peer.parse().unwrap()),
        };
        let lines = [entry.request_id.as_str(), "b", "unknown"].map(|id| Line {
            line: 1,
            path: Some("/".into()),
            request: Some(id.into()),
            peer: Some(peer.parse().unwrap()),
            ..Line::default()
        });
        Facts {
            answers: vec![answer(&entry.request_id), answer("b")],
            accounts: Some([("b".to_owned(), entry.clone()), (entry.request_id.clone(), entry)].into()),
            identities: [(POD.to_owned(), pod.spiffe_id(&Mesh::sample()))].into(),
            pods: vec![pod],
            sidecars: [(POD.into(), written.collect())].into(),
            programs: [(POD.into(), vec![Written { lines: lines.to_vec() }])].into(),
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
        assert!(testimony.summary.contains("for 0 of 2 answers only"), "{}", testimony.summary);
    }

    #[test]
    fn a_connection_of_another_answer_is_not_enough() {
        let mut facts = facts();
        facts.answers[1].peer = Some("127.0.0.6:40002".parse().unwrap());
        facts.programs.get_mut(POD).unwrap()[0].lines[1].peer = facts.answers[1].peer;
        let testimony = judge(&facts, CLIENT, "backend-v1");
        assert!(
            !testimony.held && testimony.summary.contains("for 1 of 2 answers only"),
            "{}",
            testimony.summary
        );
        // On an HTTP port it is the request that counts, whoever else shares the sidecar's connection.
        let request = |id: &str, entry: &SidecarEntry| SidecarEntry {
            path: Some("/".into()),
            request_id: Some(id.into()),
            ..entry.clone()
        };
        let entries = facts.sidecars.get_mut(POD).unwrap();
        let more = request("b", &entries[0]);
        entries.push(more);
        assert!(judge(&facts, CLIENT, "backend-v1").held);
        facts.sidecars.get_mut(POD).unwrap()[1].request_id = Some("c".into());
        assert!(!judge(&facts, CLIENT, "backend-v1").held);
    }

    #[test]
    fn an_answer_that_the_program_did_not_give_is_against_it() {
        let mut facts = facts();
        facts.answers[1].received_id = facts.answers[0].received_id.clone();
        let testimony = judge(&facts, CLIENT, "backend-v1");
        assert!(
            !testimony.held && testimony.summary.contains("is the one of two answers"),
            "{}",
            testimony.summary
        );
        let mut facts = self::facts();
        facts.programs.get_mut(POD).unwrap()[0].lines.remove(1);
        let testimony = judge(&facts, CLIENT, "backend-v1");
        assert!(
            !testimony.held && testimony.summary.contains("knows nothing of the request b"),
            "{}",
            testimony.summary
        );
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
        facts
            .identities
            .insert(POD.into(), "spiffe://cluster.local/ns/isto-example-namespace/sa/other".into());
        assert!(!judge(&facts, CLIENT, "backend-v1").held);
        assert!(!judge(&self::facts(), "spiffe://cluster.local/ns/a/sa/b", "backend-v1").held);
    }

    #[test]
    fn an_answer_without_a_line_in_the_gateways_log_is_against_it() {
        let mut facts = facts();
        facts.answers.push(Seen { request_id: Some("unknown".into()), ..facts.answers[0].clone() });
        assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("no line for the answer unknown"));
        facts.answers.last_mut().unwrap().request_id = None;
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
