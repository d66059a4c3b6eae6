//! Causes that lie between gateway and mesh, as far as neither a request on its way nor an answer tells them.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{items, text},
    inbound::{self, Membership},
    wire::{self, How},
};
use meshproof_model::event::Diagnosis;

/// `no-client-certificate`: the gateway has no identity to show, because the extension has published none.
pub(super) fn no_client_certificate(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "no_client_certificate")?;
    let extension = facts.names.extension.as_ref()?;
    let (namespace, name) = (&extension.namespace, &extension.deployment);
    let mut because = vec![format!("the gateway's log: {} {}", last.status, last.reason)];
    because.extend(facts.names.identity.as_ref().map(|(namespace, secret)| {
        match facts.get("secrets", namespace, secret) {
            Some(_) => format!("Secret {namespace}/{secret} exists: the gateway has not received it"),
            None => format!("there is no Secret {namespace}/{secret}"),
        }
    }));
    let next = match facts.get("deployments", namespace, name) {
        None => {
            because.push(format!("there is no Deployment {namespace}/{name}"));
            format!("install chart {}", extension.release)
        }
        Some(deployment) => {
            let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
            let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
            because.push(format!("Deployment {namespace}/{name} has {ready} of {replicas} replicas ready"));
            if replicas == 0 {
                format!("scale it up: kubectl -n {namespace} scale deployment/{name} --replicas 2")
            } else {
                format!("read what its pods wait for: logs/{namespace}/{name}-…/ in the evidence")
            }
        }
    };
    Some(diagnosis(
        "no-client-certificate",
        format!("the extension ({namespace}/{name}) has published no client certificate"),
        because,
        next,
    ))
}

/// `namespace-label-missing`: the namespace is not in the mesh, so its pods get no sidecars, or the gateway speaks clear text
/// to pods of the mesh, or there is no mutual TLS that could fail.
pub(super) fn namespace_label_missing(facts: &Facts) -> Option<Diagnosis> {
    if let Some((namespace, name)) = pods_without_sidecars(facts) {
        let known = facts.get("namespaces", "", namespace)?;
        // A pod that says itself whether it wants a sidecar does not go by its namespace.
        let pod = facts.get("pods", namespace, name).unwrap_or(&Value::Null);
        if !pod["metadata"]["labels"]["sidecar.istio.io/inject"].is_null() {
            return None;
        }
        let labels = &known["metadata"]["labels"];
        let asked = labels["istio-injection"] == "enabled" || !labels["istio.io/rev"].is_null();
        return (!asked).then(|| label_missing(facts, namespace, vec![facts.claim.seen.clone()]));
    }
    // Mutual TLS was wanted, or its failure, and clear text was answered.
    let unwanted = facts.claim.expected_status.is_some_and(|status| status != 200)
        || facts.claim.against.as_deref().is_some_and(|witness| witness.starts_with("mtls-"));
    let unlabelled = inbound::membership(facts)? == Membership::No;
    let came = wire::last(facts).filter(|came| came.how == How::ClearText)?;
    (unwanted && unlabelled && facts.claim.last_status == Some(200))
        .then(|| label_missing(facts, facts.claim.namespace_of_backend(), vec![came.said]))
}

/// The diagnosis, for these reasons.
pub(super) fn label_missing(facts: &Facts, namespace: &str, mut because: Vec<String>) -> Diagnosis {
    because.push(
        "Istio's injector and the gateway's mutual TLS are for labelled namespaces only; re-applying a Namespace object \
         without labels takes them off"
            .to_string(),
    );
    let known = facts.get("namespaces", "", namespace).unwrap_or(&Value::Null);
    let last_applied = &known["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    if last_applied.as_str().is_some_and(|applied| !applied.contains("istio-injection")) {
        because.push(format!("Namespace {namespace} was last applied by kubectl, without the label"));
    }
    diagnosis(
        "namespace-label-missing",
        format!("namespace {namespace} does not carry the label istio-injection: enabled"),
        because,
        format!(
            "kubectl label namespace {namespace} istio-injection=enabled, then restart what was made without a sidecar: \
             kubectl -n {namespace} rollout restart deployment"
        ),
    )
}

/// Namespace and name of a pod of which a claim about pods wanted one more container: the sidecar.
pub(super) fn pods_without_sidecars(facts: &Facts) -> Option<(&str, &str)> {
    let detail = &facts.claim.detail;
    let namespace = detail["namespace"].as_str().filter(|_| facts.claim.word == "pods")?;
    let containers = |ready: &Value| text(ready).split_once('/')?.1.parse::<u32>().ok();
    let lacks_one = |pod: &&Value| {
        containers(&pod["wanted"])
            .zip(containers(&pod["ready"]))
            .is_some_and(|(wanted, there)| wanted.checked_sub(1) == Some(there))
    };
    let name = items(&detail["differing"]).iter().find(lacks_one)?["name"].as_str()?;
    facts.of("pods", namespace).any(|pod| !inbound::has_sidecar(pod)).then_some((namespace, name))
}

/// Ids of [`upstream_identity_mismatch`].
pub(super) const OTHER_IDENTITY: &[&str] = &["foreign-trust-domain", "upstream-identity-mismatch"];

/// The pod proved to be somebody else. Which part of its identity is another one is told where the gateway tells what it saw.
pub(super) fn upstream_identity_mismatch(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "upstream_identity_mismatch")?;
    let pod = last.upstream_pod.as_deref().unwrap_or("the pod");
    let detail = last.rest.get("detail").and_then(Value::as_str);
    let told = last.upstream_tls.as_ref().and_then(|tls| tls.server_identity.as_deref());
    // What was wanted comes first, where both are told.
    let seen = told.or_else(|| detail.and_then(|detail| spiffe_ids(detail).nth(1)));
    let wanted = wanted_of(facts, pod).or_else(|| spiffe_ids(detail?).next().map(str::to_owned));
    let mut because = vec![match detail {
        Some(detail) => format!("the gateway's log: {} {}: {detail}", last.status, last.reason),
        None => format!("the gateway's log: {} {}", last.status, last.reason),
    }];
    let parts = |id: &str| -> Vec<String> {
        id.trim_start_matches("spiffe://").split('/').map(str::to_owned).collect()
    };
    let differs = |at: usize| match (&wanted, seen) {
        (Some(wanted), Some(seen)) => parts(wanted).get(at) != parts(seen).get(at),
        _ => false,
    };
    let which: Vec<&str> = [("trust domain", 0), ("namespace", 2), ("service account", 4)]
        .into_iter()
        .filter_map(|(name, at)| differs(at).then_some(name))
        .collect();
    if !which.is_empty() {
        because.push(format!(
            "another {} than the pod's own, {}",
            which.join(" and "),
            wanted.as_deref().unwrap_or_default()
        ));
    }
    let shown = seen.unwrap_or("that is not told");
    if differs(0) {
        return Some(diagnosis(
            "foreign-trust-domain",
            format!("{pod} showed the identity {shown}, of a trust domain that is not the mesh's"),
            because,
            "see whose certificate the pod serves, and meshConfig.trustDomain of its control plane and of the gateway",
        ));
    }
    Some(diagnosis(
        "upstream-identity-mismatch",
        format!("{pod} showed the identity {shown}"),
        because,
        "compare the pod's service account with the certificate it serves (admin/…/config.json in the evidence has what \
         the gateway expects)",
    ))
}

/// The SPIFFE id that Istio gives a pod (`namespace/name`) by its service account.
fn wanted_of(facts: &Facts, pod: &str) -> Option<String> {
    let (namespace, name) = pod.split_once('/')?;
    let account = &facts.get("pods", namespace, name)?["spec"]["serviceAccountName"];
    Some(format!(
        "spiffe://{}/ns/{namespace}/sa/{}",
        facts.mesh.trust_domain,
        account.as_str().unwrap_or("default")
    ))
}

/// SPIFFE ids in a text.
fn spiffe_ids(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("spiffe://").map(|(at, _)| &text[at..]);
    starts.map(|id| {
        id.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | ')')).next().unwrap_or(id)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let backend = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";
        vec![
            provoked(
                "no-client-certificate",
                "azure-alb-system/alb-controller-istio-extension",
                Facts::sample()
                    .with("secrets", json!([]))
                    .expecting(200)
                    .answered(503, "no_client_certificate"),
            ),
            provoked(
                "namespace-label-missing",
                "isto-example-namespace",
                Facts::sample().with("namespaces", plain()).expecting(200).answered(503, "upstream_reset"),
            ),
            provoked(
                "upstream-identity-mismatch",
                backend,
                mismatch("spiffe://cluster.local/ns/isto-example-namespace/sa/other"),
            ),
            provoked(
                "foreign-trust-domain",
                "spiffe://other.example/ns/isto-example-namespace/sa/default",
                mismatch("spiffe://other.example/ns/isto-example-namespace/sa/default"),
            ),
        ]
    }

    /// What a gateway says that met another identity.
    fn mismatch(seen: &str) -> Facts {
        Facts::sample().expecting(200).answered(503, "upstream_identity_mismatch").detailed(&format!(
            "TLS handshake with 10.244.0.9:3000: expected identity spiffe://cluster.local/ns/isto-example-namespace/sa/default, \
             the certificate carries {seen}"
        ))
    }

    fn plain() -> Value {
        json!([{"metadata": {"name": "isto-example-namespace", "labels": {}}}])
    }

    fn pod(sidecar: bool) -> Value {
        let container = if sidecar { "istio-proxy" } else { "istio-init" };
        json!([{"metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z"},
            "spec": {"containers": [{"name": "backend-v1"}], "initContainers": [{"name": container}]}}])
    }

    #[test]
    fn an_extension_scaled_to_zero_is_named() {
        let facts = Facts::sample().with("secrets", json!([])).with(
            "deployments",
            json!([{"metadata": {"namespace": "azure-alb-system", "name": "alb-controller-istio-extension"}, "spec": {"replicas": 0}}]),
        );
        let diagnosis = diagnose(&facts.expecting(200).answered(503, "no_client_certificate"));
        assert_eq!(diagnosis.id, "no-client-certificate");
        assert!(
            diagnosis.next.contains("scale deployment/alb-controller-istio-extension"),
            "{}",
            diagnosis.next
        );
    }

    #[test]
    fn an_extension_that_is_not_installed_is_named() {
        let facts = Facts::sample().with("secrets", json!([])).with("deployments", json!([]));
        let diagnosis = diagnose(&facts.expecting(200).answered(503, "no_client_certificate"));
        assert_eq!(diagnosis.id, "no-client-certificate");
        assert!(diagnosis.next.contains("alb-controller-servicemesh-extension"));
    }

    #[test]
    fn a_missing_label_is_named_with_the_command_that_sets_it() {
        let facts = Facts::sample()
            .with("namespaces", json!([{"metadata": {"name": "isto-example-namespace"}}]))
            .expecting(200);
        let diagnosis = diagnose(&facts.answered(503, "upstream_reset"));
        assert_eq!(diagnosis.id, "namespace-label-missing");
        assert!(
            diagnosis.next.contains("kubectl label namespace isto-example-namespace istio-injection=enabled")
        );
    }

    #[test]
    fn clear_text_that_answers_where_mutual_tls_was_to_fail_is_told_with_what_took_the_label() {
        let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"metadata\":{}}"});
        let namespace = json!([{"metadata": {"name": "isto-example-namespace", "annotations": applied}}]);
        let facts = Facts::sample().with("namespaces", namespace).with("peerauthentications", json!([]));
        let diagnosis = diagnose(&facts.expecting(503).answered(200, "ok").over("clear text"));
        assert_eq!(diagnosis.id, "namespace-label-missing");
        assert!(diagnosis.because[2].contains("last applied by kubectl"), "{:?}", diagnosis.because);
    }

    #[test]
    fn pods_of_an_unlabelled_namespace_that_were_to_have_sidecars_are_told() {
        let mut bare = pod(false);
        bare[0]["metadata"]["namespace"] = "test-infra".into();
        let mut facts = Facts::sample().with("pods", bare).with(
            "namespaces",
            json!([{"metadata": {"name": "test-infra"}}, {"metadata": {"name": "isto-example-namespace"}}]),
        );
        facts.claim.word = "pods".into();
        facts.claim.seen = "backend-v1-6c8f9d7b54-q2w8z is 1/1 Running, wanted 2/2 Running".into();
        let bare = json!({"name": "backend-v1-6c8f9d7b54-q2w8z", "ready": "1/1", "wanted": "2/2"});
        facts.claim.detail = json!({"namespace": "test-infra", "differing": [bare]});
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "namespace-label-missing");
        assert!(diagnosis.title.contains("test-infra"), "{}", diagnosis.title);
    }

    #[test]
    fn the_part_of_an_identity_that_is_another_one_is_told() {
        let because = |seen: &str| diagnose(&mismatch(seen)).because[1].clone();
        assert!(
            because("spiffe://cluster.local/ns/isto-example-namespace/sa/other")
                .starts_with("another service account than")
        );
        assert!(because("spiffe://cluster.local/ns/other/sa/default").starts_with("another namespace than"));
        assert!(
            because("spiffe://other/ns/a/sa/b")
                .starts_with("another trust domain and namespace and service account than")
        );
        let untold = Facts::sample().expecting(200).answered(503, "upstream_identity_mismatch");
        assert_eq!(diagnose(&untold).id, "upstream-identity-mismatch");
    }
}
