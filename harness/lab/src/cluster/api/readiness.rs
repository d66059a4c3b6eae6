//! Whether nodes, Deployments and pods are ready, and if not, why (pure).

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};

/// What a Deployment lacks, or nothing when all its replicas are updated and available and no old one is left.
pub fn deployment_shortfall(deployment: &Deployment) -> Option<String> {
    let (wanted, status) = match observed(deployment) {
        Ok(observed) => observed,
        Err(lacks) => return Some(lacks),
    };
    let updated = status.updated_replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
    let all = status.replicas.unwrap_or(0);
    if updated < wanted || available < wanted {
        return Some(format!("{available} of {wanted} replicas available, {updated} updated"));
    }
    (all > wanted).then(|| format!("{} old replicas still run", all - wanted))
}

/// How many of its pods a Deployment lacks, ready or not.
pub fn pods_shortfall(deployment: &Deployment) -> Option<String> {
    match observed(deployment) {
        Err(lacks) => Some(lacks),
        Ok((wanted, status)) => {
            let updated = status.updated_replicas.unwrap_or(0);
            (updated < wanted).then(|| format!("{updated} of {wanted} pods made"))
        }
    }
}

/// The replicas wanted and the status, if that is about the newest change.
fn observed(deployment: &Deployment) -> Result<(i32, &DeploymentStatus), String> {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return Err("no status yet".to_owned()) };
    if status.observed_generation < deployment.metadata.generation {
        return Err("its last change is not observed yet".to_owned());
    }
    Ok((wanted, status))
}

/// The pod's Ready condition is true.
pub fn pod_is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The node's Ready condition is true.
pub fn node_is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// One line for each container of the pod that is not ready, and one if the pod cannot be scheduled.
pub fn pod_troubles(pod: &Pod) -> Vec<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &pod.status else { return Vec::new() };
    if status.phase.as_deref() == Some("Succeeded") {
        return Vec::new();
    }
    let mut troubles = Vec::new();
    for condition in status.conditions.iter().flatten() {
        if condition.type_ == "PodScheduled" && condition.status == "False" {
            troubles.push(format!(
                "{name}: not scheduled: {}",
                condition.message.as_deref().unwrap_or("no reason")
            ));
        }
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    troubles.extend(containers.filter_map(|container| {
        container_trouble(container).map(|trouble| format!("{name}/{}: {trouble}", container.name))
    }));
    troubles
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref();
    if container.ready {
        return None;
    }
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return Some(match &waiting.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason.to_owned(),
        });
    }
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        // An init container that has ended well is done, whatever its `ready` says.
        return (ended.exit_code != 0).then(|| format!("ended with exit code {}", ended.exit_code));
    }
    Some(format!("runs but is not ready ({} restarts)", container.restart_count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(status: serde_json::Value) -> Deployment {
        let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2, "selector": {},
                            "template": {}}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_deployment_is_ready_when_every_replica_is_new_and_available() {
        let good =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(deployment_shortfall(&deployment(good)), None);
    }

    #[test]
    fn a_deployment_says_what_it_lacks() {
        let cases = [
            (json!({"observedGeneration": 1}), "not observed"),
            (
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
                "1 of 2",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}),
                "1 old replicas",
            ),
        ];
        for (status, words) in cases {
            let said = deployment_shortfall(&deployment(status)).unwrap();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn pods_count_as_made_before_they_are_ready() {
        let made =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2});
        assert_eq!(pods_shortfall(&deployment(made)), None);
        let half = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1});
        assert_eq!(pods_shortfall(&deployment(half)).unwrap(), "1 of 2 pods made");
        let old = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2});
        assert!(pods_shortfall(&deployment(old)).unwrap().contains("not observed"));
    }

    #[test]
    fn pods_name_the_container_and_the_reason() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}],
                "initContainerStatuses": [
                    {"name": "i", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                     "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                    {"name": "c", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                     "state": {"waiting": {"reason": "ErrImagePull", "message": "not there"}}},
                    {"name": "d", "ready": true, "restartCount": 0, "image": "", "imageID": ""}],
            }
        }))
        .unwrap();
        assert_eq!(pod_troubles(&pod), ["p: not scheduled: no room", "p/c: ErrImagePull: not there"]);
    }

    #[test]
    fn a_node_without_conditions_is_not_ready() {
        let node: Node = serde_json::from_value(json!({"metadata": {}})).unwrap();
        assert!(!node_is_ready(&node));
        let node: Node =
            serde_json::from_value(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
                .unwrap();
        assert!(node_is_ready(&node));
    }
}
