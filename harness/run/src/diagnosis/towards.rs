//! Causes that keep a request from the program behind a sidecar.
//!
//! What lies between is looked at link by link: the namespace's label, the pod's sidecar, the ports that the sidecar takes,
//! the policy that decides, the configuration that the sidecar holds, who may come in. A link that is broken keeps every
//! right gateway out, by itself. If one is, it is the cause; if several are, none is singled out, and all are told.

use serde_json::Value;

use super::{
    Facts,
    account::{account, failed},
    backend, diagnosis,
    facts::{items, name_of, text},
    held,
    inbound::{self, Bare, Membership},
    mesh,
    peer::{self, Mode, Reach},
};
use meshproof_model::event::Diagnosis;

/// Ids of [`singled_out`].
pub(super) const BROKEN: &[&str] = &[
    "pod-injected-by-its-own-label",
    "namespace-labelled-by-revision",
    "host-network",
    "backend-without-sidecar",
    "port-not-intercepted",
    "port-level-mtls",
    "peer-authentication-not-strict",
    "no-strict-peer-authentication",
    "sidecar-out-of-date",
    "authorization-denied",
];

/// The one link that is broken.
pub(super) fn singled_out(facts: &Facts) -> Option<Diagnosis> {
    let mut broken = broken(facts);
    (broken.len() == 1).then(|| broken.remove(0))
}

/// Every link that is broken between the gateway and the backend.
pub(super) fn broken(facts: &Facts) -> Vec<Diagnosis> {
    if !failed(facts) {
        return Vec::new();
    }
    let in_the_way =
        [unlabelled(facts), bare(facts), not_intercepted(facts), policy(facts), out_of_date(facts)];
    // Who is refused by name has been understood: what a sidecar says of it outweighs what could be in the way.
    match backend::authorization_denied(facts) {
        Some(denied) if backend::denial(facts).is_some() => vec![denied],
        denied => in_the_way.into_iter().chain([denied]).flatten().collect(),
    }
}

/// A claim about pods that wants a sidecar where there is none: why this pod of a labelled namespace has none.
pub(super) fn pods_without_sidecars(facts: &Facts) -> Option<Diagnosis> {
    let (namespace, name) = mesh::pods_without_sidecars(facts)?;
    let labels = &facts.get("namespaces", "", namespace)?["metadata"]["labels"];
    let own = facts.get("pods", namespace, name).map_or(&Value::Null, |pod| &pod["metadata"]["labels"]);
    let asked = own["sidecar.istio.io/inject"].is_string();
    if labels["istio-injection"] != "enabled" && labels["istio.io/rev"].is_null() && !asked {
        return None;
    }
    let seen = facts.get("pods", namespace, name).filter(|pod| !inbound::has_sidecar(pod))?;
    Some(without_sidecar(facts, seen, facts.claim.seen.clone()))
}

/// Whether the gateway itself says that it spoke mutual TLS, or did not.
fn spoke_mtls(facts: &Facts) -> Option<bool> {
    let entry = facts.last_account()?;
    let mutual = entry.upstream_tls.as_ref()?.mode == "mtls";
    // Some logs know of TLS only once a handshake is done.
    (mutual || entry.reason != "upstream_tls_handshake_failed").then_some(mutual)
}

/// The sidecar wants mutual TLS, and the namespace does not carry the label by which gateways know that.
fn unlabelled(facts: &Facts) -> Option<Diagnosis> {
    let membership = inbound::membership(facts).filter(|membership| *membership != Membership::Enabled)?;
    if spoke_mtls(facts) == Some(true) {
        return None;
    }
    let (pod, _, effective) = inbound::decided(facts, |mode| mode == Mode::Strict)?;
    let namespace = text(&pod["metadata"]["namespace"]);
    let strict = effective.by.map(|by| format!("{} makes it refuse clear text", by.in_words()));
    let because = [account(facts)].into_iter().chain(strict);
    let label = format!("kubectl label namespace {namespace} istio-injection=enabled");
    if let Membership::Revision(revision) = membership {
        return Some(diagnosis(
            "namespace-labelled-by-revision",
            format!(
                "namespace {namespace} carries istio.io/rev: {revision} and not istio-injection: enabled, by which the \
                 gateway knows that its pods want mutual TLS"
            ),
            because,
            format!("{label}; it wins over istio.io/rev, so see that the default revision is the one meant"),
        ));
    }
    let inject = "sidecar.istio.io/inject";
    let asked = ["labels", "annotations"].iter().find(|field| pod["metadata"][**field][inject] == "true");
    let field = match asked {
        Some(field) => format!("metadata.{field}[{inject}]: \"true\""),
        None => match pod["metadata"]["labels"]["istio.io/rev"].as_str() {
            Some(revision) => format!("metadata.labels[istio.io/rev]: {revision}"),
            None => return Some(mesh::label_missing(facts, namespace, because.collect())),
        },
    };
    Some(diagnosis(
        "pod-injected-by-its-own-label",
        format!(
            "pod {} has its sidecar by {field}, and its namespace carries no istio-injection: enabled, by which the gateway \
             knows that its pods want mutual TLS",
            name_of(pod)
        ),
        because,
        format!("{label}, and restart what was made before"),
    ))
}

/// The namespace is labelled, so the gateway speaks mutual TLS, but the pod has nobody to understand it.
fn bare(facts: &Facts) -> Option<Diagnosis> {
    if inbound::membership(facts)? != Membership::Enabled || spoke_mtls(facts) == Some(false) {
        return None;
    }
    // A program that has a certificate of its own may well understand TLS.
    let bare = |pod: &&Value| !inbound::has_sidecar(pod) && !has_certificate(facts, pod);
    let pod = inbound::pods(facts).into_iter().find(bare)?;
    Some(without_sidecar(facts, pod, account(facts)))
}

/// Whether a certificate is mounted into a pod.
fn has_certificate(facts: &Facts, pod: &Value) -> bool {
    let namespace = text(&pod["metadata"]["namespace"]);
    items(&pod["spec"]["volumes"]).iter().any(|volume| {
        let name = text(&volume["secret"]["secretName"]);
        facts.get("secrets", namespace, name).is_some_and(|secret| secret["type"] == "kubernetes.io/tls")
    })
}

/// The diagnosis for a pod of a labelled namespace that has no sidecar, seen by this.
fn without_sidecar(facts: &Facts, pod: &Value, seen: String) -> Diagnosis {
    let namespace = text(&pod["metadata"]["namespace"]);
    let restart = format!("restart {}, which asks the injector again", workload(facts, pod));
    let (why, next) = match inbound::why_bare(facts, pod) {
        Bare::HostNetwork => {
            return diagnosis(
                "host-network",
                format!("pod {} is on its node's network (spec.hostNetwork: true), where Istio injects no sidecar", name_of(pod)),
                [seen, "its namespace is labelled, so the gateway speaks mutual TLS, which the program does not".to_owned()],
                format!(
                    "take spec.template.spec.hostNetwork out of the workload ({}), which makes new pods; a restart alone \
                     changes nothing",
                    workload(facts, pod)
                ),
            );
        }
        Bare::Refused(field) => (
            format!("it refuses injection: {field}"),
            format!("take that out of the pod template of {}, which makes new pods", workload(facts, pod)),
        ),
        Bare::Namespace => (
            format!("Istio never injects into namespace {namespace}"),
            "move the workload to a namespace of its own".to_owned(),
        ),
        Bare::NoInjector => (
            "there is no injector: no MutatingWebhookConfiguration of Istio's".to_owned(),
            format!("install Istio's control plane, then {restart}"),
        ),
        Bare::NotSelected(injectors) => (
            format!("the selectors of no injector take it: {}", injectors.join(", ")),
            "make the namespace's labels and the injectors' namespaceSelector and objectSelector meet (a revision's injector \
             wants istio.io/rev, or a tag `default`), then restart it"
                .to_owned(),
        ),
        Bare::Older(why) => (why, restart),
        Bare::Unknown => (
            "why it has none is not known: it forbids no injection, and is no older than its namespace's label and the injector"
                .to_owned(),
            format!("read istiod's log and the events of the pod's ReplicaSet; or {restart}"),
        ),
    };
    diagnosis(
        "backend-without-sidecar",
        format!("pod {} has no sidecar, which it should have to take part in the mesh", name_of(pod)),
        [seen, why],
        next,
    )
}

/// Kind and name of what makes the pod, as far as its name tells.
fn workload(facts: &Facts, pod: &Value) -> String {
    match crate::probe::deployment_of(text(&pod["metadata"]["name"])) {
        Some(name) => format!("Deployment {}/{name}", text(&pod["metadata"]["namespace"])),
        None => format!("what makes the pods of Service {}", facts.claim.backend),
    }
}

/// The sidecar is there, and connections to the port pass it by.
fn not_intercepted(facts: &Facts) -> Option<Diagnosis> {
    if inbound::membership(facts)? != Membership::Enabled || spoke_mtls(facts) == Some(false) {
        return None;
    }
    let (pod, port, annotation) =
        inbound::pods(facts).into_iter().filter(|pod| inbound::has_sidecar(pod)).find_map(|pod| {
            let mut ports = inbound::ports(facts, pod).into_iter();
            ports.find_map(|port| Some((pod, port, inbound::excluded(pod, port)?)))
        })?;
    Some(diagnosis(
        "port-not-intercepted",
        format!("port {port} of pod {} passes its sidecar by: {annotation}", name_of(pod)),
        [
            account(facts),
            "mutual TLS comes to the program as it is, and no policy of the mesh is about it".to_owned(),
        ],
        format!(
            "take the port out of that annotation in the pod template of {}, which makes new pods",
            workload(facts, pod)
        ),
    ))
}

/// The sidecar does not insist on mutual TLS: it passes TLS without an Istio ALPN on to the program as it is.
fn policy(facts: &Facts) -> Option<Diagnosis> {
    if inbound::membership(facts)? != Membership::Enabled || spoke_mtls(facts) == Some(false) {
        return None;
    }
    let (pod, port, effective) = inbound::decided(facts, |mode| mode != Mode::Strict)?;
    let mode = effective.mode.word();
    let what = match effective.mode {
        Mode::Disable => "a sidecar that is to take no mutual TLS passes it on to the program as it is",
        _ => "a PERMISSIVE sidecar passes TLS without an Istio ALPN on to the program as it is",
    };
    let mut because = vec![account(facts), what.to_owned()];
    because.extend(peer::without_effect(facts, pod, port));
    let Some(by) = effective.by else {
        return Some(diagnosis(
            "no-strict-peer-authentication",
            format!("no PeerAuthentication makes port {port} of pod {} STRICT", name_of(pod)),
            because,
            "apply the document's PeerAuthentication (default, STRICT), or give it time to reach the sidecar",
        ));
    };
    let id = if by.reach == Reach::Port { "port-level-mtls" } else { "peer-authentication-not-strict" };
    Some(diagnosis(
        id,
        format!("{} makes port {port} of pod {} {mode}", by.in_words(), name_of(pod)),
        because,
        format!(
            "set {} of PeerAuthentication {} to STRICT, or delete that policy",
            by.field,
            name_of(by.policy)
        ),
    ))
}

/// The policies say STRICT, and the sidecar has not heard of it.
fn out_of_date(facts: &Facts) -> Option<Diagnosis> {
    let (pod, port, effective) = inbound::decided(facts, |mode| mode == Mode::Strict)?;
    stale(facts, pod, port, &effective)
}

/// The sidecar holds another policy than the one that decides.
pub(super) fn stale(
    facts: &Facts,
    pod: &Value,
    port: u64,
    effective: &peer::Effective<'_>,
) -> Option<Diagnosis> {
    let held = held::held(facts, pod, port).filter(|held| held.mode != effective.mode)?;
    let by = match &effective.by {
        Some(by) => by.in_words(),
        None => "Istio's default, without a policy,".to_owned(),
    };
    let istiod = facts
        .list("deployments")
        .iter()
        .find(|deployment| deployment["metadata"]["labels"]["app"] == "istiod");
    let ready = |istiod: &Value| istiod["status"]["readyReplicas"].as_u64().unwrap_or_default();
    let (istiod, next) = match istiod {
        None => (
            "no Deployment of istiod was seen".to_owned(),
            "see where istiod runs, and whether the sidecar reaches it",
        ),
        Some(istiod) if ready(istiod) == 0 => (
            format!("Deployment {} has no ready replica: nobody tells sidecars of changes", name_of(istiod)),
            "bring istiod up; sidecars then catch up by themselves",
        ),
        Some(istiod) => (
            format!("Deployment {} is ready", name_of(istiod)),
            "see in istiod's log and the sidecar's whether they are connected, or give the change time to arrive",
        ),
    };
    Some(diagnosis(
        "sidecar-out-of-date",
        format!("the sidecar of pod {} still keeps port {port} {}", name_of(pod), held.mode.word()),
        [
            format!("{by} makes it {}", effective.mode.word()),
            format!("the sidecar's listener was last changed at {}", held.since),
            istiod,
        ],
        next,
    ))
}

#[cfg(test)]
pub(super) mod tests {
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
        let disable = policies(
            json!({"selector": {"matchLabels": {"app": "backend-v1"}}, "mtls": {"mode": "DISABLE"}}),
        );
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
            provoked(
                "port-not-intercepted",
                POD,
                refused(sample().with("pods", pod(true, excluded, json!({})))),
            ),
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
                    sample()
                        .with("pods", pod(true, json!({}), json!({})))
                        .with("peerauthentications", disable),
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
            facts.claim.expected =
                "pods of isto-example-namespace become 1 × backend-v1-… 2/2 within 1s".into();
            facts.claim.seen = "backend-v1-6c8f9d7b54-q2w8z is 1/1 Running, wanted 2/2 Running".into();
            diagnose(&facts).id
        };
        let host = pod(false, json!({}), json!({"hostNetwork": true}));
        assert_eq!(of(Facts::sample().with("pods", host)), "host-network");
        assert_eq!(
            of(Facts::sample().with("pods", pod(false, json!({}), json!({})))),
            "backend-without-sidecar"
        );
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
        assert!(
            told.contains("excludeInboundPorts") && told.contains("spec.portLevelMtls[8080].mode"),
            "{told}"
        );
    }

    #[test]
    fn what_the_gateway_says_it_did_rules_out_what_does_not_fit_it() {
        let plain =
            || Facts::sample().with("namespaces", plain()).expecting(200).answered(503, "upstream_reset");
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
        for (status, reason) in
            [(504, "upstream_timeout"), (503, "no_client_certificate"), (503, "overloaded")]
        {
            let facts = Facts::sample().with("peerauthentications", json!([])).expecting(200);
            assert!(broken(&facts.answered(status, reason)).is_empty(), "{reason}");
        }
    }
}
