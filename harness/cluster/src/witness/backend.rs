//! The pods behind a Service, as a witness needs them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{Api, Client, api::ListParams};

use super::trouble;
use crate::mesh::Mesh;
pub(crate) use crate::probe::inside::has_sidecar;
use meshproof_model::implementation::{Proxies, about_gateway};
use meshproof_run::ports::{PortError, WitnessContext};

/// A pod behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where its program listens: the pod's address and the Service's target port.
    pub address: SocketAddr,
    /// Its service account: what Istio makes its identity of.
    pub service_account: String,
    /// Whether it has a sidecar, as a container or (native) as an init container.
    pub sidecar: bool,
}

impl BackendPod {
    /// The identity its sidecar shows.
    pub fn spiffe_id(&self, mesh: &Mesh) -> String {
        mesh.spiffe_id(&self.namespace, &self.service_account)
    }
}

/// The ready pods behind Service `name`.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn pods(client: &Client, namespace: &str, name: &str) -> Result<Vec<BackendPod>, PortError> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let selector = format!("kubernetes.io/service-name={name}");
    let slices = slices
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(trouble(format!("listing the endpoints of Service {namespace}/{name}")))?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    for (pod, address) in slices.items.iter().flat_map(ready_endpoints) {
        let object = pods.get_opt(&pod).await.map_err(trouble(format!("reading pod {namespace}/{pod}")))?;
        // A pod that went away since the slice was written is no backend any more.
        found.extend(object.map(|object| backend_pod(&object, namespace, pod, address)));
    }
    Ok(found)
}

/// Addresses of the gateway's proxies.
pub(super) async fn proxies(
    client: &Client,
    proxies: &Proxies,
    context: &WitnessContext,
) -> Result<BTreeSet<IpAddr>, PortError> {
    let about = |text: &str| about_gateway(text, &context.namespace, &context.gateway);
    let (namespace, selector) = (about(&proxies.namespace), about(&proxies.selector));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let list = pods.list(&ListParams::default().labels(&selector)).await;
    let list = list.map_err(trouble(format!("listing the proxies {selector} in {namespace}")))?;
    let addresses = list.items.into_iter().filter_map(|pod| pod.status?.pod_ip?.parse().ok());
    Ok(addresses.collect())
}

/// Pod name and address of each ready endpoint.
fn ready_endpoints(slice: &EndpointSlice) -> Vec<(String, SocketAddr)> {
    let port = slice.ports.iter().flatten().find_map(|port| u16::try_from(port.port?).ok());
    let Some(port) = port else { return Vec::new() };
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    ready
        .filter_map(|endpoint| {
            let target = endpoint.target_ref.as_ref()?;
            let pod = target.name.clone().filter(|_| target.kind.as_deref() == Some("Pod"))?;
            let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
            Some((pod, SocketAddr::new(ip, port)))
        })
        .collect()
}

fn backend_pod(pod: &Pod, namespace: &str, name: String, address: SocketAddr) -> BackendPod {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    BackendPod {
        namespace: namespace.into(),
        name,
        address,
        service_account: account.unwrap_or_else(|| "default".into()),
        sidecar: has_sidecar(pod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(ready: bool) -> EndpointSlice {
        serde_json::from_value(serde_json::json!({
            "addressType": "IPv4",
            "ports": [{"port": 3000}],
            "endpoints": [
                {"addresses": ["10.244.0.17"], "conditions": {"ready": ready},
                 "targetRef": {"kind": "Pod", "name": "backend-v1-6c8f9d7b54-q2w8z"}},
                {"addresses": ["192.0.2.1"], "conditions": {"ready": true}}
            ]
        }))
        .unwrap()
    }

    #[test]
    fn only_ready_pods_are_backends() {
        let found = ready_endpoints(&slice(true));
        assert_eq!(found, [("backend-v1-6c8f9d7b54-q2w8z".into(), "10.244.0.17:3000".parse().unwrap())]);
        assert!(ready_endpoints(&slice(false)).is_empty());
    }

    #[test]
    fn a_native_sidecar_is_found_among_the_init_containers() {
        let pod = |containers: serde_json::Value, init: serde_json::Value| -> Pod {
            serde_json::from_value(
                serde_json::json!({"spec": {"containers": containers, "initContainers": init}}),
            )
            .unwrap()
        };
        let (app, proxy) =
            (serde_json::json!([{"name": "app"}]), serde_json::json!([{"name": "istio-proxy"}]));
        assert!(has_sidecar(&pod(app.clone(), proxy.clone())));
        assert!(has_sidecar(&pod(proxy, serde_json::json!([]))));
        assert!(!has_sidecar(&pod(app, serde_json::json!([{"name": "istio-init"}]))));
    }

    #[test]
    fn the_identity_is_made_of_trust_domain_namespace_and_service_account() {
        let pod = serde_json::from_value(serde_json::json!({"spec": {"containers": []}})).unwrap();
        let pod = backend_pod(&pod, "test-infra", "p".into(), "10.244.0.17:3000".parse().unwrap());
        let mut mesh = Mesh::sample();
        assert_eq!(pod.spiffe_id(&mesh), "spiffe://cluster.local/ns/test-infra/sa/default");
        mesh.trust_domain = "mesh.example".into();
        assert_eq!(pod.spiffe_id(&mesh), "spiffe://mesh.example/ns/test-infra/sa/default");
    }
}
