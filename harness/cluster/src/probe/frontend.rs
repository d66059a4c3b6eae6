//! From a frontend's name to an address this host can connect to.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};

use meshproof_model::implementation::Resolution;

use super::ProbeError;

/// A frontend's name with the address behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// Name clients use.
    pub fqdn: String,
    /// Load-balancer address and port.
    pub address: SocketAddr,
    /// `namespace/name` of the Service that owns the address; empty when the name itself is an address.
    pub service: String,
}

impl Frontend {
    /// The option that makes curl reach the frontend from this host.
    pub fn curl_resolve(&self) -> String {
        format!("--resolve {}:{}:{}", self.fqdn, self.address.port(), self.address.ip())
    }
}

/// Finds the load-balancer address behind `fqdn`.
///
/// # Errors
/// When the name leads to no Service, or that has no address (yet).
pub async fn resolve(
    client: &Client,
    resolution: &Resolution,
    fqdn: &str,
    port: Option<u16>,
) -> Result<Frontend, ProbeError> {
    if let Ok(ip) = fqdn.parse::<IpAddr>() {
        let address = SocketAddr::new(ip, port.unwrap_or(80));
        return Ok(Frontend { fqdn: fqdn.into(), address, service: String::new() });
    }
    let no = |reason: String| ProbeError::NoAddress { fqdn: fqdn.into(), reason };
    if *resolution == Resolution::Dns {
        let found = tokio::net::lookup_host((fqdn, port.unwrap_or(80))).await;
        let mut found = found.map_err(|error| no(format!("DNS does not know it: {error}")))?;
        let address = found.next().ok_or_else(|| no("DNS knows no address of it".into()))?;
        return Ok(Frontend { fqdn: fqdn.into(), address, service: String::new() });
    }
    let (namespace, name) = resolution.service(fqdn).map_err(no)?;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = services
        .get_opt(name)
        .await
        .map_err(|error| ProbeError::kubernetes(format!("looking for Service {namespace}/{name}"), error))?;
    let service = service.ok_or_else(|| no(format!("there is no Service {namespace}/{name}")))?;
    pick(fqdn, port, &service)
}

/// The load-balancer address of a Service.
fn pick(fqdn: &str, port: Option<u16>, service: &Service) -> Result<Frontend, ProbeError> {
    let no = |reason: String| ProbeError::NoAddress { fqdn: fqdn.into(), reason };
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let name = format!("{namespace}/{}", service.metadata.name.as_deref().unwrap_or_default());
    let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP");
    if kind != "LoadBalancer" {
        return Err(no(format!("Service {name} is of type {kind}, not LoadBalancer")));
    }
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ip = status
        .and_then(|balancer| balancer.ingress.as_ref())
        .and_then(|ingress| ingress.iter().find_map(|entry| entry.ip.as_deref()?.parse::<IpAddr>().ok()))
        .ok_or_else(|| {
            no(format!(
                "Service {name} has no status.loadBalancer.ingress; is the load balancer's pod running?"
            ))
        })?;
    let offered: Vec<u16> = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .filter_map(|offered| u16::try_from(offered.port).ok())
        .collect();
    let port = match port {
        None => *offered.first().ok_or_else(|| no(format!("Service {name} has no port")))?,
        Some(port) if offered.contains(&port) => port,
        Some(port) => {
            let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
            return Err(no(format!("Service {name} has no port {port}, only {}", offered.join(", "))));
        }
    };
    Ok(Frontend { fqdn: fqdn.into(), address: SocketAddr::new(ip, port), service: name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(json: serde_json::Value) -> Service {
        serde_json::from_value(json).unwrap()
    }

    fn frontend(ingress: serde_json::Value) -> Service {
        service(serde_json::json!({
            "metadata": {"name": "fe-abcd1234", "namespace": "azure-alb-dataplane"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": ingress}}
        }))
    }

    #[test]
    fn the_address_is_the_load_balancers() {
        let service = frontend(serde_json::json!([{"ip": "172.18.255.200"}]));
        let found = pick("fe-abcd1234.alb.internal", Some(80), &service).unwrap();
        assert_eq!(found.address.to_string(), "172.18.255.200:80");
        assert_eq!(found.service, "azure-alb-dataplane/fe-abcd1234");
        assert_eq!(found.curl_resolve(), "--resolve fe-abcd1234.alb.internal:80:172.18.255.200");
    }

    #[test]
    fn a_service_of_another_type_is_not_the_frontend() {
        let metadata = serde_json::json!({"name": "fe-abcd1234", "namespace": "n"});
        let other = service(serde_json::json!({"metadata": metadata, "spec": {"type": "ClusterIP"}}));
        let error = pick("fe-abcd1234.alb.internal", Some(80), &other).unwrap_err();
        assert!(error.to_string().contains("n/fe-abcd1234 is of type ClusterIP"), "{error}");
    }

    #[test]
    fn a_service_without_an_address_says_whom_to_ask() {
        let service = frontend(serde_json::json!([]));
        let error = pick("fe-abcd1234.alb.internal", Some(80), &service).unwrap_err();
        assert!(error.to_string().contains("is the load balancer's pod running?"), "{error}");
    }

    #[test]
    fn a_port_that_is_not_offered_is_named_with_those_that_are() {
        let service = frontend(serde_json::json!([{"ip": "172.18.255.200"}]));
        let found = pick("fe-abcd1234.alb.internal", Some(443), &service);
        assert!(found.unwrap_err().to_string().contains("has no port 443, only 80"));
    }

    #[test]
    fn names_lead_to_services_as_the_implementation_says() {
        let zone = Resolution::Zone { zone: "alb.internal".into(), namespace: "data".into() };
        assert_eq!(zone.service("fe-1.alb.internal"), Ok(("data", "fe-1")));
        assert!(zone.service("fe-1.example").unwrap_err().contains("alb.internal"));
        let service = Resolution::ClusterService.service("gateway-01-istio.shop.svc.cluster.local");
        assert_eq!(service, Ok(("shop", "gateway-01-istio")));
        assert!(Resolution::ClusterService.service("gateway.example").is_err());
        assert!(Resolution::Itself.service("gateway.example").is_err());
        assert!(Resolution::Dns.service("gateway.example").is_err());
    }
}
