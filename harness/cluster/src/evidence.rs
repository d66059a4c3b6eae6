//! Everything worth keeping when a claim fails, collected before any clean-up.
//!
//! ```text
//! evidence/<scenario>/
//!   index.md                        what failed, why (if the evidence says), and what is where
//!   seen.json                       what the claim saw, structured, if it tells more than a line
//!   objects/<namespace>/<kind>.yaml objects and events
//!   logs/<namespace>/<pod>/         every container, init containers and previous instances included
//!   envoy/<namespace>/<pod>/        config_dump, stats, clusters, listeners of the sidecars concerned
//!   admin/<pod>/                    the controller's world, the proxies' configuration, metrics, readiness
//!   access-log.jsonl                the proxies' access log
//! ```
//!
//! Collecting takes bounded time and space, and never keeps what looks like a credential. What cannot be had is listed,
//! not an error: a failure must be told even where the API server is half dead.

mod admin;
mod envoy;
mod folder;
mod kinds;
mod logs;
mod mesh;
mod objects;
mod redact;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use kube::Client;

use self::folder::Folder;
use self::kinds::Kind;
use crate::mesh::Mesh;
use crate::probe::ProxyLogs;
use meshproof_lab::cluster::Keeping;
use meshproof_model::diagnoses::Condition;
use meshproof_model::implementation::{Implementation, about_gateway};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_run::diagnosis::{Answerer, Claim, Facts, Names, diagnose};
use meshproof_run::ports::{Evidence, EvidenceCollector, EvidenceRequest};
use meshproof_run::probe::Answer;

/// Where Istio is unless somebody has put it elsewhere: looked into if nobody says where it is.
const ISTIO: &str = "istio-system";

/// Collecting takes no longer than this in all.
const LIMIT: Duration = Duration::from_secs(45);

/// One question to the API server, a pod or a sidecar.
const QUESTION: Duration = Duration::from_secs(8);

/// Finding out where Istio is, and which is responsible: everything else waits for it.
const WHERE: Duration = Duration::from_secs(3);

/// So many questions at a time.
const PARALLEL: usize = 8;

/// How far back the proxies' access log is read for the diagnosis.
const RECENT: Duration = Duration::from_secs(180);

/// Collects evidence from a cluster.
pub struct Collector {
    client: Client,
    implementation: Arc<Implementation>,
    keep: Keeping,
}

impl Collector {
    /// A collector for the cluster of `client`. What the diagnosis needs is looked at in any case, and not kept.
    pub fn new(client: Client, implementation: Arc<Implementation>, keep: Keeping) -> Self {
        Self { client, implementation, keep }
    }

    /// Namespaces of everybody in the mesh: those of the control planes there are, and of the policies for all of it.
    async fn istio(&self) -> BTreeSet<String> {
        let meshes = tokio::time::timeout(WHERE, crate::mesh::all(&self.client)).await;
        let meshes = meshes.ok().and_then(Result::ok).unwrap_or_default();
        let found: BTreeSet<String> =
            meshes.into_iter().flat_map(|mesh| [mesh.namespace, mesh.root_namespace]).collect();
        if found.is_empty() { [ISTIO.to_owned()].into() } else { found }
    }

    fn kept(&self, namespaces: &BTreeSet<String>, istio: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        match &self.keep {
            Keeping::All => None,
            Keeping::Own => {
                let own = namespaces.iter().filter(|namespace| !istio.contains(*namespace));
                Some(own.cloned().collect())
            }
            Keeping::Only(only) => Some(only.iter().cloned().collect()),
        }
    }

    /// Namespaces to look into: the scenario's, the implementation's, Istio's and the harness's.
    fn namespaces(&self, request: &EvidenceRequest, istio: &BTreeSet<String>) -> BTreeSet<String> {
        let own = &self.implementation.namespaces;
        let witness = request.witness.as_ref();
        let about =
            witness.into_iter().flat_map(|about| [about.namespace.as_str(), about.namespace_of_backend()]);
        let object = request.about.as_ref().map(namespace_of).unwrap_or_default();
        let all = request.namespaces.iter().chain(own).map(String::as_str).chain(about).chain([object]);
        let all = all.map(str::to_owned);
        let all = all.chain(self.conditions().filter_map(Condition::namespace).map(str::to_owned));
        // Where kind's load-balancer addresses come from, next to Istio.
        let others = std::iter::once("meshproof-system".to_owned()).chain(istio.iter().cloned());
        all.chain(others).filter(|namespace| !namespace.is_empty()).collect()
    }

    /// What the causes that the pack and the gateway's file know are recognised by.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.implementation.diagnoses.iter().flat_map(|cause| &cause.when)
    }

    /// Kinds that only they look at.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for condition in self.conditions() {
            if let Condition::Object { kind, .. } = condition {
                let kind = Kind::of(kind);
                if !kind.is_collected() && !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        kinds
    }

    async fn collect(&self, request: &EvidenceRequest) -> Evidence {
        let mut facts = Facts {
            claim: claim(request, &self.implementation.namespaces),
            names: Names::of(&self.implementation),
            implementation: self.implementation.namespaces.clone(),
            known: self.implementation.diagnoses.clone(),
            ..Facts::default()
        };
        facts.identity = self.identity(&facts.claim);
        let until = tokio::time::Instant::now() + LIMIT;
        let (istio, mesh) = tokio::join!(self.istio(), self.mesh(request, &facts.claim));
        let namespaces = self.namespaces(request, &istio);
        let mut folder = Folder::new(&request.directory, self.kept(&namespaces, &istio));
        if !request.detail.is_null() {
            folder.write("seen.json", &format!("{:#}", request.detail));
        }
        // What the diagnosis needs comes first, what is bulky last: time may run out.
        let gathering = async {
            objects::collect(&self.client, &namespaces, &self.kinds(), &mut facts.objects, &mut folder).await;
            facts.mesh = mesh.map_or_else(|| mesh::settings(facts.list("configmaps")), mesh::of);
            facts.look_for_backend();
            facts.proxies = self.proxies(&facts);
            self.access_log(&mut facts, &mut folder).await;
            logs::collect(&self.client, &mut facts, &mut folder).await;
            let own: Vec<_> =
                self.implementation.namespaces.iter().filter(|ns| folder.keeps(ns)).cloned().collect();
            admin::collect(&self.client, &own, &facts, &mut folder).await;
            envoy::collect(&self.client, request, &mut facts, &mut folder).await;
        };
        let in_time = tokio::time::timeout_at(until, gathering).await.is_ok();
        let mut diagnosis = diagnose(&facts);
        if !in_time {
            folder.missing(format!("what was not collected within {} s", LIMIT.as_secs()));
            // What seems not to be there may only not have been seen.
            diagnosis
                .because
                .push(format!("it rests on what could be collected within {} s", LIMIT.as_secs()));
        }
        folder.index(request, &diagnosis);
        let (files, missing) = folder.into_parts();
        Evidence { files, diagnosis: Some(diagnosis), missing }
    }

    /// The control plane that is responsible for the backend, wherever it is; nothing if it cannot be asked for in time.
    async fn mesh(&self, request: &EvidenceRequest, claim: &Claim) -> Option<Mesh> {
        let about =
            (request.witness.is_some() || request.about.is_some()).then(|| claim.namespace_of_backend());
        let namespace = about.or(request.namespaces.first().map(String::as_str)).unwrap_or_default();
        let asked = crate::mesh::of_namespace(&self.client, namespace);
        tokio::time::timeout(WHERE, asked).await.ok()?.ok()?
    }

    /// Who the gateway concerned is to be.
    fn identity(&self, claim: &Claim) -> String {
        let (namespace, name) = gateway_of(claim);
        self.implementation.identity_of(namespace, name).unwrap_or_default()
    }

    /// Addresses of the pods of the data plane of the gateway concerned.
    fn proxies(&self, facts: &Facts) -> Vec<String> {
        let proxies = &self.implementation.proxies;
        let (namespace, name) = gateway_of(&facts.claim);
        let selector = about_gateway(&proxies.selector, namespace, name);
        let wanted: Vec<_> = selector.split(',').filter_map(|label| label.split_once('=')).collect();
        let own = about_gateway(&proxies.namespace, namespace, name);
        facts
            .of("pods", &own)
            .filter(|pod| wanted.iter().all(|(key, value)| pod["metadata"]["labels"][*key] == *value))
            .filter_map(|pod| Some(pod["status"]["podIP"].as_str()?.to_owned()))
            .collect()
    }

    async fn access_log(&self, facts: &mut Facts, folder: &mut Folder) {
        let proxies = &self.implementation.proxies;
        let (namespace, gateway) = gateway_of(&facts.claim);
        if gateway.is_empty() && proxies.differ_by_gateway() {
            return;
        }
        let Some(logs) = ProxyLogs::of(&self.client, proxies, namespace, gateway) else { return };
        match tokio::time::timeout(QUESTION, logs.recent(RECENT)).await {
            Ok(Ok(entries)) => {
                let lines: Vec<String> =
                    entries.iter().filter_map(|entry| serde_json::to_string(entry).ok()).collect();
                // It is the log of the implementation's pods.
                if folder.keeps(&proxies.namespace.replace("${gateway.namespace}", namespace)) {
                    folder.write("access-log.jsonl", &lines.join("\n"));
                }
                facts.access_log = entries;
            }
            Ok(Err(error)) => folder.missing(format!("access-log.jsonl: {error}")),
            Err(_) => folder.missing("access-log.jsonl: no answer in time"),
        }
    }
}

impl EvidenceCollector for Collector {
    fn collect<'a>(&'a self, request: &'a EvidenceRequest) -> BoxFuture<'a, Evidence> {
        Self::collect(self, request).boxed()
    }
}

/// Answers to questions, a few asked at a time, in the order of the questions.
fn in_parallel<'a, T: Send + 'a>(questions: Vec<BoxFuture<'a, T>>) -> BoxStream<'a, T> {
    stream::iter(questions).buffered(PARALLEL).boxed()
}

/// Namespace of an object; of a namespace, itself.
fn namespace_of(object: &ObjectRef) -> &str {
    object.namespace.as_deref().unwrap_or(if object.kind.word == "namespace" { &object.name } else { "" })
}

/// Namespace and name of the Gateway that the claim was about; nothing where it was not about one.
fn gateway_of(claim: &Claim) -> (&str, &str) {
    if claim.gateway.is_empty() { ("", "") } else { (&claim.namespace, &claim.gateway) }
}

/// What the diagnosis must know of the claim, and where: at its Gateway, or at the object that it is about. What is in the
/// implementation's own namespaces depends on what the scenario has made in its own.
fn claim(request: &EvidenceRequest, own: &[String]) -> Claim {
    let about = request.witness.as_ref();
    let last = about.and_then(|about| about.answers.last());
    let object = request.about.as_ref().filter(|_| about.is_none());
    let elsewhere = object.map(namespace_of);
    let elsewhere =
        elsewhere.filter(|namespace| !namespace.is_empty() && !own.iter().any(|known| known == namespace));
    let namespace = about.map(|about| about.namespace.as_str()).or(elsewhere);
    let named = |plural: &str| {
        let object = object.filter(|object| object.kind.plural == plural && elsewhere.is_some());
        object.map(|object| object.name.clone()).unwrap_or_default()
    };
    Claim {
        word: request.word.clone(),
        expected: request.expected.clone(),
        seen: request.seen.clone(),
        expected_status: request.expected_status,
        scenario_namespace: request.namespace.clone(),
        namespace: namespace.unwrap_or(&request.namespace).to_owned(),
        backend_namespace: about.and_then(|about| about.backend_namespace.clone()),
        gateway: about.map_or_else(|| named("gateways"), |about| about.gateway.clone()),
        route: named("httproutes"),
        backend: about.map(|about| about.backend.clone()).unwrap_or_default(),
        fqdn: about.map(|about| about.fqdn.clone()).unwrap_or_default(),
        last_status: last.and_then(|answer| answer.status),
        answered_by: last.and_then(|answer| {
            let echo = answer.echo.as_ref()?;
            Some(Answerer {
                namespace: echo.namespace.clone(),
                pod: echo.pod.clone(),
                over_tls: echo.tls.is_some(),
            })
        }),
        last_request: last.and_then(Answer::request_id),
        expected_reason: request.expected_reason.clone(),
        against: request.against.clone(),
        detail: request.detail.clone(),
        since: request.since.clone(),
        scenario_since: request.scenario_since.clone(),
        deleted: request.deleted.clone(),
    }
}

#[cfg(test)]
mod tests;
