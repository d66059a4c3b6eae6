//! What the controller knows of the cluster: plain data, as few fields of each object as it needs.
//!
//! The maps are ordered, so that translating the same world twice gives the same bytes in every replica.

mod ca;
mod certificate;
mod changes;
mod core;
mod filter;
mod gateway;
mod grpc_route;
mod ingest;
mod kind;
mod policy;
mod route;

pub use self::core::{
    Deployment, Endpoint, EndpointPort, EndpointSlice, Identity, Ingress, Pod, Service, ServicePort,
    TargetRef,
};
pub use ca::CaBundle;
pub use certificate::{KeyPair, TlsSecret};
pub use changes::Changes;
pub use filter::{
    BackendRef, Cors, Filter, Fraction, Header, HeaderModifier, PathModifier, RequestMirror, RequestRedirect,
    UrlRewrite,
};
pub use gateway::{
    Address, AllowedListeners, AllowedRoutes, BackendTls, CertificateRef, FrontendTls, FrontendValidation,
    Gateway, GatewayClass, GatewayTls, GrantFrom, GrantTo, Infrastructure, Listener, ListenerSet,
    ListenerTls, LoadBalancer, NamespaceSelector, ObjectRef, ParametersRef, ParentGateway, ReferenceGrant,
    RouteKind, RouteNamespaces, SelectorExpression, TlsConfig, TlsPortConfig, TrafficController,
};
pub use grpc_route::GRPC_METHOD;
pub(crate) use ingest::INGRESS_CLASS_ANNOTATION;
pub use ingest::{Change, Difference, Problem, Seen};
pub use kind::{Scope, Watched};
pub use policy::{BackendTlsPolicy, CaCertificateRef, PolicyTargetRef, SubjectAltName, Validation};
pub use route::{HttpRoute, NamedMatch, ParentRef, PathMatch, RouteMatch, Rule, Timeouts};

use alb_api::{Edition, FrontendTlsPolicySpec, RoutePolicySpec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Namespace and name of an object; the namespace of a cluster-scoped one is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
pub struct Key {
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The part of an object's metadata that decisions rest on.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Meta {
    /// Identity over renames and re-creations.
    pub uid: String,
    /// Generation of the specification, for `observedGeneration`.
    pub generation: i64,
    /// Version for optimistic concurrency; empty for kinds the controller never writes.
    pub resource_version: String,
    /// Creation time, seconds since the epoch: the older object wins a conflict.
    pub created: i64,
    /// Deletion has begun.
    pub deleting: bool,
    /// Labels, for the kinds whose labels matter.
    pub labels: BTreeMap<String, String>,
    /// Annotations, for the kinds whose annotations matter.
    pub annotations: BTreeMap<String, String>,
}

/// An object: metadata, the specification as far as it matters, and the status as it stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Object<T> {
    /// Metadata.
    pub meta: Meta,
    /// Specification.
    pub spec: T,
    /// Status as last seen; null where there is none or where it does not matter.
    pub status: serde_json::Value,
}

/// An object that could not be read. It is left out; everything else goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unreadable {
    /// Kind of the object.
    pub kind: Watched,
    /// Its name.
    pub key: Key,
    /// Its uid, for the event.
    pub uid: String,
    /// What is wrong with it.
    pub message: String,
}

/// Objects of one kind. Shared, so that what is made of them can keep them.
pub type Objects<T> = BTreeMap<Key, Arc<Object<T>>>;

/// Everything the controller watches.
#[derive(Debug, Clone, Default, Serialize)]
pub struct World {
    /// GatewayClasses, ours and others'.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub gateway_classes: Objects<GatewayClass>,
    /// Gateways of all classes.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub gateways: Objects<Gateway>,
    /// ListenerSets, whomever they belong to.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub listener_sets: Objects<ListenerSet>,
    /// HTTPRoutes.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub routes: Objects<HttpRoute>,
    /// GRPCRoutes, as HTTPRoutes with the same meaning.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub grpc_routes: Objects<HttpRoute>,
    /// TLSRoutes, which look like HTTPRoutes of which the rules hold backends and nothing else.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub tls_routes: Objects<HttpRoute>,
    /// ReferenceGrants.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub grants: Objects<ReferenceGrant>,
    /// BackendTLSPolicies.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub backend_tls_policies: Objects<BackendTlsPolicy>,
    /// RoutePolicies.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub route_policies: Objects<RoutePolicySpec>,
    /// FrontendTLSPolicies.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub frontend_tls_policies: Objects<FrontendTlsPolicySpec>,
    /// WebApplicationFirewallPolicies (only to say that there is no such thing).
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub firewall_policies: Objects<()>,
    /// CA certificates of the ConfigMaps that policies refer to; nothing while the API server has not answered for one.
    pub ca_bundles: BTreeMap<Key, CaBundle>,
    /// Certificates of the Secrets that listeners refer to; nothing while the API server has not answered for one.
    pub tls_secrets: BTreeMap<Key, TlsSecret>,
    /// ApplicationLoadBalancers (managed deployment).
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub load_balancers: Objects<LoadBalancer>,
    /// TrafficControllers (bring your own).
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub traffic_controllers: Objects<TrafficController>,
    /// Services of all namespaces, the frontends' among them.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub services: Objects<Service>,
    /// EndpointSlices of all namespaces.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub endpoint_slices: Objects<EndpointSlice>,
    /// Namespaces whose pods are known.
    pub pod_namespaces: BTreeSet<String>,
    /// Pods of these namespaces: only their service account.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub pods: Objects<Pod>,
    /// Namespaces: only their labels.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub namespaces: Objects<()>,
    /// The identity that the Istio extension published.
    pub identity: Option<Identity>,
    /// Deployments of the data-plane namespace.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub deployments: Objects<Deployment>,
    /// PodDisruptionBudgets of the data-plane namespace.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub disruption_budgets: Objects<()>,
    /// HorizontalPodAutoscalers of the data-plane namespace.
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub autoscalers: Objects<()>,
    /// Ingresses (only to say that they are not served, R8).
    #[serde(serialize_with = "ingest::serialize_objects")]
    pub ingresses: Objects<Ingress>,
    /// Uid of the proxies' service account, which the chart makes: what the controller makes goes with it.
    pub owner: Option<String>,
    /// Objects that could not be read.
    #[serde(serialize_with = "ingest::serialize_unreadable")]
    pub unreadable: BTreeMap<(Watched, Key), Unreadable>,
    /// The edition of the document that decides which labels of a namespace count.
    #[serde(skip)]
    pub edition: Edition,
    /// What has changed since somebody last took this.
    #[serde(skip)]
    pub changes: Changes,
}

impl World {
    /// Whether the gateway speaks mutual TLS of Istio to every service of a namespace: its labels alone decide (R17, R50).
    pub fn is_in_mesh(&self, namespace: &str) -> bool {
        self.mesh_label(namespace).is_some()
    }

    /// The label of a namespace, with its value, that means mutual TLS of Istio to every service in it.
    pub fn mesh_label(&self, namespace: &str) -> Option<(&'static str, &str)> {
        self.edition.mesh_label(self.namespace_labels(namespace)?)
    }

    /// Whether a namespace asks for ambient mode, which is not supported, and for nothing else (R51).
    pub fn is_ambient_only(&self, namespace: &str) -> bool {
        self.namespace_labels(namespace).is_some_and(|labels| self.edition.is_ambient_only(labels))
    }

    /// Notes that all pods of a namespace are known from now on. Returns whether that is news.
    pub fn know_pods(&mut self, namespace: &str) -> bool {
        let news = self.pod_namespaces.insert(namespace.to_owned());
        self.changes.note(Watched::Pod, &Key::new(namespace, ""), news.into());
        news
    }

    /// Forgets the pods of a namespace.
    pub fn forget_pods(&mut self, namespace: &str) {
        let pods: Vec<Key> = of_namespace(&self.pods, namespace).map(|(key, _)| key.clone()).collect();
        for key in pods {
            self.remove(Watched::Pod, &key);
        }
        let known = self.pod_namespaces.remove(namespace);
        self.changes.note(Watched::Pod, &Key::new(namespace, ""), known.into());
    }

    /// ReferenceGrants of a namespace.
    pub fn grants_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a ReferenceGrant> {
        of_namespace(&self.grants, namespace).map(|(_, grant)| &grant.spec)
    }

    /// Routes of a kind: HTTPRoutes, unless it is another.
    pub fn routes_of_kind(&self, kind: Watched) -> &Objects<HttpRoute> {
        match kind {
            Watched::GrpcRoute => &self.grpc_routes,
            Watched::TlsRoute => &self.tls_routes,
            _ => &self.routes,
        }
    }

    /// Whether a namespace is going away, with everything in it: nothing new can be made there.
    pub fn is_terminating(&self, namespace: &str) -> bool {
        self.namespaces.get(&Key::new("", namespace)).is_some_and(|object| object.meta.deleting)
    }

    /// Labels of a namespace, if it exists.
    pub fn namespace_labels(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(&Key::new("", name)).map(|namespace| &namespace.meta.labels)
    }
}

/// The objects of a namespace.
pub(crate) fn of_namespace<'a, T>(
    objects: &'a Objects<T>,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Object<T>>)> {
    let first = Key::new(namespace, "");
    objects.range(first..).take_while(move |(key, _)| key.namespace == namespace)
}
