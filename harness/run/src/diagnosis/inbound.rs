//! What stands between a request and the backend's program: its namespace's label, its pod's sidecar, the ports that the
//! sidecar takes, the policy it keeps. Each is looked at, none is assumed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Facts,
    facts::{items, name_of, text},
    peer, selector,
};

/// Istio's container.
pub(super) const SIDECAR: &str = "istio-proxy";

/// Namespaces into which Istio never injects.
const NEVER_INJECTED: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// The label and annotation that ask for a sidecar, or refuse one.
const INJECT: &str = "sidecar.istio.io/inject";

/// How a namespace asks for sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// `istio-injection: enabled`.
    Enabled,
    /// `istio.io/rev` alone.
    Revision(String),
    /// Not at all.
    No,
}

/// How the namespace of the backend asks for sidecars; nothing where it was not seen.
pub(super) fn membership(facts: &Facts) -> Option<Membership> {
    let namespace = facts.get("namespaces", "", facts.claim.namespace_of_backend())?;
    let labels = &namespace["metadata"]["labels"];
    Some(match (labels["istio-injection"].as_str(), labels["istio.io/rev"].as_str()) {
        (Some("enabled"), _) => Membership::Enabled,
        (None, Some(revision)) => Membership::Revision(revision.to_owned()),
        _ => Membership::No,
    })
}

/// A pod's sidecar, in either list of containers.
pub(super) fn has_sidecar(pod: &Value) -> bool {
    let spec = &pod["spec"];
    items(&spec["initContainers"])
        .iter()
        .chain(items(&spec["containers"]))
        .any(|container| container["name"] == SIDECAR)
}

/// The backend's Service.
pub(super) fn service(facts: &Facts) -> Option<&Value> {
    facts.get("services", facts.claim.namespace_of_backend(), &facts.claim.backend)
}

/// Pods that a Service selects.
pub(super) fn selected<'a>(facts: &'a Facts, service: &'a Value) -> impl Iterator<Item = &'a Value> {
    let wanted = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty());
    facts.of("pods", text(&service["metadata"]["namespace"])).filter(move |pod| {
        let carries = |(key, value): (&String, &Value)| pod["metadata"]["labels"][key] == *value;
        wanted.is_some_and(|selector| selector.iter().all(carries))
    })
}

/// Pods that requests to the backend come to: those its Service selects, or else those of its Deployment.
pub(super) fn pods(facts: &Facts) -> Vec<&Value> {
    let selected: Vec<_> =
        service(facts).map(|service| selected(facts, service).collect()).unwrap_or_default();
    if selected.is_empty() { facts.backend_pods().collect() } else { selected }
}

/// Ports of a pod, its own numbers, that requests to the backend come to: those of the Service's ports that a route of the
/// namespace names, or all of the Service's.
pub(super) fn ports(facts: &Facts, pod: &Value) -> BTreeSet<u64> {
    let Some(service) = service(facts) else { return BTreeSet::new() };
    let namespace = text(&service["metadata"]["namespace"]);
    let routed: BTreeSet<u64> = facts
        .list("httproutes")
        .iter()
        .flat_map(|route| items(&route["spec"]["rules"]).iter().map(move |rule| (route, rule)))
        .flat_map(|(route, rule)| items(&rule["backendRefs"]).iter().map(move |reference| (route, reference)))
        .filter(|(route, reference)| {
            let own = text(&route["metadata"]["namespace"]);
            reference["name"] == service["metadata"]["name"]
                && reference["namespace"].as_str().unwrap_or(own) == namespace
        })
        .filter_map(|(_, reference)| reference["port"].as_u64())
        .collect();
    let offered = items(&service["spec"]["ports"]).iter();
    let meant = offered.filter(|port| {
        routed.is_empty() || port["port"].as_u64().is_some_and(|number| routed.contains(&number))
    });
    meant.filter_map(|port| target(port, pod)).collect()
}

/// The pod's port that a Service's port leads to.
fn target(port: &Value, pod: &Value) -> Option<u64> {
    match &port["targetPort"] {
        Value::Number(number) => number.as_u64(),
        Value::String(name) => items(&pod["spec"]["containers"])
            .iter()
            .flat_map(|container| items(&container["ports"]))
            .find(|port| port["name"] == name.as_str())
            .and_then(|port| port["containerPort"].as_u64()),
        _ => port["port"].as_u64(),
    }
}

/// The annotation that takes a port out of the sidecar's hands, if there is one: `name: value`.
pub(super) fn excluded(pod: &Value, port: u64) -> Option<String> {
    let annotations = &pod["metadata"]["annotations"];
    let listed = |value: &str| value.split(',').any(|listed| listed.trim() == port.to_string());
    let (include, exclude) =
        ("traffic.sidecar.istio.io/includeInboundPorts", "traffic.sidecar.istio.io/excludeInboundPorts");
    if let Some(value) = annotations[exclude].as_str().filter(|value| listed(value)) {
        return Some(format!("{exclude}: \"{value}\""));
    }
    let value = annotations[include].as_str()?;
    (value.trim() != "*" && !listed(value)).then(|| format!("{include}: \"{value}\""))
}

/// Why a pod of a labelled namespace has no sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// It is on its node's network, where Istio injects nothing.
    HostNetwork,
    /// This field of it refuses injection.
    Refused(String),
    /// Istio leaves its namespace out.
    Namespace,
    /// No injector is there to ask.
    NoInjector,
    /// No injector's selectors take it: their names.
    NotSelected(Vec<String>),
    /// It is older than what would have injected it: in words, with both times.
    Older(String),
    /// None of these.
    Unknown,
}

/// Looks for the reason.
pub(super) fn why_bare(facts: &Facts, pod: &Value) -> Bare {
    let (metadata, namespace) = (&pod["metadata"], text(&pod["metadata"]["namespace"]));
    if pod["spec"]["hostNetwork"] == true {
        return Bare::HostNetwork;
    }
    // The label counts before the annotation.
    let asked =
        ["labels", "annotations"].iter().find_map(|field| Some((*field, metadata[*field][INJECT].as_str()?)));
    if let Some((field, value)) = asked.filter(|(_, value)| *value == "false") {
        return Bare::Refused(format!("metadata.{field}[{INJECT}]: \"{value}\""));
    }
    if NEVER_INJECTED.contains(&namespace) {
        return Bare::Namespace;
    }
    let Some(known) = facts.get("namespaces", "", namespace) else { return Bare::Unknown };
    // Where the webhooks could not be read nothing is known of them.
    if !facts.objects.contains_key("mutatingwebhookconfigurations") {
        return Bare::Unknown;
    }
    let configurations = facts.list("mutatingwebhookconfigurations").iter();
    let injectors: Vec<(&Value, &Value)> = configurations
        .flat_map(|object| items(&object["webhooks"]).iter().map(move |webhook| (object, webhook)))
        .filter(|(_, webhook)| text(&webhook["name"]).contains("sidecar-injector.istio.io"))
        .collect();
    if injectors.is_empty() {
        return Bare::NoInjector;
    }
    let takes = |webhook: &Value| {
        let mut labels = known["metadata"]["labels"].clone();
        if labels.is_null() {
            labels = Value::Object(serde_json::Map::new());
        }
        // The API server gives each namespace this label.
        labels["kubernetes.io/metadata.name"] = namespace.into();
        selector::takes(&webhook["namespaceSelector"], &labels)
            && selector::takes(&webhook["objectSelector"], &metadata["labels"])
    };
    let Some((injector, _)) = injectors.iter().find(|(_, webhook)| takes(webhook)) else {
        let names: BTreeSet<String> = injectors.iter().map(|(object, _)| name_of(object)).collect();
        return Bare::NotSelected(names.into_iter().collect());
    };
    let made = text(&metadata["creationTimestamp"]);
    let labelled = labelled_at(known);
    let since = text(&injector["metadata"]["creationTimestamp"]);
    match labelled {
        _ if made.is_empty() => Bare::Unknown,
        Some((at, manager)) if made < at => Bare::Older(format!(
            "the pod was created at {made}, and {manager} last wrote the label istio-injection of its namespace at {at}"
        )),
        _ if !since.is_empty() && made < since => Bare::Older(format!(
            "the pod was created at {made}, and the injector {} at {since}",
            name_of(injector)
        )),
        _ => Bare::Unknown,
    }
}

/// When, and by which field manager, the label that asks for sidecars was last written.
fn labelled_at(namespace: &Value) -> Option<(&str, &str)> {
    let fields = items(&namespace["metadata"]["managedFields"]).iter();
    let owners = fields.filter(|entry| {
        let labels = &entry["fieldsV1"]["f:metadata"]["f:labels"];
        !labels["f:istio-injection"].is_null() || !labels["f:istio.io/rev"].is_null()
    });
    owners.map(|entry| (text(&entry["time"]), text(&entry["manager"]))).min()
}

/// Objects that change what a sidecar does beside the policies, as far as they reach this pod.
pub(super) fn meddlers(facts: &Facts, pod: &Value) -> Vec<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let root = facts.mesh.root_namespace.as_str();
    let of = |plural: &'static str, kind: &'static str, selector: &'static str| {
        let objects = [namespace, root].into_iter().flat_map(move |from| facts.of(plural, from));
        objects.filter_map(move |object| {
            let selector = &object["spec"][selector];
            let labels = selector.get("labels").map(|labels| serde_json::json!({"matchLabels": labels}));
            let none = selector.is_null();
            let takes = labels.is_some_and(|labels| selector::takes(&labels, &pod["metadata"]["labels"]));
            (none || takes)
                .then(|| format!("{kind} {} reaches the sidecar of pod {}", name_of(object), name_of(pod)))
        })
    };
    of("envoyfilters", "EnvoyFilter", "workloadSelector")
        .chain(of("sidecars", "Sidecar", "workloadSelector"))
        .collect()
}

/// A port of a pod of the backend with the policy that decides about it, the first where the policy is none of these.
pub(super) fn decided<'a>(
    facts: &'a Facts,
    but: impl Fn(peer::Mode) -> bool,
) -> Option<(&'a Value, u64, peer::Effective<'a>)> {
    pods(facts).into_iter().filter(|pod| has_sidecar(pod)).find_map(|pod| {
        ports(facts, pod)
            .into_iter()
            .filter(|port| excluded(pod, *port).is_none())
            .map(|port| (pod, port, peer::effective(facts, pod, port)))
            .find(|(.., effective)| but(effective.mode))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(metadata: Value) -> Value {
        let mut pod = json!({"metadata": {"namespace": "shop", "name": "backend-a", "labels": {"app": "backend"},
            "creationTimestamp": "2026-11-23T16:00:00Z"}, "spec": {"containers": [{"name": "c", "ports":
            [{"name": "web", "containerPort": 3000}]}]}});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            pod["metadata"][key] = value.clone();
        }
        pod
    }

    fn cluster(label_written: &str, injector: &str) -> Facts {
        let namespace = json!([{"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}, "managedFields":
            [{"manager": "kubectl-label", "time": label_written, "fieldsV1": {"f:metadata": {"f:labels": {"f:istio-injection": {}}}}}]}}]);
        let enabled = json!({"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]});
        let not_refused = json!({"matchExpressions": [{"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}]});
        let webhook = json!([{"metadata": {"name": "istio-sidecar-injector", "creationTimestamp": injector}, "webhooks":
            [{"name": "namespace.sidecar-injector.istio.io", "namespaceSelector": enabled, "objectSelector": not_refused}]}]);
        Facts::default().with("namespaces", namespace).with("mutatingwebhookconfigurations", webhook)
    }

    #[test]
    fn a_missing_sidecar_is_explained_by_what_was_looked_at() {
        let early = || cluster("2026-11-23T15:00:00Z", "2026-11-23T14:00:00Z");
        let mut host = pod(json!({}));
        host["spec"]["hostNetwork"] = true.into();
        assert_eq!(why_bare(&early(), &host), Bare::HostNetwork);
        let label = pod(json!({"labels": {"sidecar.istio.io/inject": "false"}}));
        assert_eq!(
            why_bare(&early(), &label),
            Bare::Refused("metadata.labels[sidecar.istio.io/inject]: \"false\"".into())
        );
        let annotation = pod(json!({"annotations": {"sidecar.istio.io/inject": "false"}}));
        assert!(
            matches!(why_bare(&early(), &annotation), Bare::Refused(field) if field.contains("annotations"))
        );
        assert_eq!(
            why_bare(&early(), &pod(json!({}))),
            Bare::Unknown,
            "older than neither label nor injector"
        );
        let late = cluster("2026-11-23T17:00:00Z", "2026-11-23T14:00:00Z");
        assert!(
            matches!(why_bare(&late, &pod(json!({}))), Bare::Older(why) if why.contains("kubectl-label") && why.contains("17:00:00Z"))
        );
        let injector = cluster("2026-11-23T15:00:00Z", "2026-11-23T18:00:00Z");
        assert!(
            matches!(why_bare(&injector, &pod(json!({}))), Bare::Older(why) if why.contains("istio-sidecar-injector at"))
        );
        let none = early().with("mutatingwebhookconfigurations", json!([]));
        assert_eq!(why_bare(&none, &pod(json!({}))), Bare::NoInjector);
        let mut unseen = early();
        unseen.objects.remove("mutatingwebhookconfigurations");
        assert_eq!(why_bare(&unseen, &pod(json!({}))), Bare::Unknown, "what was not read tells nothing");
        let by_revision = json!([{"metadata": {"name": "istio-sidecar-injector-1-28"}, "webhooks": [{"name":
            "rev.namespace.sidecar-injector.istio.io", "namespaceSelector": {"matchLabels": {"istio.io/rev": "1-28"}}}]}]);
        let other = early().with("mutatingwebhookconfigurations", by_revision);
        assert_eq!(
            why_bare(&other, &pod(json!({}))),
            Bare::NotSelected(vec!["istio-sidecar-injector-1-28".into()])
        );
    }

    #[test]
    fn ports_are_the_pods_own() {
        let service = |port: Value| {
            let service = json!([{"metadata": {"namespace": "shop", "name": "backend"}, "spec": {"selector": {"app": "backend"},
                "ports": [port, {"port": 9090, "targetPort": 9091}]}}]);
            let route = json!([{"metadata": {"namespace": "shop"}, "spec": {"rules": [{"backendRefs": [{"name": "backend", "port": 8080}]}]}}]);
            let mut facts = Facts::default().with("services", service).with("httproutes", route);
            facts.claim.namespace = "shop".into();
            facts.claim.backend = "backend".into();
            ports(&facts, &pod(json!({}))).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(service(json!({"port": 8080, "targetPort": 3000})), [3000]);
        assert_eq!(service(json!({"port": 8080, "targetPort": "web"})), [3000]);
        assert_eq!(service(json!({"port": 8080})), [8080]);
        assert_eq!(service(json!({"port": 80, "targetPort": 3000})), [0; 0], "no route names it");
    }

    #[test]
    fn ports_that_the_sidecar_does_not_take_are_told_by_the_annotation() {
        let with = |name: &str, value: &str| {
            let name = format!("traffic.sidecar.istio.io/{name}");
            excluded(&pod(json!({"annotations": {name: value}})), 3000)
        };
        assert_eq!(
            with("excludeInboundPorts", "15020, 3000").unwrap(),
            "traffic.sidecar.istio.io/excludeInboundPorts: \"15020, 3000\""
        );
        assert_eq!(with("excludeInboundPorts", "30001"), None);
        assert_eq!(with("includeInboundPorts", "*"), None);
        assert_eq!(with("includeInboundPorts", "3000"), None);
        assert!(with("includeInboundPorts", "").is_some() && with("includeInboundPorts", "8080").is_some());
        assert_eq!(excluded(&pod(json!({})), 3000), None);
    }
}
