//! Causes that keep a pod from starting, from staying, or from becoming Ready.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{condition, name_of, text},
    suspects::{is_ready, needs_pods, statuses, suspects},
};
use meshproof_model::event::Diagnosis;

/// Pods that are not Ready although the claim needs them.
fn unready(facts: &Facts) -> impl Iterator<Item = &Value> {
    let needed = needs_pods(facts);
    suspects(facts).filter(move |pod| needed && !is_ready(pod))
}

/// The latest Event of this reason about a pod.
fn event<'a>(facts: &'a Facts, pod: &'a Value, reasons: &[&str]) -> Option<&'a Value> {
    let when = |event: &Value| {
        let time = event["lastTimestamp"].as_str().or_else(|| event["eventTime"].as_str());
        time.unwrap_or_default().to_owned()
    };
    facts
        .of("events", text(&pod["metadata"]["namespace"]))
        .filter(|event| event["involvedObject"]["name"] == pod["metadata"]["name"])
        .filter(|event| reasons.contains(&text(&event["reason"])))
        .max_by_key(|event| when(event))
}

/// `pod-unschedulable`: no node takes the pod.
pub(super) fn unschedulable(facts: &Facts) -> Option<Diagnosis> {
    let (pod, scheduled) = unready(facts).find_map(|pod| {
        let scheduled = condition(&pod["status"]["conditions"], "PodScheduled")?;
        (scheduled["status"] == "False" && scheduled["reason"] == "Unschedulable").then_some((pod, scheduled))
    })?;
    Some(diagnosis(
        "pod-unschedulable",
        format!("no node takes pod {}", name_of(pod)),
        [text(&scheduled["message"]).to_owned()],
        "free what the message says is lacking, or ask for less (resources.requests, nodeSelector, affinity)",
    ))
}

/// `pod-evicted`: the node threw the pod out.
pub(super) fn evicted(facts: &Facts) -> Option<Diagnosis> {
    let pod = unready(facts).find(|pod| pod["status"]["reason"] == "Evicted")?;
    Some(diagnosis(
        "pod-evicted",
        format!("pod {} was evicted from its node", name_of(pod)),
        [text(&pod["status"]["message"]).trim().to_owned()],
        "give the node room (disk, memory); `meshproof doctor` says what the host has",
    ))
}

/// `volume-not-mounted`: a volume cannot be set up.
pub(super) fn volume_not_mounted(facts: &Facts) -> Option<Diagnosis> {
    let (pod, event) = unready(facts).find_map(|pod| {
        let waits = statuses(pod).any(|s| {
            matches!(text(&s["state"]["waiting"]["reason"]), "ContainerCreating" | "PodInitializing")
        });
        Some((pod, event(facts, pod, &["FailedMount", "FailedAttachVolume"])?)).filter(|_| waits)
    })?;
    Some(diagnosis(
        "volume-not-mounted",
        format!("pod {} waits for a volume", name_of(pod)),
        [format!("{}: {}", text(&event["reason"]), text(&event["message"]))],
        "create the Secret, ConfigMap or claim it names; the kubelet tries again by itself",
    ))
}

/// `container-config-missing`: the kubelet cannot put the container's environment together.
pub(super) fn config_missing(facts: &Facts) -> Option<Diagnosis> {
    let (pod, status) = waiting(facts, &["CreateContainerConfigError", "CreateContainerError"])?;
    Some(diagnosis(
        "container-config-missing",
        format!("container {} of pod {} cannot be made", text(&status["name"]), name_of(pod)),
        [reason_of(status)],
        "create what it refers to (env, envFrom), or correct the reference",
    ))
}

/// A container of a needed pod that waits for one of these reasons.
fn waiting<'a>(facts: &'a Facts, reasons: &[&str]) -> Option<(&'a Value, &'a Value)> {
    unready(facts).find_map(|pod| {
        let status = statuses(pod).find(|s| reasons.contains(&text(&s["state"]["waiting"]["reason"])))?;
        Some((pod, status))
    })
}

fn reason_of(status: &Value) -> String {
    let waiting = &status["state"]["waiting"];
    format!("{}: {}", text(&waiting["reason"]), text(&waiting["message"]))
}

/// `out-of-memory`: the kernel killed the container at its limit.
pub(super) fn out_of_memory(facts: &Facts) -> Option<Diagnosis> {
    let (pod, status) = unready(facts).find_map(|pod| {
        let killed = |status: &&Value| {
            ["state", "lastState"].iter().any(|state| status[*state]["terminated"]["reason"] == "OOMKilled")
        };
        Some((pod, statuses(pod).find(killed)?))
    })?;
    Some(diagnosis(
        "out-of-memory",
        format!(
            "container {} of pod {} was killed: it used more memory than its limit",
            text(&status["name"]),
            name_of(pod)
        ),
        [format!("OOMKilled, restarted {} times", status["restartCount"].as_u64().unwrap_or_default())],
        "raise resources.limits.memory, or find out what it needs the memory for",
    ))
}

/// `container-crashes`: a container ends again and again.
pub(super) fn crashes(facts: &Facts) -> Option<Diagnosis> {
    let (pod, status) = waiting(facts, &["CrashLoopBackOff"])?;
    let (name, last) = (text(&status["name"]), &status["lastState"]["terminated"]);
    let ended = last["exitCode"].as_i64().map(|code| format!("it ended with exit code {code}"));
    Some(diagnosis(
        "container-crashes",
        format!("container {name} of pod {} crashes", name_of(pod)),
        std::iter::once(reason_of(status)).chain(ended),
        format!(
            "read what it said before it ended: logs/{}/{name}.previous.log in the evidence",
            name_of(pod)
        ),
    ))
}

/// `readiness-probe-fails`: the container runs, and answers its probe badly.
pub(super) fn probe_fails(facts: &Facts) -> Option<Diagnosis> {
    let (pod, status, event) = unready(facts).find_map(|pod| {
        let runs = |status: &&Value| status["ready"] == false && !status["state"]["running"].is_null();
        let status = statuses(pod).find(runs)?;
        let event = event(facts, pod, &["Unhealthy"])?;
        let about = format!("{{{}}}", text(&status["name"]));
        text(&event["involvedObject"]["fieldPath"]).ends_with(&about).then_some((pod, status, event))
    })?;
    let name = text(&status["name"]);
    Some(diagnosis(
        "readiness-probe-fails",
        format!("container {name} of pod {} fails its probe", name_of(pod)),
        [text(&event["message"]).to_owned()],
        format!(
            "read its log: logs/{}/{name}.log in the evidence; then its probe's path and port",
            name_of(pod)
        ),
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";

    /// The backend's pod, not Ready, with this in its status.
    fn pod(status: Value) -> Facts {
        let mut pod = json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z"},
            "spec": {"containers": [{"name": "backend-v1", "image": "localhost/meshproof/echo:none"}],
                "initContainers": [{"name": "istio-proxy"}]},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]},
        }]);
        for (key, value) in status.as_object().into_iter().flatten() {
            pod[0]["status"][key] = value.clone();
        }
        Facts::sample().with("pods", pod).expecting(200).answered(503, "no_endpoint")
    }

    /// The one container of the backend, as the kubelet tells it.
    fn container(state: Value, last: Value, restarts: u64) -> Value {
        json!({"phase": "Running", "containerStatuses": [{"name": "backend-v1", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last}]})
    }

    fn told(reason: &str, path: &str, message: &str) -> Value {
        json!([{"metadata": {"namespace": "isto-example-namespace"}, "type": "Warning", "reason": reason, "message": message,
            "lastTimestamp": "2026-11-23T16:00:00Z", "involvedObject": {"kind": "Pod", "namespace": "isto-example-namespace",
            "name": "backend-v1-6c8f9d7b54-q2w8z", "fieldPath": path}}])
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let creating = || container(json!({"waiting": {"reason": "ContainerCreating"}}), json!({}), 0);
        let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed \
            container=backend-v1 pod=backend-v1-6c8f9d7b54-q2w8z_isto-example-namespace(0b1c)"}});
        vec![
            provoked("pod-unschedulable", POD, pod(json!({"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes \
                are available: 1 No preemption victims found for incoming pod."}]}))),
            provoked("pod-evicted", POD, pod(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low \
                on resource: ephemeral-storage. Threshold quantity: 2Gi, available: 1536Mi. "}))),
            provoked("volume-not-mounted", POD, pod(creating()).with("events", told("FailedMount", "",
                "MountVolume.SetUp failed for volume \"certificates\" : secret \"backend-tls\" not found"))),
            provoked("container-config-missing", POD, pod(container(json!({"waiting": {"reason":
                "CreateContainerConfigError", "message": "configmap \"settings\" not found"}}), json!({}), 0))),
            provoked("out-of-memory", POD, pod(container(back_off.clone(),
                json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), 3))),
            provoked("container-crashes", POD, pod(container(back_off,
                json!({"terminated": {"exitCode": 1, "reason": "Error"}}), 3))),
            provoked("readiness-probe-fails", POD, pod(container(json!({"running": {"startedAt":
                "2026-11-23T15:59:00Z"}}), json!({}), 0)).with("events", told("Unhealthy", "spec.containers{backend-v1}",
                "Readiness probe failed: HTTP probe failed with statuscode: 404"))),
        ]
    }

    #[test]
    fn a_pod_that_the_answer_did_not_need_is_not_at_fault() {
        let mut facts = pod(container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), json!({}), 1));
        facts.access_log.clear();
        assert_eq!(crashes(&facts.clone().answered(503, "upstream_reset")), None);
        facts.claim.word = "status".into();
        assert_eq!(crashes(&facts), None, "a status does not depend on backends");
    }
}
