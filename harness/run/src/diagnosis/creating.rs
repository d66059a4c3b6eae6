//! Causes that keep pods from being created, or from running where they are.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of, text},
    suspects::{is_ready, suspects},
};
use meshproof_model::event::Diagnosis;

/// What refused a pod, by words of the API server's answer: the cause's id, those words, what they mean, what to do.
const REFUSALS: &[(&str, &str, &str, &str)] = &[
    (
        "injector-unreachable",
        "sidecar-injector.istio.io",
        "Istio's sidecar injector does not answer",
        "bring istiod up (Deployment istiod in istio-system), or take the label istio-injection off the namespace",
    ),
    (
        "quota-exceeded",
        "exceeded quota",
        "the namespace's quota is used up",
        "raise the ResourceQuota, or free some of it",
    ),
    (
        "pod-security",
        "violates PodSecurity",
        "the namespace's Pod Security level forbids them",
        "lower the level (label pod-security.kubernetes.io/enforce), or use Istio's CNI plugin: istio-init needs NET_ADMIN",
    ),
    (
        "pods-refused",
        "",
        "the API server refuses them",
        "read the answer: it says which admission refused, and why",
    ),
];

/// Ids of [`pods_refused`].
pub(super) const REFUSED: &[&str] =
    &["injector-unreachable", "quota-exceeded", "pod-security", "pods-refused"];

/// A workload's pods cannot be created. Its condition counts, not its Events: those stay when all is well again.
pub(super) fn pods_refused(facts: &Facts) -> Option<Diagnosis> {
    let workloads = facts.list("deployments").iter().map(|workload| ("Deployment", workload));
    let replica_sets = facts.list("replicasets").iter().map(|workload| ("ReplicaSet", workload));
    let (kind, workload, failure) = workloads.chain(replica_sets).find_map(|(kind, workload)| {
        let failure = condition(&workload["status"]["conditions"], "ReplicaFailure")?;
        (failure["status"] == "True" && matters(facts, workload)).then_some((kind, workload, failure))
    })?;
    let message = text(&failure["message"]);
    let (id, _, why, next) = REFUSALS.iter().find(|(_, words, ..)| message.contains(words))?;
    Some(diagnosis(
        id,
        format!("pods of {kind} {} cannot be created: {why}", name_of(workload)),
        [format!("{}: {message}", text(&failure["reason"]))],
        *next,
    ))
}

/// A workload of the implementation, or one whose pods the claim needs.
fn matters(facts: &Facts, workload: &Value) -> bool {
    let answered = facts.last_account();
    if answered.is_some_and(|entry| !matches!(entry.reason.as_str(), "no_endpoint" | "no_client_certificate"))
    {
        return false;
    }
    let is_own = facts.claim.is_of_scenario(text(&workload["metadata"]["namespace"]));
    let is_needed = text(&workload["metadata"]["name"]).starts_with(&facts.claim.backend);
    !is_own || is_needed && facts.claim.word != "status"
}

/// `node-not-ready`: a pod that is not Ready is on a node that is not.
pub(super) fn node_not_ready(facts: &Facts) -> Option<Diagnosis> {
    let (pod, node, ready) = suspects(facts).filter(|pod| !is_ready(pod)).find_map(|pod| {
        let node = facts.get("nodes", "", text(&pod["spec"]["nodeName"]))?;
        let ready = condition(&node["status"]["conditions"], "Ready")?;
        (ready["status"] != "True").then_some((pod, node, ready))
    })?;
    let taints = items(&node["spec"]["taints"]).iter().map(|taint| text(&taint["key"])).collect::<Vec<_>>();
    let mut because = vec![
        format!("{}: {}", text(&ready["reason"]), text(&ready["message"])),
        format!("pod {} is on it", name_of(pod)),
    ];
    if !taints.is_empty() {
        because.push(format!("its taints: {}", taints.join(", ")));
    }
    Some(diagnosis(
        "node-not-ready",
        format!("node {} is not Ready", name_of(node)),
        because,
        "see the kubelet's log on the node (on kind: docker exec NODE journalctl -u kubelet), and whether its container runs",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    /// As the Deployment and ReplicaSet controllers write it.
    fn refused(message: &str) -> Facts {
        let deployment = json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "backend-v1"},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, "unavailableReplicas": 1, "conditions": [
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated",
                    "message": "Created new replica set \"backend-v1-6c8f9d7b54\""},
                {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                    "message": "Deployment does not have minimum availability."},
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message},
            ]},
        }]);
        let facts = Facts::sample().with("deployments", deployment).with("pods", json!([]));
        facts.expecting(200).answered(503, "no_endpoint")
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let backend = "isto-example-namespace/backend-v1";
        let pod = json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z"},
            "spec": {"nodeName": "meshproof-worker", "containers": [{"name": "backend-v1"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]},
        }]);
        let node = json!([{
            "metadata": {"name": "meshproof-worker"},
            "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status."}]},
        }]);
        vec![
            provoked(
                "injector-unreachable",
                backend,
                refused(
                    "Internal error occurred: failed calling webhook \"namespace.sidecar-injector.istio.io\": failed to call \
                 webhook: Post \"https://istiod.istio-system.svc:443/inject?timeout=10s\": dial tcp 10.96.210.4:443: \
                 connect: connection refused",
                ),
            ),
            provoked(
                "quota-exceeded",
                backend,
                refused(
                    "pods \"backend-v1-6c8f9d7b54-q2w8z\" is forbidden: exceeded quota: small, requested: pods=1, used: \
                 pods=0, limited: pods=0",
                ),
            ),
            provoked(
                "pod-security",
                backend,
                refused(
                    "pods \"backend-v1-6c8f9d7b54-q2w8z\" is forbidden: violates PodSecurity \"baseline:latest\": \
                 non-default capabilities (container \"istio-init\" must not include \"NET_ADMIN\", \"NET_RAW\" in \
                 securityContext.capabilities.add)",
                ),
            ),
            provoked(
                "pods-refused",
                backend,
                refused(
                    "pods \"backend-v1-6c8f9d7b54-\" is forbidden: error looking up service account \
                 isto-example-namespace/backend: serviceaccount \"backend\" not found",
                ),
            ),
            provoked(
                "node-not-ready",
                "meshproof-worker",
                Facts::sample()
                    .with("pods", pod)
                    .with("nodes", node)
                    .expecting(200)
                    .answered(503, "no_endpoint"),
            ),
        ]
    }

    #[test]
    fn a_workload_that_the_answer_did_not_need_is_not_at_fault() {
        let mut facts = refused("exceeded quota: small");
        facts.claim.backend = "backend-v2".into();
        assert_eq!(pods_refused(&facts), None);
        let mut facts = refused("exceeded quota: small");
        facts.access_log.clear();
        assert_eq!(pods_refused(&facts.answered(200, "ok")), None);
    }
}
