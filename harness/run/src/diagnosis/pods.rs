//! Causes that lie with pods.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of, text},
    suspects::{is_ready, statuses, suspects},
};
use meshproof_model::event::Diagnosis;

/// Reasons with which the kubelet says that it has no image.
const NO_IMAGE: &[&str] = &["ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"];

/// `image-missing`: a container waits for an image the node does not have and cannot get.
pub(super) fn image_missing(facts: &Facts) -> Option<Diagnosis> {
    let (pod, container, waiting) = suspects(facts).find_map(|pod| {
        let status =
            statuses(pod).find(|status| NO_IMAGE.contains(&text(&status["state"]["waiting"]["reason"])))?;
        Some((pod, status, &status["state"]["waiting"]))
    })?;
    let image = items(&pod["spec"]["containers"])
        .iter()
        .chain(items(&pod["spec"]["initContainers"]))
        .find(|spec| spec["name"] == container["name"])
        .map_or("", |spec| text(&spec["image"]));
    let mut because =
        vec![format!("container {} waits: {}", text(&container["name"]), text(&waiting["reason"]))];
    if !text(&waiting["message"]).is_empty() {
        because.push(text(&waiting["message"]).to_string());
    }
    Some(diagnosis(
        "image-missing",
        format!("pod {} cannot get image {image}", name_of(pod)),
        because,
        "load the image into the nodes (`meshproof up` does, also on a cluster that is up), or correct its reference",
    ))
}

/// `pod-not-ready`: the claim is about pods that are not Ready, or the gateway has no ready endpoint.
pub(super) fn pod_not_ready(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|_| facts.claim.is_about_answers());
    let no_endpoint = last.is_some_and(|entry| entry.reason == "no_endpoint");
    let about_pods = matches!(facts.claim.word.as_str(), "pods" | "status" | "install");
    if !no_endpoint && !about_pods {
        return None;
    }
    let backends: Vec<&Value> = facts.backend_pods().filter(|pod| !is_ready(pod)).collect();
    let pod = match backends.first() {
        Some(pod) => pod,
        None if about_pods => facts.list("pods").iter().find(|pod| !is_ready(pod))?,
        None => {
            let backend = &facts.claim.backend;
            return Some(diagnosis(
                "pod-not-ready",
                format!("Service {}/{backend} has no ready pod", facts.claim.namespace_of_backend()),
                ["the gateway's log gives the reason no_endpoint".to_string()],
                format!(
                    "scale Deployment {backend} up, or see why its pods are not created (its ReplicaSet's events)"
                ),
            ));
        }
    };
    let mut because = Vec::new();
    for status in statuses(pod).filter(|status| status["ready"] == false) {
        let name = text(&status["name"]);
        let state = &status["state"];
        if let Some(waiting) = state.get("waiting") {
            because.push(format!(
                "container {name} waits: {} {}",
                text(&waiting["reason"]),
                text(&waiting["message"])
            ));
        } else if let Some(ended) = state.get("terminated").filter(|ended| ended["exitCode"] != 0) {
            because.push(format!("container {name} ended with exit code {}", ended["exitCode"]));
        }
    }
    if let Some(scheduled) = condition(&pod["status"]["conditions"], "PodScheduled")
        && scheduled["status"] == "False"
    {
        because.push(format!("not scheduled: {}", text(&scheduled["message"])));
    }
    if let Some(unready) = condition(&pod["status"]["conditions"], "Ready") {
        because.extend(Some(text(&unready["message"]).to_string()).filter(|message| !message.is_empty()));
    }
    let name = name_of(pod);
    let own = facts.warnings().into_iter().filter(|warning| warning.contains(&name)).take(2);
    because.extend(own);
    because.truncate(5);
    Some(diagnosis(
        "pod-not-ready",
        format!("pod {name} is not Ready"),
        because,
        format!("read its logs in the evidence: logs/{name}/"),
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let pod = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";
        let mut missing = waiting("ErrImageNeverPull", "False");
        missing[0]["status"]["containerStatuses"][0]["state"]["waiting"]["message"] =
            "Container image \"localhost/meshproof/echo:none\" is not present with pull policy of Never"
                .into();
        let mut pending = Facts::sample().with("pods", waiting("ContainerCreating", "False"));
        pending.claim.word = "pods".into();
        vec![
            provoked("image-missing", pod, Facts::sample().with("pods", missing)),
            provoked("pod-not-ready", pod, pending),
        ]
    }

    fn waiting(reason: &str, ready: &str) -> Value {
        json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z"},
            "spec": {"containers": [{"name": "backend-v1", "image": "localhost/meshproof/echo:none"}],
                "initContainers": [{"name": "istio-proxy"}]},
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "backend-v1", "ready": false,
                    "state": {"waiting": {"reason": reason, "message": "recorded message"}}}]
            }
        }])
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named() {
        let diagnosis = diagnose(&Facts::sample().with("pods", waiting("ErrImagePull", "False")));
        assert_eq!(diagnosis.id, "image-missing");
        assert!(diagnosis.title.contains("localhost/meshproof/echo:none"), "{}", diagnosis.title);
        assert!(diagnosis.title.contains("isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z"));
    }

    #[test]
    fn an_image_that_a_bystander_lacks_explains_no_answer_of_the_gateway() {
        let mut bystander = waiting("InvalidImageName", "False");
        bystander[0]["metadata"] =
            json!({"namespace": "meshproof-system", "name": "load-balancer-974d779f5-zs46b"});
        let facts = Facts::sample().with("pods", bystander);
        assert_eq!(diagnose(&facts).id, "image-missing");
        assert_eq!(
            diagnose(&facts.expecting(200).answered(503, "no_client_certificate")).id,
            "no-client-certificate"
        );
    }

    #[test]
    fn a_crashing_backend_is_named_when_the_gateway_finds_no_endpoint() {
        let facts = Facts::sample()
            .with("pods", waiting("CrashLoopBackOff", "False"))
            .expecting(200)
            .answered(503, "no_endpoint");
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "container-crashes");
        assert!(diagnosis.because[0].contains("CrashLoopBackOff"), "{:?}", diagnosis.because);
    }

    #[test]
    fn a_service_without_pods_is_named() {
        let facts = Facts::sample().with("pods", json!([])).expecting(200).answered(503, "no_endpoint");
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "pod-not-ready");
        assert!(diagnosis.title.contains("has no ready pod"));
    }

    #[test]
    fn a_claim_about_pods_names_the_one_that_is_not_ready() {
        let mut facts = Facts::sample().with("pods", waiting("ContainerCreating", "False"));
        facts.claim.word = "pods".into();
        facts.claim.backend = String::new();
        assert_eq!(diagnose(&facts).id, "pod-not-ready");
    }
}
