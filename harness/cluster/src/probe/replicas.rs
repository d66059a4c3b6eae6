//! The pods behind a frontend, each reached without the others: what one of them has not heard of yet is not hidden by those
//! that have. A load balancer would choose for us.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::Mutex;

use super::ProbeError;
use super::relay::Relay;
use meshproof_model::implementation::Resolution;
use meshproof_run::ports::{Replica, Replicas};

/// Label of an EndpointSlice: the Service that it belongs to.
const SERVICE: &str = "kubernetes.io/service-name";

/// A pod that serves a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    namespace: String,
    pod: String,
    node: String,
    port: u16,
}

/// Ways to single pods; each is opened once, and closed with the prober.
#[derive(Default)]
pub(crate) struct Ways {
    open: Mutex<BTreeMap<Place, Relay>>,
}

impl Ways {
    /// The pods that the Service behind `fqdn` sends connections for `port` to.
    ///
    /// # Errors
    /// The API server cannot be asked, or this host gives no port to listen on.
    pub(crate) async fn to(
        &self,
        client: &Client,
        resolution: &Resolution,
        fqdn: &str,
        port: u16,
    ) -> Result<Replicas, ProbeError> {
        let service = match service(client, resolution, fqdn).await? {
            Ok(service) => service,
            Err(why) => return Ok(Replicas::Unknown(why)),
        };
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        let Some(port_name) = port_name(&service, port) else {
            return Ok(Replicas::Unknown(format!("Service {namespace}/{name} has no port {port}")));
        };
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &namespace);
        let of_service = ListParams::default().labels(&format!("{SERVICE}={name}"));
        let slices = slices.list(&of_service).await.map_err(|error| {
            ProbeError::kubernetes(format!("looking for the pods of Service {namespace}/{name}"), error)
        })?;
        let places = places(&slices.items, &port_name);
        if places.is_empty() {
            return Ok(Replicas::Unknown(format!("no pod is ready behind Service {namespace}/{name}")));
        }
        let replicas = places.into_iter().map(|place| async move {
            let address = self.open(client, &place).await?;
            let pod = format!("{}/{}", place.namespace, place.pod);
            Ok::<_, ProbeError>(Replica { pod, node: place.node, address })
        });
        Ok(Replicas::Each(try_join_all(replicas).await?))
    }

    async fn open(&self, client: &Client, place: &Place) -> Result<SocketAddr, ProbeError> {
        let mut open = self.open.lock().await;
        if let Some(relay) = open.get(place) {
            return Ok(relay.address());
        }
        let relay = Relay::to(client.clone(), &place.namespace, &place.pod, place.port).await;
        let relay = relay.map_err(|error| ProbeError::Port { reason: error.to_string() })?;
        let address = relay.address();
        open.insert(place.clone(), relay);
        Ok(address)
    }
}

/// The Service behind a name or an address; or why there is none that can be looked at.
async fn service(
    client: &Client,
    resolution: &Resolution,
    fqdn: &str,
) -> Result<Result<Service, String>, ProbeError> {
    let failed = |error| ProbeError::kubernetes(format!("looking for the Service behind {fqdn}"), error);
    if let Ok(ip) = fqdn.parse::<IpAddr>() {
        let all: Api<Service> = Api::all(client.clone());
        let all = all.list(&ListParams::default()).await.map_err(failed)?;
        let found = all.items.into_iter().find(|service| has_address(service, ip));
        return Ok(found.ok_or_else(|| format!("no Service of this cluster has the address {ip}")));
    }
    let (namespace, name) = match resolution.service(fqdn) {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = services.get_opt(name).await.map_err(failed)?;
    Ok(found.ok_or_else(|| format!("there is no Service {namespace}/{name}")))
}

fn has_address(service: &Service, ip: IpAddr) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let mut ingress = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    ingress.any(|entry| entry.ip.as_deref().and_then(|text| text.parse::<IpAddr>().ok()) == Some(ip))
}

/// What a Service calls its port of this number; the only one of a Service may have no name.
fn port_name(service: &Service, port: u16) -> Option<String> {
    let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let found = ports.find(|offered| offered.port == i32::from(port))?;
    Some(found.name.clone().unwrap_or_default())
}

/// The ready pods of a Service's slices, with the number that the port of this name has in them. Sorted, each once.
fn places(slices: &[EndpointSlice], port_name: &str) -> Vec<Place> {
    let mut places: Vec<Place> = slices
        .iter()
        .flat_map(|slice| {
            let ports = slice.ports.iter().flatten();
            let port = ports.filter(|port| port.name.as_deref().unwrap_or_default() == port_name);
            let port = port.filter_map(|port| u16::try_from(port.port?).ok()).next();
            port.into_iter().flat_map(|port| pods(slice, port))
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn pods(slice: &EndpointSlice, port: u16) -> impl Iterator<Item = Place> {
    let ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let namespace = slice.namespace().unwrap_or_default();
    slice.endpoints.iter().flatten().filter(ready).filter_map(move |endpoint| {
        let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
        Some(Place {
            namespace: target.namespace.clone().unwrap_or_else(|| namespace.clone()),
            pod: target.name.clone()?,
            node: endpoint.node_name.clone().unwrap_or_default(),
            port,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(ports: Value, endpoints: Value) -> EndpointSlice {
        let metadata = json!({"namespace": "data", "name": "fe-1-abc"});
        serde_json::from_value(
            json!({"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints}),
        )
        .unwrap()
    }

    fn endpoint(pod: &str, ready: Option<bool>) -> Value {
        json!({"addresses": ["10.244.0.9"], "nodeName": "worker", "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "namespace": "data", "name": pod}})
    }

    #[test]
    fn every_ready_pod_is_one_place_with_the_port_of_that_name() {
        let ports = json!([{"name": "p-80", "port": 30001}, {"name": "p-81", "port": 30002}]);
        let slices = [
            slice(ports.clone(), json!([endpoint("b", Some(true)), endpoint("c", Some(false))])),
            slice(ports, json!([endpoint("a", None), endpoint("b", Some(true))])),
        ];
        let found: Vec<_> =
            places(&slices, "p-81").into_iter().map(|place| (place.pod, place.port)).collect();
        assert_eq!(found, [("a".to_owned(), 30002), ("b".to_owned(), 30002)]);
        assert!(places(&slices, "other").is_empty());
    }

    #[test]
    fn a_port_without_a_name_is_the_one_without_a_name() {
        let slices = [slice(json!([{"port": 8080}]), json!([endpoint("a", None)]))];
        assert_eq!(places(&slices, "")[0].port, 8080);
    }

    #[test]
    fn what_is_no_pod_is_no_place() {
        let external = json!({"addresses": ["192.0.2.1"]});
        assert!(places(&[slice(json!([{"port": 80}]), json!([external]))], "").is_empty());
    }

    #[test]
    fn a_service_is_known_by_its_address() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n"},
            "spec": {"ports": [{"port": 80, "name": "http"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "172.18.255.200"}]}}
        }))
        .unwrap();
        assert!(has_address(&service, "172.18.255.200".parse().unwrap()));
        assert!(!has_address(&service, "172.18.255.201".parse().unwrap()));
        assert_eq!((port_name(&service, 80), port_name(&service, 81)), (Some("http".to_owned()), None));
    }
}
