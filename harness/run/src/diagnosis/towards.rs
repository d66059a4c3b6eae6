//! Causes that keep a request from the program behind a sidecar.
//!
//! What lies between is looked at link by link: the namespace's label, the pod's sidecar, the ports that the sidecar takes,
//! the policy that decides, the configuration that the sidecar holds, who may come in. A link that is broken keeps every
//! right gateway out, by itself. If one is, it is the cause; if several are, none is singled out, and all are told.

use serde_json::Value;

use super::{
    Facts,
    account::{account, failed},
    backend, diagnosis, extension,
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
        if extension::has(facts, pod) { "extension-without-sidecar" } else { "backend-without-sidecar" },
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
pub(super) mod tests;
