//! Whether a container called `istio-proxy` is the sidecar that Istio injects, or somebody else's under its name.

use futures::StreamExt;
use serde_json::Value;
use tokio::time::timeout_at;

use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::probe::deployment_of;
use meshproof_model::scenario::kinds::Kind;

/// What Istio calls the container it injects.
pub(crate) const SIDECAR: &str = "istio-proxy";
/// What Istio writes down of an injection, in JSON (`istio.io/docs`, resource annotations).
const STATUS: &str = "sidecar.istio.io/status";
/// Annotations by which a pod's author puts something else in the sidecar's place.
const OVERRIDES: [&str; 2] = ["sidecar.istio.io/proxyImage", "inject.istio.io/templates"];

/// Why the container of that name in a pod is none that Istio has injected; nothing if it is, or if there is none.
pub(crate) fn not_injected(pod: &Value) -> Option<String> {
    if !has_sidecar(&pod["spec"]) {
        return None;
    }
    let status = pod["metadata"]["annotations"][STATUS].as_str();
    let status: Option<Value> = status.and_then(|status| serde_json::from_str(status).ok());
    let Some(status) = status else {
        return Some(format!("the pod has no annotation {STATUS}, so it was not injected"));
    };
    let named = ["containers", "initContainers"]
        .iter()
        .any(|list| status[*list].as_array().is_some_and(|names| names.iter().any(|name| name == SIDECAR)));
    (!named).then(|| format!("Istio's annotation {STATUS} does not name it"))
}

/// Whether a pod, or a template of pods, has a container of that name.
fn has_sidecar(spec: &Value) -> bool {
    ["containers", "initContainers"].iter().any(|list| {
        spec[*list].as_array().is_some_and(|containers| containers.iter().any(|c| c["name"] == SIDECAR))
    })
}

/// Looks at what the pods are made of: a sidecar that stands in the Deployment already was brought along, annotation and all.
///
/// # Errors
/// It stands there, or the Deployments cannot be read.
pub(crate) async fn not_from_template(
    context: &Context<'_>,
    namespace: &str,
    pods: &[&str],
    doing: &str,
) -> Result<(), Trouble> {
    let expected = format!("{SIDECAR} to be injected by Istio");
    let Some(kind) = Kind::by_word("deployment") else {
        return Err(Trouble::error(doing, expected, "Deployments are unknown"));
    };
    let query = Query { kind, namespace: Some(namespace.to_owned()), name: None };
    let mut deployments = context.outside.objects.observe(&query);
    let deployments = match timeout_at(context.deadline(), deployments.next()).await {
        Ok(Some(deployments)) => deployments?,
        Ok(None) | Err(_) => {
            let seen = format!("the Deployments of {namespace} were not listed in time");
            return Err(Trouble::error(doing, expected, seen));
        }
    };
    let of_pods = deployments.iter().filter(|deployment| {
        let name = deployment["metadata"]["name"].as_str();
        pods.iter().any(|pod| deployment_of(pod) == name)
    });
    match of_pods.filter_map(brought_along).next() {
        Some(because) => Err(Trouble::failed(doing, expected, because)),
        None => Ok(()),
    }
}

/// Why the sidecar of a Deployment's pods is its author's.
fn brought_along(deployment: &Value) -> Option<String> {
    let (name, template) = (&deployment["metadata"]["name"], &deployment["spec"]["template"]);
    let name = name.as_str().unwrap_or_default();
    if has_sidecar(&template["spec"]) {
        return Some(format!("Deployment {name} has a container {SIDECAR} itself"));
    }
    let annotations = &template["metadata"]["annotations"];
    let other = OVERRIDES.iter().find(|annotation| !annotations[**annotation].is_null())?;
    Some(format!("Deployment {name} replaces the sidecar by its annotation {other}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_without_a_sidecar_is_nothing_to_complain_about() {
        assert_eq!(not_injected(&json!({"spec": {"containers": [{"name": "app"}]}})), None);
    }

    #[test]
    fn an_annotation_that_names_others_is_no_proof() {
        let pod = json!({"metadata": {"annotations": {STATUS: r#"{"containers":["other"]}"#}},
                         "spec": {"initContainers": [{"name": SIDECAR}]}});
        assert!(not_injected(&pod).unwrap().contains("does not name it"));
    }

    #[test]
    fn a_sidecar_in_the_deployment_was_brought_along() {
        let deployment =
            |template: Value| json!({"metadata": {"name": "web"}, "spec": {"template": template}});
        let injected = deployment(json!({"spec": {"containers": [{"name": "app"}]}}));
        assert_eq!(brought_along(&injected), None);
        let own = deployment(json!({"spec": {"containers": [{"name": "app"}, {"name": SIDECAR}]}}));
        assert_eq!(brought_along(&own).unwrap(), "Deployment web has a container istio-proxy itself");
        let replaced =
            deployment(json!({"metadata": {"annotations": {"sidecar.istio.io/proxyImage": "other"}}}));
        assert!(brought_along(&replaced).unwrap().contains("sidecar.istio.io/proxyImage"));
    }
}
