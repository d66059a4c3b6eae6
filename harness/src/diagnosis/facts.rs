//! What a diagnosis rests on.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::probe::AccessLogEntry;

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
    /// Requests: the last status seen.
    pub last_status: Option<u16>,
    /// Namespace of the Gateway.
    pub namespace: String,
    /// Namespace of the backend, if it is another one.
    pub backend_namespace: Option<String>,
    /// Name of the Gateway; empty where the claim was not about one.
    pub gateway: String,
    /// Name of the backend's Service and Deployment.
    pub backend: String,
    /// Name clients use.
    pub fqdn: String,
}

impl Claim {
    /// Namespace of the backend.
    pub fn namespace_of_backend(&self) -> &str {
        self.backend_namespace.as_deref().unwrap_or(&self.namespace)
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

    /// The Gateway the claim was about; where it names none, the only one of its namespace.
    pub fn gateway(&self) -> Option<&Value> {
        match self.claim.gateway.as_str() {
            "" => self.of("gateways", &self.claim.namespace).next(),
            name => self.get("gateways", &self.claim.namespace, name),
        }
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
        let prefix = format!("{}-", self.claim.backend);
        self.of("pods", self.claim.namespace_of_backend()).filter(move |pod| {
            prefix.len() > 1 && pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(&prefix))
        })
    }

    /// The latest warnings among the events, as `Kind namespace/name: message`.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<(&str, String)> = self
            .list("events")
            .iter()
            .filter(|event| event["type"] == "Warning")
            .map(|event| {
                let object = &event["involvedObject"];
                let when = event["lastTimestamp"].as_str().or_else(|| event["eventTime"].as_str());
                let words = format!(
                    "event: {} {}: {}",
                    text(&object["kind"]),
                    path(text(&object["namespace"]), text(&object["name"])),
                    text(&event["message"])
                );
                (when.unwrap_or_default(), words)
            })
            .collect();
        warnings.sort();
        warnings.into_iter().rev().map(|(_, words)| words).collect()
    }
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
                    "spec": {"rules": [{"backendRefs": [{"name": "backend-v1", "port": 8080}]}]},
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
                namespace: namespace.into(),
                gateway: "gateway-01".into(),
                backend: "backend-v1".into(),
                fqdn: "fe-7k2m9x4q.alb.internal".into(),
                ..Claim::default()
            };
            let objects =
                objects.into_iter().map(|(plural, object)| (plural.to_string(), vec![object])).collect();
            Self { claim, objects, ..Self::default() }
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

        /// … over mutual TLS with this application protocol.
        pub(in crate::diagnosis) fn over(mut self, alpn: &str) -> Self {
            if let Some(entry) = self.access_log.last_mut() {
                let alpn = (!alpn.is_empty()).then(|| alpn.to_string());
                entry.upstream_tls =
                    Some(UpstreamTls { mode: "mtls".into(), alpn, ..UpstreamTls::default() });
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
    fn the_latest_warning_comes_first() {
        let event = |time: &str, message: &str| {
            json!({"type": "Warning", "lastTimestamp": time, "message": message,
                "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p"}})
        };
        let facts = Facts::default().with(
            "events",
            json!([event("2026-11-23T16:00:00Z", "first"), event("2026-11-23T16:01:00Z", "second")]),
        );
        assert_eq!(facts.warnings(), ["event: Pod ns/p: second", "event: Pod ns/p: first"]);
    }
}
