//! What a diagnosis rests on.

mod routes;

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::Names;
use crate::probe::{AccessLogEntry, deployment_of};
use meshproof_model::diagnoses::KnownCause;

/// The claim that did not hold.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The vocabulary's word: `request`, `status`, `pods` …
    pub word: String,
    /// What was expected, in words.
    pub expected: String,
    /// What was seen, in words.
    pub seen: String,
    /// Requests: the status that was expected.
    pub expected_status: Option<u16>,
    /// Requests: the reason that the gateway was to give for it, in the words of its log.
    pub expected_reason: Option<String>,
    /// Requests: the last status seen.
    pub last_status: Option<u16>,
    /// Requests: who the last answer is from, if a backend gave it.
    pub answered_by: Option<Answerer>,
    /// Requests: id of the last one, as the gateway gave it.
    pub last_request: Option<String>,
    /// Requests: the witness that did not bear the answers out.
    pub against: Option<String>,
    /// What was seen, structured, if the claim tells it so.
    pub detail: Value,
    /// When the claim's step began (RFC 3339).
    pub since: String,
    /// When its scenario began (RFC 3339).
    pub scenario_since: String,
    /// Objects that the scenario has deleted before, in words.
    pub deleted: Vec<String>,
    /// Namespace of the scenario.
    pub scenario_namespace: String,
    /// Namespace of the Gateway, or of what else the claim was about; the scenario's, where that is one of the implementation's.
    pub namespace: String,
    /// Namespace of the backend, if it is another one.
    pub backend_namespace: Option<String>,
    /// Name of the Gateway; empty where the claim was not about one.
    pub gateway: String,
    /// Name of the HTTPRoute that the claim was about; empty where it was not about one.
    pub route: String,
    /// Name of the backend's Service and Deployment.
    pub backend: String,
    /// Name clients use.
    pub fqdn: String,
}

/// Words that say how requests are answered.
const ABOUT_ANSWERS: [&str; 5] = ["request", "answers", "served", "unbroken", "shell"];

impl Claim {
    /// Whether it says how requests are answered, so that the gateway's log is about it.
    pub fn is_about_answers(&self) -> bool {
        ABOUT_ANSWERS.contains(&self.word.as_str())
    }

    /// Whether a namespace is the scenario's, or the one that the claim is about.
    pub fn is_of_scenario(&self, namespace: &str) -> bool {
        [self.scenario_namespace.as_str(), self.namespace.as_str()].contains(&namespace)
    }

    /// Namespace of the backend.
    pub fn namespace_of_backend(&self) -> &str {
        self.backend_namespace.as_deref().unwrap_or(&self.namespace)
    }
}

/// A backend that says of itself that it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answerer {
    /// Namespace of its pod.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// Whether the program itself was spoken to over TLS.
    pub over_tls: bool,
}

/// What Istio's configuration says of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Namespace of its control plane.
    pub namespace: String,
    /// Namespace whose policies are about the whole mesh.
    pub root_namespace: String,
    /// Trust domain of its identities.
    pub trust_domain: String,
}

impl Default for Mesh {
    fn default() -> Self {
        let namespace = "istio-system".to_owned();
        Self { root_namespace: namespace.clone(), namespace, trust_domain: "cluster.local".into() }
    }
}

/// The end of a container's log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Namespace of its pod.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its last lines, each behind the time at which the kubelet got it; the oldest first.
    pub lines: Vec<String>,
}

impl Log {
    /// Whether it is a log of this pod.
    pub fn is_of(&self, pod: &Value) -> bool {
        let metadata = &pod["metadata"];
        metadata["name"] == self.pod.as_str() && metadata["namespace"] == self.namespace.as_str()
    }
}

/// Everything collected that rules look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The claim.
    pub claim: Claim,
    /// Objects by plural (`pods`, `gateways` …), of all namespaces collected.
    pub objects: BTreeMap<String, Vec<Value>>,
    /// The gateway's access log of the last minutes, oldest first.
    pub access_log: Vec<AccessLogEntry>,
    /// Logs of the pods concerned.
    pub logs: Vec<Log>,
    /// What Istio's configuration says of the mesh.
    pub mesh: Mesh,
    /// SPIFFE id that the gateway has to show.
    pub identity: String,
    /// Addresses of the gateway's proxies.
    pub proxies: Vec<String>,
    /// What the implementation and its parts are called.
    pub names: Names,
    /// Namespaces of the implementation.
    pub implementation: Vec<String>,
    /// Causes that the pack and the gateway's file know.
    pub known: Vec<KnownCause>,
    /// Configuration dumps of the backend's sidecars, by `namespace/pod`.
    pub sidecars: BTreeMap<String, Value>,
}

impl Facts {
    /// All objects of a kind.
    pub fn list(&self, plural: &str) -> &[Value] {
        self.objects.get(plural).map(Vec::as_slice).unwrap_or_default()
    }

    /// Objects of a kind in a namespace.
    pub fn of<'a>(&'a self, plural: &str, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        self.list(plural).iter().filter(move |object| object["metadata"]["namespace"] == namespace)
    }

    /// One object.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.list(plural).iter().find(|object| {
            let metadata = &object["metadata"];
            metadata["name"] == name && metadata["namespace"].as_str().unwrap_or_default() == namespace
        })
    }

    /// The gateway's entries about this frontend; all of them where the claim names none.
    pub fn accounts(&self) -> impl DoubleEndedIterator<Item = &AccessLogEntry> {
        let fqdn = self.claim.fqdn.as_str();
        self.access_log
            .iter()
            .filter(move |entry| fqdn.is_empty() || entry.frontend == fqdn || entry.frontend.is_empty())
    }

    /// The latest entry, whose reason is what the client saw last.
    pub fn last_account(&self) -> Option<&AccessLogEntry> {
        self.accounts().next_back()
    }

    /// Pods of the backend's Deployment.
    pub fn backend_pods(&self) -> impl Iterator<Item = &Value> {
        let backend = self.claim.backend.as_str();
        // Deployments name their pods `<name>-<hash>-<id>`, StatefulSets `<name>-<number>`.
        let is_of = move |pod: &str| {
            let number = pod.strip_prefix(backend).and_then(|rest| rest.strip_prefix('-'));
            deployment_of(pod) == Some(backend) || number.is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let pods = self.of("pods", self.claim.namespace_of_backend());
        pods.filter(move |pod| !backend.is_empty() && is_of(text(&pod["metadata"]["name"])))
    }

    /// The latest warnings among the events that belong to the claim, as `Kind namespace/name: message`: those since its
    /// scenario began, about objects that are there, of its namespaces or the implementation's.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<(&str, String)> = self
            .list("events")
            .iter()
            .filter(|event| event["type"] == "Warning" && self.belongs(event))
            .map(|event| {
                let object = &event["involvedObject"];
                let words = format!(
                    "event: {} {}: {}",
                    text(&object["kind"]),
                    path(text(&object["namespace"]), text(&object["name"])),
                    text(&event["message"])
                );
                (when(event), words)
            })
            .collect();
        warnings.sort();
        warnings.dedup();
        warnings.into_iter().rev().map(|(_, words)| words).collect()
    }

    /// Whether an Event has to do with the claim.
    fn belongs(&self, event: &Value) -> bool {
        let object = &event["involvedObject"];
        let namespace = text(&object["namespace"]);
        let claim = &self.claim;
        let own =
            [&claim.namespace, &claim.scenario_namespace, claim.namespace_of_backend()].contains(&namespace);
        let ours = own || self.implementation.iter().any(|known| known == namespace);
        let pods = self.list("pods").iter();
        let mut pods = pods.filter(|pod| pod["metadata"]["namespace"] == object["namespace"]);
        // A pod that is gone has no say in what fails now. One of the same name may be another.
        let there = object["kind"] != "Pod"
            || pods.any(|pod| {
                pod["metadata"]["name"] == object["name"]
                    && (object["uid"].is_null()
                        || pod["metadata"]["uid"].is_null()
                        || pod["metadata"]["uid"] == object["uid"])
            });
        ours && there && when(event) >= self.claim.scenario_since.as_str()
    }
}

/// When an Event was last seen.
fn when(event: &Value) -> &str {
    let series = event["series"]["lastObservedTime"].as_str();
    series
        .or_else(|| event["lastTimestamp"].as_str())
        .or_else(|| event["eventTime"].as_str())
        .unwrap_or_default()
}

/// A string, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `namespace/name` of an object.
pub(super) fn name_of(object: &Value) -> String {
    path(text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

fn path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
}

/// Elements of an array; none where there is no array.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A condition by type.
pub(super) fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a Value> {
    items(conditions).iter().find(|condition| condition["type"] == kind)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::UpstreamTls;
    use meshproof_model::implementation::Implementation;

    impl Facts {
        /// The document's sample, in order: a labelled namespace, STRICT, a Gateway with an address, a route
        /// that resolves, a backend with a sidecar, an extension that has published.
        pub(in crate::diagnosis) fn sample() -> Self {
            let namespace = "isto-example-namespace";
            let ready = json!({"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"});
            let objects = [
                (
                    "namespaces",
                    json!({"metadata": {"name": namespace, "labels": {"istio-injection": "enabled"}}}),
                ),
                (
                    "gatewayclasses",
                    json!({"metadata": {"name": "azure-alb-external"},
                    "spec": {"controllerName": "alb.networking.azure.io/alb-controller"}}),
                ),
                (
                    "gateways",
                    json!({"metadata": {"namespace": namespace, "name": "gateway-01"},
                    "spec": {"gatewayClassName": "azure-alb-external"},
                    "status": {"addresses": [{"type": "Hostname", "value": "fe-7k2m9x4q.alb.internal"}],
                        "conditions": [{"type": "Accepted", "status": "True"}]}}),
                ),
                (
                    "httproutes",
                    json!({"metadata": {"namespace": namespace, "name": "traffic-split-mesh-route"},
                    "spec": {"parentRefs": [{"name": "gateway-01"}],
                        "rules": [{"backendRefs": [{"name": "backend-v1", "port": 8080}]}]},
                    "status": {"parents": [{"conditions": [{"type": "ResolvedRefs", "status": "True"}]}]}}),
                ),
                (
                    "services",
                    json!({"metadata": {"namespace": namespace, "name": "backend-v1"},
                    "spec": {"ports": [{"port": 8080}]}}),
                ),
                (
                    "pods",
                    json!({"metadata": {"namespace": namespace, "name": "backend-v1-6c8f9d7b54-q2w8z"},
                    "spec": {"containers": [{"name": "backend-v1"}], "initContainers": [{"name": "istio-proxy"}]},
                    "status": ready}),
                ),
                (
                    "peerauthentications",
                    json!({"metadata": {"namespace": namespace, "name": "default"},
                    "spec": {"mtls": {"mode": "STRICT"}}}),
                ),
                (
                    "secrets",
                    json!({"metadata": {"namespace": "azure-alb-system",
                    "name": "alb-controller-istio-extension-identity"}}),
                ),
                (
                    "deployments",
                    json!({"metadata": {"namespace": "azure-alb-system",
                    "name": "alb-controller-istio-extension"}, "spec": {"replicas": 2}, "status": {"readyReplicas": 2}}),
                ),
            ];
            let claim = Claim {
                word: "request".into(),
                scenario_namespace: namespace.into(),
                namespace: namespace.into(),
                gateway: "gateway-01".into(),
                backend: "backend-v1".into(),
                fqdn: "fe-7k2m9x4q.alb.internal".into(),
                ..Claim::default()
            };
            let objects =
                objects.into_iter().map(|(plural, object)| (plural.to_string(), vec![object])).collect();
            let names = Names::of(&Implementation::built_in().unwrap());
            Self { claim, objects, names, ..Self::default() }
        }

        /// The gateway answered so.
        pub(in crate::diagnosis) fn answered(mut self, status: u16, reason: &str) -> Self {
            self.claim.last_status = Some(status);
            self.access_log.push(AccessLogEntry {
                frontend: self.claim.fqdn.clone(),
                status,
                reason: reason.into(),
                upstream_pod: Some("isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z".into()),
                ..AccessLogEntry::default()
            });
            self
        }

        /// … over mutual TLS with this application protocol, or in `clear text`.
        pub(in crate::diagnosis) fn over(mut self, alpn: &str) -> Self {
            let mode = if alpn == "clear text" { "none" } else { "mtls" };
            if let Some(entry) = self.access_log.last_mut() {
                let alpn = (!alpn.is_empty() && mode == "mtls").then(|| alpn.to_string());
                entry.upstream_tls = Some(UpstreamTls { mode: mode.into(), alpn, ..UpstreamTls::default() });
            }
            self
        }

        /// … and this in its entry's detail.
        pub(in crate::diagnosis) fn detailed(mut self, detail: &str) -> Self {
            if let Some(entry) = self.access_log.last_mut() {
                entry.rest.insert("detail".into(), detail.into());
            }
            self
        }

        /// A container's log ends with this line.
        pub(in crate::diagnosis) fn logged(
            mut self,
            namespace: &str,
            pod: &str,
            container: &str,
            line: &str,
        ) -> Self {
            self.logs.push(Log {
                namespace: namespace.into(),
                pod: pod.into(),
                container: container.into(),
                lines: vec![line.into()],
            });
            self
        }

        /// This status was expected.
        pub(in crate::diagnosis) fn expecting(mut self, status: u16) -> Self {
            self.claim.expected_status = Some(status);
            self
        }

        /// Replaces all objects of a kind.
        pub(in crate::diagnosis) fn with(mut self, plural: &str, objects: Value) -> Self {
            self.objects.insert(plural.into(), items(&objects).to_vec());
            self
        }
    }

    #[test]
    fn entries_of_other_frontends_do_not_count() {
        let mut facts = Facts::sample().answered(200, "ok");
        facts
            .access_log
            .push(AccessLogEntry { frontend: "fe-other.alb.internal".into(), ..AccessLogEntry::default() });
        assert_eq!(facts.last_account().map(|entry| entry.status), Some(200));
    }

    #[test]
    fn the_latest_warning_comes_first_and_only_what_belongs_to_the_claim() {
        let event = |time: &str, namespace: &str, pod: &str, message: &str| {
            json!({"type": "Warning", "lastTimestamp": time, "message": message,
                "involvedObject": {"kind": "Pod", "namespace": namespace, "name": pod, "uid": pod}})
        };
        let pod = |namespace: &str, name: &str| json!({"metadata": {"namespace": namespace, "name": name, "uid": name}});
        let mut facts = Facts::default()
            .with("pods", json!([pod("ns", "p"), pod("azure-alb-system", "c"), pod("other", "o")]))
            .with(
                "events",
                json!([
                    event("2026-11-23T16:00:00Z", "ns", "p", "first"),
                    event("2026-11-23T16:01:00Z", "ns", "p", "second"),
                    event("2026-11-23T16:02:00Z", "azure-alb-system", "c", "third"),
                    event("2026-11-23T16:03:00Z", "other", "o", "of another scenario's pod"),
                    event("2026-11-23T16:03:00Z", "azure-alb-system", "gone", "of a pod of a run before"),
                    event("2026-11-23T15:00:00Z", "ns", "p", "of a scenario before"),
                ]),
            );
        facts.claim.namespace = "ns".into();
        facts.claim.scenario_since = "2026-11-23T15:59:00Z".into();
        facts.implementation = vec!["azure-alb-system".into()];
        assert_eq!(
            facts.warnings(),
            ["event: Pod azure-alb-system/c: third", "event: Pod ns/p: second", "event: Pod ns/p: first"]
        );
    }

    #[test]
    fn a_backends_pods_are_told_from_those_of_a_longer_name() {
        let pod = |name: &str| json!({"metadata": {"namespace": "isto-example-namespace", "name": name}});
        let mut facts = Facts::sample()
            .with("pods", json!([pod("backend-6c8f9d7b54-q2w8z"), pod("backend-v2-6c8f9d7b54-q2w8z")]));
        facts.claim.backend = "backend".into();
        let names: Vec<_> = facts.backend_pods().map(name_of).collect();
        assert_eq!(names, ["isto-example-namespace/backend-6c8f9d7b54-q2w8z"]);
    }
}
