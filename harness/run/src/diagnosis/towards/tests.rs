//! Each link on the way to a backend, broken.

use serde_json::json;

use super::*;
use crate::diagnosis::diagnose;
use crate::diagnosis::held::tests::dump;
use crate::diagnosis::tests::{Provoked, provoked};

const POD: &str = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";

fn pod(sidecar: bool, metadata: Value, spec: Value) -> Value {
    let container = if sidecar { "istio-proxy" } else { "istio-init" };
    let mut pod = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z",
            "labels": {"app": "backend-v1"}, "creationTimestamp": "2026-11-23T16:00:00Z"},
        "spec": {"containers": [{"name": "backend-v1"}], "initContainers": [{"name": container}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}]);
    for (into, from) in [("metadata", metadata), ("spec", spec)] {
        for (key, value) in from.as_object().into_iter().flatten() {
            pod[0][into][key] = value.clone();
        }
    }
    pod
}

fn refused(facts: Facts) -> Facts {
    facts.expecting(200).answered(503, "upstream_tls_handshake_failed")
}

/// A gateway of which nothing is known but what it answered.
fn silent(facts: Facts) -> Facts {
    let mut facts = refused(facts);
    facts.access_log.clear();
    facts
}

fn policies(spec: Value) -> Value {
    json!([
        {"metadata": {"namespace": "isto-example-namespace", "name": "default"}, "spec": {"mtls": {"mode": "STRICT"}}},
        {"metadata": {"namespace": "isto-example-namespace", "name": "exception"}, "spec": spec},
    ])
}

fn port_disabled() -> Value {
    policies(json!({"selector": {"matchLabels": {"app": "backend-v1"}}, "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"8080": {"mode": "DISABLE"}}}))
}

fn plain() -> Value {
    json!([{"metadata": {"name": "isto-example-namespace", "labels": {}}}])
}

fn stale_sidecar() -> Facts {
    let mut facts = Facts::sample();
    facts.sidecars.insert(POD.into(), dump(8080, &[true, false], "2026-11-23T15:00:00Z"));
    facts.with(
        "deployments",
        json!([{"metadata": {"namespace": "istio-system", "name": "istiod", "labels": {"app": "istiod"}},
        "status": {}}]),
    )
}

pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
    let labelled = json!({"labels": {"app": "backend-v1", "sidecar.istio.io/inject": "true"}});
    let revision =
        json!([{"metadata": {"name": "isto-example-namespace", "labels": {"istio.io/rev": "1-28"}}}]);
    let sample = Facts::sample;
    let reset = |facts: Facts| facts.expecting(200).answered(503, "upstream_reset");
    let excluded = json!({"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}});
    let disable =
        policies(json!({"selector": {"matchLabels": {"app": "backend-v1"}}, "mtls": {"mode": "DISABLE"}}));
    vec![
        provoked(
            "pod-injected-by-its-own-label",
            POD,
            reset(sample().with("namespaces", plain()).with("pods", pod(true, labelled, json!({})))),
        ),
        provoked(
            "namespace-labelled-by-revision",
            "isto-example-namespace",
            reset(sample().with("namespaces", revision)),
        ),
        provoked(
            "host-network",
            POD,
            refused(sample().with("pods", pod(false, json!({}), json!({"hostNetwork": true})))),
        ),
        provoked(
            "backend-without-sidecar",
            POD,
            refused(sample().with("pods", pod(false, json!({}), json!({})))),
        ),
        provoked("port-not-intercepted", POD, refused(sample().with("pods", pod(true, excluded, json!({}))))),
        provoked(
            "port-level-mtls",
            "isto-example-namespace/exception (spec.portLevelMtls[8080].mode)",
            refused(
                sample()
                    .with("pods", pod(true, json!({}), json!({})))
                    .with("peerauthentications", port_disabled()),
            ),
        ),
        provoked(
            "peer-authentication-not-strict",
            "isto-example-namespace/exception (spec.mtls.mode)",
            refused(
                sample().with("pods", pod(true, json!({}), json!({}))).with("peerauthentications", disable),
            ),
        ),
        provoked(
            "no-strict-peer-authentication",
            "isto-example-namespace",
            refused(sample().with("peerauthentications", json!([]))),
        ),
        provoked("sidecar-out-of-date", POD, refused(stale_sidecar())),
    ]
}

#[test]
fn a_gateway_without_a_log_is_diagnosed_from_the_clusters_side() {
    let port = Facts::sample()
        .with("pods", pod(true, json!({}), json!({})))
        .with("peerauthentications", port_disabled());
    assert_eq!(diagnose(&silent(port)).id, "port-level-mtls");
    let host = Facts::sample().with("pods", pod(false, json!({}), json!({"hostNetwork": true})));
    let diagnosis = diagnose(&silent(host));
    assert_eq!(diagnosis.id, "host-network");
    assert!(
        diagnosis.next.contains("hostNetwork") && !diagnosis.next.contains("rollout restart"),
        "{diagnosis:?}"
    );
    assert_eq!(diagnose(&silent(Facts::sample())).id, "unknown", "all that was looked at is in order");
}

#[test]
fn a_program_with_a_certificate_of_its_own_needs_no_sidecar() {
    let mounted = json!({"volumes": [{"name": "tls", "secret": {"secretName": "itself-tls"}}]});
    let of = |kind: &str| {
        let secret = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "itself-tls"}, "type": kind}]);
        let pods = pod(false, json!({}), mounted.clone());
        diagnose(&refused(Facts::sample().with("pods", pods).with("secrets", secret))).id
    };
    assert_eq!(of("kubernetes.io/tls"), "unknown");
    assert_eq!(of("Opaque"), "backend-without-sidecar");
}

#[test]
fn a_claim_about_pods_that_lack_their_sidecar_is_explained_as_well() {
    let of = |facts: Facts| {
        let mut facts = facts;
        facts.claim.word = "pods".into();
        facts.claim.seen = "backend-v1-6c8f9d7b54-q2w8z is 1/1 Running, wanted 2/2 Running".into();
        let bare = json!({"name": "backend-v1-6c8f9d7b54-q2w8z", "ready": "1/1", "wanted": "2/2"});
        facts.claim.detail = json!({"namespace": "isto-example-namespace", "differing": [bare]});
        diagnose(&facts).id
    };
    let own = json!({"namespace": "azure-alb-system", "name": "alb-controller-istio-extension-7cdd476d4b-4gl2f",
        "labels": {"sidecar.istio.io/inject": "false"}});
    let mut of_extension = Facts::sample().with("pods", pod(false, own, json!({})));
    of_extension.claim.word = "pods".into();
    let bare =
        json!({"name": "alb-controller-istio-extension-7cdd476d4b-4gl2f", "ready": "1/1", "wanted": "2/2"});
    of_extension.claim.detail = json!({"namespace": "azure-alb-system", "differing": [bare]});
    let of_extension = of_extension.with("namespaces", json!([{"metadata": {"name": "azure-alb-system"}}]));
    assert_eq!(diagnose(&of_extension).id, "extension-without-sidecar");
    let host = pod(false, json!({}), json!({"hostNetwork": true}));
    assert_eq!(of(Facts::sample().with("pods", host)), "host-network");
    assert_eq!(of(Facts::sample().with("pods", pod(false, json!({}), json!({})))), "backend-without-sidecar");
    let bare = Facts::sample().with("pods", pod(false, json!({}), json!({}))).with("namespaces", plain());
    assert_eq!(of(bare), "namespace-label-missing");
}

#[test]
fn a_refusal_for_another_reason_than_the_wanted_one_is_explained() {
    let facts = Facts::sample()
        .with("pods", pod(true, json!({}), json!({})))
        .with("peerauthentications", port_disabled());
    let mut facts = facts.expecting(503).answered(503, "upstream_tls_handshake_failed");
    facts.claim.expected_reason = Some("upstream_reset".into());
    assert_eq!(diagnose(&facts).id, "port-level-mtls");
    facts.claim.expected_reason = Some("upstream_tls_handshake_failed".into());
    assert!(broken(&facts).is_empty(), "it failed as it was to");
}

#[test]
fn several_causes_are_told_and_none_is_named() {
    let excluded = json!({"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}});
    let mut pods = pod(true, excluded, json!({}));
    let mut other = pod(true, json!({}), json!({}));
    other[0]["metadata"]["name"] = "backend-v1-6c8f9d7b54-aaaaa".into();
    pods.as_array_mut().unwrap().push(other[0].clone());
    let facts = Facts::sample().with("pods", pods).with("peerauthentications", port_disabled());
    let diagnosis = diagnose(&refused(facts));
    assert_eq!(diagnosis.id, "unknown");
    let told = diagnosis.because.join("\n");
    assert!(told.contains("excludeInboundPorts") && told.contains("spec.portLevelMtls[8080].mode"), "{told}");
}

#[test]
fn what_the_gateway_says_it_did_rules_out_what_does_not_fit_it() {
    let plain = || Facts::sample().with("namespaces", plain()).expecting(200).answered(503, "upstream_reset");
    assert_eq!(diagnose(&plain()).id, "namespace-label-missing");
    assert_eq!(diagnose(&plain().over("")).id, "unknown", "it spoke mutual TLS all the same");
}

#[test]
fn an_istiod_that_is_away_is_told_with_the_sidecar_that_waits_for_it() {
    let diagnosis = diagnose(&refused(stale_sidecar()));
    assert_eq!(diagnosis.id, "sidecar-out-of-date");
    assert!(diagnosis.because[2].contains("istio-system/istiod has no ready replica"), "{diagnosis:?}");
    let mut fresh = stale_sidecar();
    fresh.sidecars.insert(POD.into(), dump(8080, &[true], "2026-11-23T15:00:00Z"));
    assert_eq!(diagnose(&refused(fresh)).id, "unknown");
}

#[test]
fn a_policy_that_does_not_reach_the_pod_is_told_as_such() {
    let elsewhere = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "default"},
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "mtls": {"mode": "STRICT"}}}]);
    let diagnosis = diagnose(&refused(Facts::sample().with("peerauthentications", elsewhere)));
    assert_eq!(diagnosis.id, "no-strict-peer-authentication");
    assert!(diagnosis.because[2].contains("spec.selector does not select"), "{diagnosis:?}");
}

#[test]
fn a_policy_is_not_blamed_where_mutual_tls_did_not_fail() {
    for (status, reason) in [(504, "upstream_timeout"), (503, "no_client_certificate"), (503, "overloaded")] {
        let facts = Facts::sample().with("peerauthentications", json!([])).expecting(200);
        assert!(broken(&facts.answered(status, reason)).is_empty(), "{reason}");
    }
}
