//! What the Envoys of the sidecars concerned hold and count.

use futures::{FutureExt, StreamExt, future::BoxFuture};
use kube::Client;
use serde_json::Value;

use super::{QUESTION, folder::Folder, in_parallel};
use crate::probe::{ProbeError, envoy};
use meshproof_run::diagnosis::Facts;
use meshproof_run::ports::EvidenceRequest;

const CONTAINER: &str = "istio-proxy";

/// Sidecars asked at most; the backend's come first.
const MOST: usize = 4;

/// File with what a sidecar holds.
const CONFIGURATION: &str = "config_dump.json";

/// Questions to the admin interface, and the files their answers go to. Envoy blanks private keys itself.
const QUESTIONS: &[(&str, &str)] = &[
    ("config_dump", CONFIGURATION),
    ("stats", "stats.txt"),
    ("clusters", "clusters.txt"),
    ("listeners", "listeners.txt"),
    ("certs", "certs.json"),
];

/// Asks the sidecars concerned, and adds the configuration of each to the facts for the diagnosis.
/// The file for an answer, the pod asked, and what it answered.
type Answered = (&'static str, String, Result<String, ProbeError>);

pub(super) async fn collect(
    client: &Client,
    request: &EvidenceRequest,
    facts: &mut Facts,
    folder: &mut Folder,
) {
    let pods = concerned(request, facts);
    let mut questions: Vec<BoxFuture<'_, Answered>> = Vec::new();
    for (namespace, pod) in &pods {
        for (question, file) in QUESTIONS {
            let name = format!("{namespace}/{pod}");
            let asking =
                async move { (*file, name, envoy::ask(client, namespace, pod, question, QUESTION).await) };
            questions.push(asking.boxed());
        }
    }
    let mut asking = in_parallel(questions);
    while let Some((file, name, answer)) = asking.next().await {
        let path = format!("envoy/{name}/{file}");
        match answer {
            Ok(text) => {
                folder.write(&path, &text);
                if file == CONFIGURATION {
                    facts.sidecars.extend(serde_json::from_str(&text).ok().map(|dump| (name, dump)));
                }
            }
            Err(error) => folder.missing(format!("{path}: {error}")),
        }
    }
}

/// Namespace and name of the pods with a running sidecar in the scenario's namespaces.
fn concerned(request: &EvidenceRequest, facts: &Facts) -> Vec<(String, String)> {
    let backend = facts.claim.backend.as_str();
    let mut pods: Vec<(bool, String, String)> = facts
        .list("pods")
        .iter()
        .filter(|pod| has_running_sidecar(pod))
        .filter_map(|pod| {
            let namespace = pod["metadata"]["namespace"].as_str()?;
            let name = pod["metadata"]["name"].as_str()?;
            let ours = request.namespaces.iter().any(|touched| touched == namespace)
                || facts.claim.namespace == namespace;
            let others = backend.is_empty() || !name.starts_with(backend);
            ours.then(|| (others, namespace.to_string(), name.to_string()))
        })
        .collect();
    pods.sort();
    pods.truncate(MOST);
    pods.into_iter().map(|(_, namespace, name)| (namespace, name)).collect()
}

fn has_running_sidecar(pod: &Value) -> bool {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten()
        .any(|status| status["name"] == CONTAINER && !status["state"]["running"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use meshproof_run::diagnosis::Claim;

    fn pod(namespace: &str, name: &str, sidecar: Value) -> Value {
        json!({
            "metadata": {"namespace": namespace, "name": name},
            "status": {"initContainerStatuses": [{"name": "istio-proxy", "state": sidecar}]}
        })
    }

    #[test]
    fn the_backends_sidecar_is_asked_first_and_others_namespaces_not_at_all() {
        let running = json!({"running": {}});
        let pods = vec![
            pod("shop", "backend-v2-a", running.clone()),
            pod("shop", "backend-v1-a", running.clone()),
            pod("shop", "backend-v1-b", json!({"waiting": {}})),
            pod("azure-alb-system", "alb-controller-istio-extension-a", running),
        ];
        let facts = Facts {
            claim: Claim { namespace: "shop".into(), backend: "backend-v1".into(), ..Claim::default() },
            objects: [("pods".to_string(), pods)].into(),
            ..Facts::default()
        };
        let names: Vec<String> =
            concerned(&EvidenceRequest::default(), &facts).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["backend-v1-a", "backend-v2-a"]);
    }
}
