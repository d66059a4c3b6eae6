//! Mutual TLS with the gateway's identity, where sidecars keep no log that tells who calls: by what they let pass.
//!
//! For a moment everybody but the gateway's identity is denied at the backend's pods (AuthorizationPolicy, DENY with
//! `notPrincipals`). Sidecars know principals from client certificates alone, so whoever then gets an answer over a connection
//! made since has shown that identity over mutual TLS. That the sidecar enforces it is read in its own configuration
//! beforehand, and that the connection is new in the program's account of the other end; behind an HTTP port, where sidecars share
//! their connections to the program, the sidecar itself tells the program whose request it is (`X-Forwarded-Client-Cert`).
//!
//! Of the answers of the claim it is seen that each came through the sidecar, and the gateway's log is compared as always.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::program::{self, Written};
use super::super::{BackendPod, LOG_DELAY, RECENT, backend, nothing_to_see, testimony, trouble};
use super::{AT_ONCE, HANG_UP_AGAIN, LOOKED_INTO, NAME, Outside, Seen};
use crate::probe::envoy;
use meshproof_lab::cluster::owner;
use meshproof_model::event::Testimony;
use meshproof_model::vantage::Vantage;
use meshproof_run::ports::{PortError, WitnessContext};
use meshproof_run::probe::{Answer, Ask};

/// For a policy to be in force at a sidecar, or no longer: one push of istiod's.
const PUSHED: Duration = Duration::from_secs(8);
/// From one look at a sidecar's configuration to the next.
const LOOK: Duration = Duration::from_millis(200);
/// So many answers have to come over connections that were made since.
const WANTED: usize = 5;
/// For so many to come: a gateway may use others for a while.
const ASKED: Duration = Duration::from_secs(8);
/// A sidecar's listeners.
const LISTENERS: &str = "config_dump?resource=dynamic_listeners";
/// One question to a sidecar.
const QUESTION: Duration = Duration::from_secs(5);

/// Everything the judgement rests on.
#[derive(Debug, Default)]
struct Facts {
    pods: Vec<BackendPod>,
    /// Answers of the claim.
    claimed: Vec<Seen>,
    /// What the gateway's own log has against them, if anything.
    against_gateway: Option<String>,
    /// Pods whose sidecar did not take the policy in time.
    not_in_force: Vec<String>,
    /// Answers while everybody else was denied: who it was sent to, and what the sidecar says of the client.
    answers: Vec<While>,
    programs: BTreeMap<String, Vec<Written>>,
}

/// An answer while everybody else was denied.
#[derive(Debug, Default)]
struct While {
    good: bool,
    summary: String,
    seen: Seen,
    /// The client, as the sidecar of an HTTP port tells the program.
    forwarded: Option<String>,
}

pub(in super::super) async fn hear(
    outside: &Outside<'_>,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let good = context.answers.iter().filter(|a| a.complete() == Some(200) && a.echo.is_some());
    let good: Vec<&Answer> = good.rev().take(LOOKED_INTO).collect();
    let mut facts = Facts {
        claimed: good.iter().map(|answer| Seen::of(answer)).collect(),
        pods: backend::pods(outside.client, context.namespace_of_backend(), &context.backend).await?,
        ..Facts::default()
    };
    if facts.claimed.is_empty() || facts.pods.iter().any(|pod| !pod.sidecar) {
        return Ok(judge(&facts, &outside.spiffe_id, &context.backend));
    }
    facts.against_gateway = gateways_word(outside, &facts, &good).await?;
    let namespace = context.namespace_of_backend();
    let Some(selector) = selector(outside, namespace, &context.backend).await? else {
        let why = format!(
            "Service {namespace}/{} selects no pods by labels that a policy could name",
            context.backend
        );
        return Ok(nothing_to_see(NAME, why));
    };
    let policy = Policy::make(outside, namespace, &selector).await?;
    let seen = while_others_are_denied(outside, context, &policy, &good, &mut facts).await;
    // Whatever came of it: the next step finds everything as it was.
    policy.remove(outside, &facts.pods).await?;
    seen?;
    for pod in &facts.pods {
        facts.programs.insert(pod.name.clone(), program::written(outside.client, pod).await?);
    }
    Ok(judge(&facts, &outside.spiffe_id, &context.backend))
}

/// What the gateway's log, if it keeps one, has against the answers of the claim.
async fn gateways_word(
    outside: &Outside<'_>,
    facts: &Facts,
    good: &[&Answer],
) -> Result<Option<String>, PortError> {
    let Some(logs) = &outside.logs else { return Ok(None) };
    let ids: Vec<String> = good.iter().filter_map(|answer| answer.request_id()).collect();
    let of_mtls = super::Facts {
        accounts: Some(logs.accounts(&ids, RECENT, LOG_DELAY).await?),
        identities: facts.pods.iter().map(|pod| (pod.name.clone(), pod.spiffe_id(&outside.mesh))).collect(),
        ..super::Facts::default()
    };
    let against = facts.claimed.iter().find_map(|seen| {
        super::against_gateway(&of_mtls, &seen.pod, seen.request_id.as_deref(), &outside.spiffe_id)
    });
    Ok(against)
}

async fn while_others_are_denied(
    outside: &Outside<'_>,
    context: &WitnessContext,
    policy: &Policy,
    good: &[&Answer],
    facts: &mut Facts,
) -> Result<(), PortError> {
    for pod in &facts.pods {
        if !policy.is_as_wanted(outside, pod, true).await? {
            facts.not_in_force.push(pod.name.clone());
        }
    }
    if !facts.not_in_force.is_empty() {
        return Ok(());
    }
    let address = outside.prober.frontend(&context.fqdn, None).await?.address;
    let host = good.iter().find_map(|answer| answer.echo.as_ref()).map_or(context.fqdn.as_str(), |e| &e.host);
    let url = format!("http://{host}{}", context.path);
    let deadline = Instant::now() + ASKED;
    let mut pace = interval(HANG_UP_AGAIN);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while facts.new_connections().len() < WANTED && Instant::now() < deadline {
        pace.tick().await;
        try_join_all((0..AT_ONCE).map(|_| outside.prober.hang_up(address, host, &context.path))).await?;
        let ask = Ask::get(url.as_str()).connecting_to(address);
        let answer = outside.prober.send(Vantage::Outside, &ask).await?;
        let forwarded =
            answer.echo.as_ref().and_then(|echo| echo.header("x-forwarded-client-cert")).map(str::to_owned);
        facts.answers.push(While {
            good: answer.complete() == Some(200) && answer.echo.is_some(),
            summary: answer.summary(),
            seen: Seen::of(&answer),
            forwarded,
        });
    }
    Ok(())
}

impl Facts {
    /// Answers of a time when everybody else was denied, over connections that were made in it.
    fn new_connections(&self) -> Vec<&While> {
        let before: BTreeSet<SocketAddr> = self.claimed.iter().filter_map(|seen| seen.peer).collect();
        let new = |answer: &&While| {
            answer.good
                && (answer.forwarded.is_some()
                    || answer.seen.peer.is_some_and(|peer| !before.contains(&peer)))
        };
        self.answers.iter().filter(new).collect()
    }
}

/// What the facts amount to.
fn judge(facts: &Facts, client: &str, backend: &str) -> Testimony {
    let against = |summary: String| testimony(NAME, false, summary, json!(null));
    if facts.claimed.is_empty() {
        return nothing_to_see(NAME, "no answer 200 that could have come over mutual TLS");
    }
    if let Some(pod) = facts.pods.iter().find(|pod| !pod.sidecar) {
        return against(format!("{} has no sidecar that could have seen mutual TLS", pod.name));
    }
    if let Some(why) = &facts.against_gateway {
        return against(why.clone());
    }
    if let Some(pod) = facts.not_in_force.first() {
        return against(format!(
            "the sidecar of {pod} did not take an AuthorizationPolicy within {} s, by which it could have been seen who calls",
            PUSHED.as_secs()
        ));
    }
    if let Some(refused) = facts.answers.iter().find(|answer| !answer.good) {
        return against(format!(
            "with everybody but {client} denied, {backend} does not answer the gateway: {}",
            refused.summary
        ));
    }
    let all = facts.claimed.iter().chain(facts.answers.iter().map(|answer| &answer.seen));
    for seen in all {
        let Some(pod) = facts.pods.iter().find(|pod| pod.name == seen.pod) else {
            return against(format!("an answer came from {}, which is not behind the Service", seen.pod));
        };
        let lines = facts.programs.get(&pod.name).into_iter().flatten().flat_map(|written| &written.lines);
        let id = seen.received_id.as_deref().unwrap_or("without an id");
        if !lines.into_iter().any(|line| seen.came(line)) {
            return against(format!(
                "the program of {} knows nothing of the request {id} that was answered in its name",
                pod.name
            ));
        }
        if !seen.peer.is_some_and(|peer| peer.ip().is_loopback()) {
            return against(format!("the request {id} came to the program of {} past its sidecar", pod.name));
        }
    }
    let new = facts.new_connections();
    if let Some(other) =
        new.iter().filter_map(|answer| answer.forwarded.as_deref()).find(|said| !names(said, client))
    {
        return against(format!("the sidecar of {backend} says that the client was {other}"));
    }
    if new.len() < WANTED {
        return against(format!(
            "with everybody but {client} denied, the gateway made {} new connections to {backend} only; wanted {WANTED}",
            new.len()
        ));
    }
    let summary = format!(
        "every answer came through the sidecar of {backend}, and with everybody but {client} denied there it went on answering the \
         gateway over new connections; it keeps no log that tells who calls"
    );
    testimony(NAME, true, summary, json!({"answers": facts.claimed.len(), "by_policy": new.len()}))
}

/// Whether the last element of an `X-Forwarded-Client-Cert`, which the sidecar itself has written, names this client.
fn names(header: &str, client: &str) -> bool {
    let last = header.rsplit(',').next().unwrap_or_default();
    last.split(';').any(|part| part.trim().strip_prefix("URI=") == Some(client))
}

/// A policy of the witness's own.
struct Policy {
    api: Api<DynamicObject>,
    namespace: String,
    name: String,
}

impl Policy {
    async fn make(
        outside: &Outside<'_>,
        namespace: &str,
        selector: &BTreeMap<String, String>,
    ) -> Result<Self, PortError> {
        let kind = GroupVersionKind::gvk("security.istio.io", "v1", "AuthorizationPolicy");
        let resource = ApiResource::from_gvk_with_plural(&kind, "authorizationpolicies");
        let name = format!("meshproof-{}", uuid::Uuid::new_v4());
        let principal = outside.spiffe_id.trim_start_matches("spiffe://");
        let mut object = DynamicObject::new(&name, &resource).data(spec(principal, selector));
        object.metadata.labels =
            Some([(owner::LABEL.to_owned(), outside.prober.pods().run().to_owned())].into());
        let api: Api<DynamicObject> = Api::namespaced_with(outside.client.clone(), namespace, &resource);
        let parameters = PostParams { field_manager: Some(owner::MANAGER.into()), ..PostParams::default() };
        let created = api.create(&parameters, &object).await;
        created.map_err(trouble(format!("making AuthorizationPolicy {namespace}/{name}")))?;
        Ok(Self { api, namespace: namespace.to_owned(), name })
    }

    /// Takes it away and waits until no sidecar has it any more.
    async fn remove(&self, outside: &Outside<'_>, pods: &[BackendPod]) -> Result<(), PortError> {
        let doing = format!("removing AuthorizationPolicy {}/{}", self.namespace, self.name);
        self.api.delete(&self.name, &DeleteParams::default()).await.map_err(trouble(doing.clone()))?;
        for pod in pods {
            if !self.is_as_wanted(outside, pod, false).await? {
                let seen = format!("the sidecar of {} still has it after {} s", pod.name, PUSHED.as_secs());
                return Err(PortError::new(doing, seen));
            }
        }
        Ok(())
    }

    /// Whether a sidecar comes to have it, or no longer to have it, in time.
    async fn is_as_wanted(
        &self,
        outside: &Outside<'_>,
        pod: &BackendPod,
        wanted: bool,
    ) -> Result<bool, PortError> {
        let deadline = Instant::now() + PUSHED;
        loop {
            let dump = envoy::ask(outside.client, &pod.namespace, &pod.name, LISTENERS, QUESTION).await?;
            if is_in_force(&dump, &self.name) == wanted {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// By which labels a Service selects its pods: others of the namespace, a gateway's own proxies say, are not concerned.
async fn selector(
    outside: &Outside<'_>,
    namespace: &str,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, PortError> {
    let services: Api<Service> = Api::namespaced(outside.client.clone(), namespace);
    let service = services.get(name).await.map_err(trouble(format!("reading Service {namespace}/{name}")))?;
    Ok(service.spec.and_then(|spec| spec.selector).filter(|selector| !selector.is_empty()))
}

fn spec(principal: &str, selector: &BTreeMap<String, String>) -> Value {
    let others = json!({"from": [{"source": {"notPrincipals": [principal]}}]});
    json!({"spec": {"selector": {"matchLabels": selector}, "action": "DENY", "rules": [others]}})
}

/// Whether a policy is in a listener that is active, by the name that istiod gives its rules.
fn is_in_force(dump: &str, policy: &str) -> bool {
    let dump: Value = serde_json::from_str(dump).unwrap_or_default();
    let listeners = dump["configs"].as_array().into_iter().flatten();
    let rule = format!("policy[{policy}]");
    listeners.into_iter().any(|listener| listener["active_state"]["listener"].to_string().contains(&rule))
}

#[cfg(test)]
mod tests;
