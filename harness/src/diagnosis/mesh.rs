//! Causes that lie between gateway and mesh.

use alb_api::names;
use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{items, name_of, text},
};
use crate::{event::Diagnosis, probe::AccessLogEntry};

/// Istio's root namespace, unless the mesh names another.
const ROOT_NAMESPACE: &str = "istio-system";

/// Name of the extension's Deployment.
const EXTENSION: &str = "alb-controller-istio-extension";

/// `mesh-wide-strict`: 503 was expected after the deletion, but another PeerAuthentication keeps STRICT.
pub(super) fn mesh_wide_strict(facts: &Facts) -> Option<Diagnosis> {
    if !unexpected_success(facts) {
        return None;
    }
    let strict = facts.list("peerauthentications").iter().find(|policy| {
        let namespace = text(&policy["metadata"]["namespace"]);
        is_strict(policy) && (namespace == ROOT_NAMESPACE || namespace == facts.claim.namespace_of_backend())
    })?;
    let reach =
        if strict["metadata"]["namespace"] == ROOT_NAMESPACE { "the whole mesh" } else { "the namespace" };
    Some(diagnosis(
        "mesh-wide-strict",
        format!("PeerAuthentication {} still makes {reach} STRICT", name_of(strict)),
        [
            "under STRICT every mutual TLS of the mesh is accepted, whatever its ALPN".to_string(),
            account(facts.last_account()),
        ],
        format!("delete PeerAuthentication {} as well, or expect 200 to stay", name_of(strict)),
    ))
}

/// `gateway-sends-istio-alpn`: 503 was expected, but a PERMISSIVE sidecar takes an Istio ALPN for the mesh's
/// own mutual TLS.
pub(super) fn gateway_sends_istio_alpn(facts: &Facts) -> Option<Diagnosis> {
    if !unexpected_success(facts) {
        return None;
    }
    let (entry, alpn) = facts.accounts().rev().find_map(|entry| {
        let alpn = entry.upstream_tls.as_ref()?.alpn.as_deref()?;
        alpn.split(',').any(|protocol| protocol.trim().starts_with("istio")).then_some((entry, alpn))
    })?;
    let proxies = facts.list("deployments").iter().find(|deployment| {
        items(&deployment["spec"]["template"]["spec"]["containers"]).iter().any(|container| {
            let flags =
                items(&container["args"]).iter().any(|arg| text(arg).contains("upstream-alpn-for-tests"));
            let variables = items(&container["env"]).iter().any(|variable| {
                variable["name"] == "ALB_PROXY_UPSTREAM_ALPN_FOR_TESTS" && variable["value"] != ""
            });
            flags || variables
        })
    });
    let mut because = vec![format!(
        "the gateway's log shows ALPN {alpn} with {}",
        entry.upstream_pod.as_deref().unwrap_or("the backend")
    )];
    because
        .push(format!("no PeerAuthentication makes {} STRICT any more", facts.claim.namespace_of_backend()));
    because.extend(
        proxies.map(|deployment| format!("Deployment {} sets it by its test flag", name_of(deployment))),
    );
    Some(diagnosis(
        "gateway-sends-istio-alpn",
        format!(
            "Gateway {}/{} offers an Istio ALPN, which a PERMISSIVE sidecar still takes for the mesh's own mutual TLS",
            facts.claim.namespace, facts.claim.gateway
        ),
        because,
        "take the flag off the proxy (chart value dataPlane.testing.upstreamAlpn); for gateways that mean to offer it, \
         200 is the right expectation",
    ))
}

/// `no-client-certificate`: the gateway has no identity to show, because the extension has published none.
pub(super) fn no_client_certificate(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "no_client_certificate")?;
    let namespace = names::CONTROLLER_NAMESPACE;
    let mut because = vec![account(Some(last))];
    let secret = facts.get("secrets", namespace, names::IDENTITY_SECRET);
    because.push(match secret {
        Some(_) => {
            format!("Secret {namespace}/{} exists: the gateway has not received it", names::IDENTITY_SECRET)
        }
        None => format!("there is no Secret {namespace}/{}", names::IDENTITY_SECRET),
    });
    let next = match facts.get("deployments", namespace, EXTENSION) {
        None => {
            because.push(format!("there is no Deployment {namespace}/{EXTENSION}"));
            "install chart alb-controller-servicemesh-extension".to_string()
        }
        Some(deployment) => {
            let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
            let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
            because
                .push(format!("Deployment {namespace}/{EXTENSION} has {ready} of {replicas} replicas ready"));
            if replicas == 0 {
                format!("scale it up: kubectl -n {namespace} scale deployment/{EXTENSION} --replicas 2")
            } else {
                format!("read what its pods wait for: logs/{namespace}/{EXTENSION}-…/ in the evidence")
            }
        }
    };
    Some(diagnosis(
        "no-client-certificate",
        format!("the extension ({namespace}/{EXTENSION}) has published no client certificate"),
        because,
        next,
    ))
}

/// `backend-without-sidecar`: the namespace is labelled, so the gateway speaks mutual TLS, but the pod has
/// nobody to understand it.
pub(super) fn backend_without_sidecar(facts: &Facts) -> Option<Diagnosis> {
    if !failed_towards_backend(facts) || !is_labelled(facts) {
        return None;
    }
    let pod = facts.backend_pods().find(|pod| !has_sidecar(pod))?;
    let refused = pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        || pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false";
    let why = if refused {
        "it carries sidecar.istio.io/inject: \"false\"".to_string()
    } else {
        "it was probably created before the namespace was labelled or the injector was there".to_string()
    };
    Some(diagnosis(
        "backend-without-sidecar",
        format!("pod {} has no sidecar, but its namespace is labelled for the mesh", name_of(pod)),
        [account(facts.last_account()), why],
        format!(
            "remove what forbids injection, then kubectl -n {} rollout restart deployment/{}",
            facts.claim.namespace_of_backend(),
            facts.claim.backend
        ),
    ))
}

/// `namespace-label-missing`: the namespace is not in the mesh, so the gateway speaks clear text to pods that want mutual
/// TLS, or there is no mutual TLS that could fail, or its pods get no sidecars.
pub(super) fn namespace_label_missing(facts: &Facts) -> Option<Diagnosis> {
    let claim = &facts.claim;
    let about_pods = pods_without_sidecars(facts);
    let namespace = about_pods.unwrap_or(claim.namespace_of_backend());
    let known = facts.get("namespaces", "", namespace)?;
    let wants_mtls = facts.backend_pods().any(has_sidecar) || strict_applies(facts);
    let failed =
        wants_mtls && (failed_towards_backend(facts) || claim.expected.contains("mtls-from-extension"));
    // 503 for want of mutual TLS was expected, and clear text answered.
    let no_mtls_to_fail = unexpected_success(facts) && !facts.last_account().is_some_and(over_mtls);
    if labelled(known) || !(about_pods.is_some() || failed || no_mtls_to_fail) {
        return None;
    }
    let mut because = vec![match about_pods {
        Some(_) => claim.seen.clone(),
        None => account(facts.last_account()),
    }];
    because.push(
        "Istio's injector and the gateway's mutual TLS are for labelled namespaces only; re-applying a Namespace object \
         without labels takes them off"
            .to_string(),
    );
    let last_applied = &known["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    if last_applied.as_str().is_some_and(|applied| !applied.contains(names::ISTIO_INJECTION.0)) {
        because.push(format!("Namespace {namespace} was last applied by kubectl, without the label"));
    }
    Some(diagnosis(
        "namespace-label-missing",
        format!("namespace {namespace} does not carry the label istio-injection: enabled"),
        because,
        format!(
            "kubectl label namespace {namespace} istio-injection=enabled, then restart what was made without a sidecar: \
             kubectl -n {namespace} rollout restart deployment"
        ),
    ))
}

/// The namespace of a claim about pods that wants one more container than those of that namespace have: the sidecar.
fn pods_without_sidecars(facts: &Facts) -> Option<&str> {
    let claim = &facts.claim;
    let namespace = claim.expected.strip_prefix("pods of ")?.split(' ').next()?;
    let of_two = claim.word == "pods" && claim.expected.contains(" 2/2") && claim.seen.contains(" is 1/1 ");
    (of_two && facts.of("pods", namespace).any(|pod| !has_sidecar(pod))).then_some(namespace)
}

fn over_mtls(entry: &AccessLogEntry) -> bool {
    entry.upstream_tls.as_ref().is_some_and(|tls| tls.mode == "mtls")
}

/// `upstream-identity-mismatch`: the pod proved to be somebody else.
pub(super) fn upstream_identity_mismatch(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "upstream_identity_mismatch")?;
    let shown = last.upstream_tls.as_ref().and_then(|tls| tls.server_identity.as_deref()).unwrap_or("none");
    Some(diagnosis(
        "upstream-identity-mismatch",
        format!("{} showed the identity {shown}", last.upstream_pod.as_deref().unwrap_or("the pod")),
        [account(Some(last))],
        "compare the pod's service account with what the gateway expects (admin/…/config.json in the evidence)",
    ))
}

/// `no-strict-peer-authentication`: 200 was expected, but without STRICT a sidecar does not understand mutual
/// TLS that carries no Istio ALPN.
pub(super) fn no_strict_peer_authentication(facts: &Facts) -> Option<Diagnosis> {
    let wanted_success = facts.claim.expected_status == Some(200);
    let last = facts.last_account().filter(|entry| entry.reason == "upstream_tls_handshake_failed")?;
    if !wanted_success || strict_applies(facts) {
        return None;
    }
    Some(diagnosis(
        "no-strict-peer-authentication",
        format!("no PeerAuthentication makes namespace {} STRICT", facts.claim.namespace_of_backend()),
        [
            account(Some(last)),
            "a PERMISSIVE sidecar passes TLS without an Istio ALPN on to the program as it is".to_string(),
        ],
        "apply the document's PeerAuthentication (default, STRICT), or give it time to reach the sidecar",
    ))
}

/// 503 was expected, 200 came.
fn unexpected_success(facts: &Facts) -> bool {
    facts.claim.expected_status.is_some_and(|status| status != 200) && facts.claim.last_status == Some(200)
}

/// The gateway could not get an answer from the pod.
fn failed_towards_backend(facts: &Facts) -> bool {
    facts.last_account().is_some_and(|entry| {
        matches!(
            entry.reason.as_str(),
            "upstream_tls_handshake_failed" | "upstream_reset" | "upstream_connect_failed"
        )
    })
}

fn is_labelled(facts: &Facts) -> bool {
    facts.get("namespaces", "", facts.claim.namespace_of_backend()).is_some_and(labelled)
}

fn labelled(namespace: &Value) -> bool {
    let (label, value) = names::ISTIO_INJECTION;
    namespace["metadata"]["labels"][label] == value
}

fn has_sidecar(pod: &Value) -> bool {
    let spec = &pod["spec"];
    items(&spec["initContainers"])
        .iter()
        .chain(items(&spec["containers"]))
        .any(|container| container["name"] == "istio-proxy")
}

fn is_strict(policy: &Value) -> bool {
    policy["spec"]["mtls"]["mode"] == "STRICT" && policy["metadata"]["deletionTimestamp"].is_null()
}

fn strict_applies(facts: &Facts) -> bool {
    facts.list("peerauthentications").iter().any(|policy| {
        let namespace = text(&policy["metadata"]["namespace"]);
        is_strict(policy) && (namespace == ROOT_NAMESPACE || namespace == facts.claim.namespace_of_backend())
    })
}

/// The gateway's account in words.
fn account(entry: Option<&AccessLogEntry>) -> String {
    match entry {
        Some(entry) => {
            let pod = entry.upstream_pod.as_deref().map(|pod| format!(" for {pod}")).unwrap_or_default();
            format!("the gateway's log: {} {}{pod}", entry.status, entry.reason)
        }
        None => "the gateway's log says nothing of it".to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let backend = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";
        let without = || Facts::sample().with("peerauthentications", json!([]));
        let plain = json!([{"metadata": {"name": "isto-example-namespace", "labels": {}}}]);
        vec![
            provoked(
                "mesh-wide-strict",
                "istio-system/default",
                Facts::sample()
                    .with("peerauthentications", peer_authentication("istio-system"))
                    .expecting(503)
                    .answered(200, "ok"),
            ),
            provoked(
                "gateway-sends-istio-alpn",
                "isto-example-namespace/gateway-01",
                without().expecting(503).answered(200, "ok").over("istio"),
            ),
            provoked(
                "no-client-certificate",
                "azure-alb-system/alb-controller-istio-extension",
                Facts::sample()
                    .with("secrets", json!([]))
                    .expecting(200)
                    .answered(503, "no_client_certificate"),
            ),
            provoked(
                "backend-without-sidecar",
                backend,
                Facts::sample()
                    .with("pods", pod(false))
                    .expecting(200)
                    .answered(503, "upstream_tls_handshake_failed"),
            ),
            provoked(
                "namespace-label-missing",
                "isto-example-namespace",
                Facts::sample().with("namespaces", plain).expecting(200).answered(503, "upstream_reset"),
            ),
            provoked(
                "upstream-identity-mismatch",
                backend,
                Facts::sample().expecting(200).answered(503, "upstream_identity_mismatch"),
            ),
            provoked(
                "no-strict-peer-authentication",
                "isto-example-namespace",
                without().expecting(200).answered(503, "upstream_tls_handshake_failed"),
            ),
        ]
    }

    fn peer_authentication(namespace: &str) -> Value {
        json!([{"metadata": {"namespace": namespace, "name": "default"}, "spec": {"mtls": {"mode": "STRICT"}}}])
    }

    fn pod(sidecar: bool) -> Value {
        let container = if sidecar { "istio-proxy" } else { "istio-init" };
        json!([{"metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z"},
            "spec": {"containers": [{"name": "backend-v1"}], "initContainers": [{"name": container}]}}])
    }

    #[test]
    fn an_istio_alpn_explains_a_200_that_stays_after_the_deletion() {
        let facts = Facts::sample().with("peerauthentications", json!([])).expecting(503);
        let diagnosis = diagnose(&facts.answered(200, "ok").over("istio"));
        assert_eq!(diagnosis.id, "gateway-sends-istio-alpn");
        assert!(diagnosis.because[0].contains("ALPN istio with isto-example-namespace/backend-v1"));
    }

    #[test]
    fn without_an_istio_alpn_a_200_after_the_deletion_is_not_blamed_on_it() {
        for alpn in ["", "http/1.1", "h2"] {
            let facts = Facts::sample().with("peerauthentications", json!([])).expecting(503);
            assert_eq!(diagnose(&facts.answered(200, "ok").over(alpn)).id, "unknown", "{alpn}");
        }
    }

    #[test]
    fn strict_in_the_root_namespace_explains_it_first() {
        let facts =
            Facts::sample().with("peerauthentications", peer_authentication("istio-system")).expecting(503);
        let diagnosis = diagnose(&facts.answered(200, "ok").over("istio"));
        assert_eq!(diagnosis.id, "mesh-wide-strict");
        assert!(diagnosis.title.contains("istio-system/default"));
    }

    #[test]
    fn an_extension_scaled_to_zero_is_named() {
        let facts = Facts::sample().with("secrets", json!([])).with(
            "deployments",
            json!([{"metadata": {"namespace": "azure-alb-system", "name": EXTENSION}, "spec": {"replicas": 0}}]),
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
    fn a_pod_without_a_sidecar_in_a_labelled_namespace_is_named() {
        let facts = Facts::sample().with("pods", pod(false)).expecting(200);
        let diagnosis = diagnose(&facts.answered(503, "upstream_tls_handshake_failed"));
        assert_eq!(diagnosis.id, "backend-without-sidecar");
        assert!(diagnosis.title.contains("isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z"));
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
        let diagnosis = diagnose(&facts.expecting(503).answered(200, "ok"));
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
        facts.claim.expected = "pods of test-infra become 1 × backend-v1-… 2/2 within 1s".into();
        facts.claim.seen = "backend-v1-6c8f9d7b54-q2w8z is 1/1 Running, wanted 2/2 Running".into();
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "namespace-label-missing");
        assert!(diagnosis.title.contains("test-infra"), "{}", diagnosis.title);
    }

    #[test]
    fn a_pod_with_another_identity_is_named() {
        let facts = Facts::sample().expecting(200).answered(503, "upstream_identity_mismatch");
        assert_eq!(diagnose(&facts).id, "upstream-identity-mismatch");
    }

    #[test]
    fn without_strict_a_failed_handshake_is_explained() {
        let facts = Facts::sample().with("peerauthentications", json!([])).expecting(200);
        let diagnosis = diagnose(&facts.answered(503, "upstream_tls_handshake_failed"));
        assert_eq!(diagnosis.id, "no-strict-peer-authentication");
    }
}
