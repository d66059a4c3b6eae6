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
mod tests;
