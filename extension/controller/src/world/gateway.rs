//! Views on Gateway API objects and on our own resources. They are lenient: an enumeration is a string here, so
//! that a value this version does not know becomes a condition in the object's status and not a parse error.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// GatewayClass.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClass {
    /// Who is responsible for it.
    pub controller_name: String,
    /// What its Gateways get unless they say otherwise.
    pub parameters_ref: Option<ParametersRef>,
}

/// A reference to parameters of a GatewayClass, or (without a namespace) of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ParametersRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; absent for a cluster-scoped kind.
    pub namespace: Option<String>,
}

/// Gateway.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Name of the GatewayClass.
    pub gateway_class_name: String,
    /// Listeners.
    pub listeners: Vec<Listener>,
    /// Requested addresses.
    pub addresses: Vec<Address>,
    /// What is made for it.
    pub infrastructure: Infrastructure,
    /// TLS of all its listeners, and towards backends.
    pub tls: GatewayTls,
    /// From where ListenerSets may add listeners.
    pub allowed_listeners: Option<AllowedListeners>,
}

/// TLS of a Gateway as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayTls {
    /// Towards clients.
    pub frontend: Option<FrontendTls>,
    /// Towards backends.
    pub backend: Option<BackendTls>,
}

/// TLS towards clients of all HTTPS listeners.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTls {
    /// For ports that have nothing of their own.
    pub default: TlsConfig,
    /// For single ports, instead.
    pub per_port: Vec<TlsPortConfig>,
}

/// TLS of the listeners of a port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsPortConfig {
    /// Port clients see.
    pub port: u16,
    /// What holds there.
    pub tls: TlsConfig,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// How clients prove who they are; absent: they are not asked.
    pub validation: Option<FrontendValidation>,
}

/// How clients prove who they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendValidation {
    /// Where CA certificates are kept.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `AllowValidOnly` (the default) or `AllowInsecureFallback`.
    pub mode: Option<String>,
}

/// A reference to an object, in the Gateway's namespace unless it says another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; the Gateway's when absent.
    pub namespace: Option<String>,
}

/// TLS towards backends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTls {
    /// The certificate that backends are shown.
    pub client_certificate_ref: Option<CertificateRef>,
}

/// ListenerSet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSet {
    /// The Gateway that gets the listeners.
    pub parent_ref: ParentGateway,
    /// Listeners.
    pub listeners: Vec<Listener>,
}

/// The Gateway of a ListenerSet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ParentGateway {
    /// API group; the Gateway API's when absent.
    pub group: Option<String>,
    /// Kind; Gateway when absent.
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the ListenerSet's when absent.
    pub namespace: Option<String>,
}

/// What is made for a Gateway.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    /// Labels of everything that is made for this Gateway alone.
    pub labels: BTreeMap<String, String>,
    /// Annotations, likewise.
    pub annotations: BTreeMap<String, String>,
    /// The load balancer, unless annotations name one.
    pub parameters_ref: Option<ParametersRef>,
}

/// From where ListenerSets may add listeners.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedListeners {
    /// Namespaces: `from` is `None` when absent.
    pub namespaces: Option<RouteNamespaces>,
}

/// A requested address.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Type; `IPAddress` when absent.
    pub r#type: Option<String>,
    /// Value.
    pub value: String,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Name, unique in the Gateway.
    pub name: String,
    /// Hostname; absent or empty for any.
    pub hostname: Option<String>,
    /// Port clients see.
    pub port: u16,
    /// Protocol.
    pub protocol: String,
    /// Which routes may attach.
    pub allowed_routes: Option<AllowedRoutes>,
    /// For HTTPS and TLS.
    pub tls: Option<ListenerTls>,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// `Terminate` (the default) or `Passthrough`.
    pub mode: Option<String>,
    /// Certificates.
    pub certificate_refs: Vec<CertificateRef>,
    /// Not supported; kept to say so.
    pub options: BTreeMap<String, String>,
}

/// A reference to a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateRef {
    /// API group; core when absent.
    pub group: Option<String>,
    /// Kind; Secret when absent.
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the Gateway's when absent.
    pub namespace: Option<String>,
}

/// Which routes may attach to a listener.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: Option<RouteNamespaces>,
    /// Of which kinds.
    pub kinds: Vec<RouteKind>,
}

/// Namespaces from which routes may attach.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// `Same` (the default), `All`, `Selector` or `None`.
    pub from: Option<String>,
    /// For `Selector`.
    pub selector: Option<NamespaceSelector>,
}

/// A label selector.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceSelector {
    /// Labels that must be there.
    pub match_labels: BTreeMap<String, String>,
    /// Expressions that must hold.
    pub match_expressions: Vec<SelectorExpression>,
}

/// One expression of a label selector.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectorExpression {
    /// Label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    pub values: Vec<String>,
}

/// A kind of route.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteKind {
    /// API group; the Gateway API's when absent.
    pub group: Option<String>,
    /// Kind.
    pub kind: String,
}

/// ReferenceGrant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReferenceGrant {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer to the objects of a grant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantFrom {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// What may be referred to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantTo {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; absent for all.
    pub name: Option<String>,
}

/// ApplicationLoadBalancer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Subnets; kept, not interpreted.
    pub associations: Vec<String>,
}

/// TrafficController.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficController {
    /// Resource id.
    pub id: String,
    /// Frontends.
    pub frontends: Vec<alb_api::TrafficControllerFrontend>,
}
