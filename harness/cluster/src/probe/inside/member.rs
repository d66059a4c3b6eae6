//! Whether the pod of a vantage is what requests from it are taken for: a member of the mesh, or none.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::mesh::SIDECAR;
use meshproof_model::vantage::Vantage;

/// What Istio writes on a pod that it has injected.
const INJECTED: &str = "sidecar.istio.io/status";

/// Whether a pod has a sidecar. Native ones are init containers that stay.
pub(crate) fn has_sidecar(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let init = spec.init_containers.iter().flatten();
        init.chain(&spec.containers).any(|container| container.name == SIDECAR)
    })
}

/// Why the pod is not what the vantage is taken for.
pub(super) fn against(vantage: Vantage, pod: &Pod) -> Option<&'static str> {
    let injected = pod.annotations().contains_key(INJECTED);
    match vantage {
        Vantage::Outside => None,
        Vantage::Plain => {
            (injected || has_sidecar(pod)).then_some("it is to be outside the mesh, and has a sidecar")
        }
        // A container of that name alone could be anybody's.
        Vantage::Mesh if !has_sidecar(pod) => Some(
            "it is to be a member of the mesh, and has no sidecar: no webhook of Istio's injects into namespaces that are labelled \
             istio-injection: enabled",
        ),
        Vantage::Mesh => {
            (!injected).then_some("it is to be a member of the mesh, and its istio-proxy is not Istio's")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(containers: Value, init: Value, annotations: Value) -> Pod {
        let spec = json!({"containers": containers, "initContainers": init});
        serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_vantage_is_checked_to_be_what_it_is_taken_for() {
        let (probe, proxy) = (json!({"name": "probe"}), json!({"name": "istio-proxy"}));
        let injected = json!({"sidecar.istio.io/status": "{}"});
        let plain = pod(json!([probe]), json!([]), json!({}));
        let native = pod(json!([probe]), json!([proxy]), injected.clone());
        let classic = pod(json!([probe, proxy]), json!([{"name": "istio-init"}]), injected);
        let own = pod(json!([probe, proxy]), json!([]), json!({}));
        let is = |vantage, pod: &Pod| against(vantage, pod).is_none();
        for member in [&native, &classic] {
            assert!(is(Vantage::Mesh, member) && !is(Vantage::Plain, member));
        }
        assert!(is(Vantage::Plain, &plain) && !is(Vantage::Mesh, &plain));
        assert!(!is(Vantage::Mesh, &own) && !is(Vantage::Plain, &own), "anybody's container");
    }
}
