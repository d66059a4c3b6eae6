//! What the controller knows of the cluster: plain data, as few fields of each object as it needs.
//!
//! The maps are ordered, so that translating the same world twice gives the same bytes in every replica.

mod ca;
mod core;
mod gateway;
mod ingest;
mod kind;
mod policy;
mod route;

pub use self::core::{
    Deployment, Endpoint, EndpointPort, EndpointSlice, Identity, Ingress, Pod, Service, ServicePort,
    TargetRef,
};
pub use ca::CaBundle;
pub use gateway::{
    Address, AllowedRoutes, Gateway, GatewayClass, GrantFrom, GrantTo, Listener, LoadBalancer,
    NamespaceSelector, ReferenceGrant, RouteKind, RouteNamespaces, SelectorExpression, TrafficController,
};
pub(crate) use ingest::INGRESS_CLASS_ANNOTATION;
pub use ingest::{Change, Difference, Problem, Seen};
pub use kind::{Scope, Watched};
pub use policy::{BackendTlsPolicy, CaCertificateRef, PolicyTargetRef, SubjectAltName, Validation};
pub use route::{
    BackendRef, Filter, HttpRoute, NamedMatch, ParentRef, PathMatch, RouteMatch, Rule, Timeouts,
};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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

/// Everything the controller watches.
#[derive(Debug, Clone, Default, Serialize)]
pub struct World {
    /// GatewayClasses, ours and others'.
    pub gateway_classes: BTreeMap<Key, Object<GatewayClass>>,
    /// Gateways of all classes.
    pub gateways: BTreeMap<Key, Object<Gateway>>,
    /// HTTPRoutes.
    pub routes: BTreeMap<Key, Object<HttpRoute>>,
    /// ReferenceGrants.
    pub grants: BTreeMap<Key, Object<ReferenceGrant>>,
    /// BackendTLSPolicies.
    pub backend_tls_policies: BTreeMap<Key, Object<BackendTlsPolicy>>,
    /// CA certificates of the ConfigMaps that policies refer to; nothing while the API server has not answered for one.
    pub ca_bundles: BTreeMap<Key, CaBundle>,
    /// ApplicationLoadBalancers (managed deployment).
    pub load_balancers: BTreeMap<Key, Object<LoadBalancer>>,
    /// TrafficControllers (bring your own).
    pub traffic_controllers: BTreeMap<Key, Object<TrafficController>>,
    /// Services of all namespaces, the frontends' among them.
    pub services: BTreeMap<Key, Object<Service>>,
    /// EndpointSlices of all namespaces.
    pub endpoint_slices: BTreeMap<Key, Object<EndpointSlice>>,
    /// Pods: only their service account.
    pub pods: BTreeMap<Key, Object<Pod>>,
    /// Namespaces: only their labels.
    pub namespaces: BTreeMap<Key, Object<()>>,
    /// The identity that the Istio extension published.
    pub identity: Option<Identity>,
    /// Deployments of the data-plane namespace.
    pub deployments: BTreeMap<Key, Object<Deployment>>,
    /// Ingresses (only to say that they are not served, R8).
    pub ingresses: BTreeMap<Key, Object<Ingress>>,
    /// Uid of the proxies' service account, which the chart makes: what the controller makes goes with it.
    pub owner: Option<String>,
    /// Objects that could not be read.
    #[serde(serialize_with = "ingest::serialize_unreadable")]
    pub unreadable: BTreeMap<(Watched, Key), Unreadable>,
}

impl World {
    /// Whether the gateway speaks mutual TLS of Istio to every service of a namespace: its label alone decides (R17).
    pub fn is_in_mesh(&self, namespace: &str) -> bool {
        let (label, value) = alb_api::names::ISTIO_INJECTION;
        self.namespace_labels(namespace).is_some_and(|labels| labels.get(label).is_some_and(|v| v == value))
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
