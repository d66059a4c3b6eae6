//! Views on core Kubernetes objects.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// `ClusterIP` when absent.
    pub r#type: Option<String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Whether `status.loadBalancer.ingress` has an address (only of interest for frontends).
    #[serde(skip_deserializing)]
    pub has_address: bool,
    /// The IP addresses among them.
    #[serde(skip_deserializing)]
    pub ips: Vec<String>,
}

/// A Service's port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name; absent when it is the only one.
    pub name: Option<String>,
    /// Port.
    pub port: u16,
    /// `TCP` when absent.
    pub protocol: Option<String>,
    /// Number or name.
    pub target_port: serde_json::Value,
    /// Application protocol, a hint.
    pub app_protocol: Option<String>,
}

/// EndpointSlice.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct EndpointSlice {
    /// The Service it belongs to, by the label `kubernetes.io/service-name`.
    pub service: String,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Ports.
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Endpoint {
    /// The first address; consumers must use no other.
    pub address: String,
    /// Takes new requests; unknown counts as yes.
    pub ready: bool,
    /// Still answers while terminating; follows `ready` when unknown.
    pub serving: bool,
    /// Is going away.
    pub terminating: bool,
    /// Node.
    pub node: String,
    /// The pod behind it.
    pub pod: Option<TargetRef>,
}

/// The pod behind an endpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TargetRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A port of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The Service's port name; empty or absent when that has none.
    pub name: Option<String>,
    /// Port on the endpoint.
    pub port: Option<u16>,
    /// `TCP` when absent.
    pub protocol: Option<String>,
}

/// Pod: whose identity its certificate carries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Service account; the API server fills in `default`.
    pub service_account_name: String,
}

/// Deployment of the data plane.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Deployment {
    /// Replicas that are wanted.
    pub replicas: u32,
    /// Replicas that are Ready.
    pub ready_replicas: u32,
}

/// Ingress.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    /// Class.
    pub ingress_class_name: Option<String>,
}

/// The identity with which proxies speak to the mesh. Debug output and serialisation never show the key.
#[derive(Clone, PartialEq, Default, Serialize)]
pub struct Identity {
    /// PEM, leaf first.
    #[serde(skip)]
    pub certificate_chain: Vec<u8>,
    /// PEM.
    #[serde(skip)]
    pub private_key: Vec<u8>,
    /// PEM bundle.
    #[serde(skip)]
    pub trust_bundle: Vec<u8>,
    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    pub spiffe_id: String,
}

impl Identity {
    /// Trust domain of the SPIFFE id, if that is one.
    pub fn trust_domain(&self) -> Option<&str> {
        let (domain, _) = self.spiffe_id.strip_prefix("spiffe://")?.split_once('/')?;
        (!domain.is_empty()).then_some(domain)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}
