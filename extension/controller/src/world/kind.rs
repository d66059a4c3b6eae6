//! The kinds that are watched: how to ask for them, and what to remember of their metadata.

use alb_api::names;
use kube::core::{ApiResource, GroupVersionKind};
use serde::Serialize;

/// A kind the controller watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[allow(missing_docs)]
pub enum Watched {
    GatewayClass,
    Gateway,
    HttpRoute,
    GrpcRoute,
    TlsRoute,
    ListenerSet,
    ReferenceGrant,
    BackendTlsPolicy,
    RoutePolicy,
    FrontendTlsPolicy,
    FirewallPolicy,
    ConfigMap,
    Certificate,
    LoadBalancer,
    TrafficController,
    Service,
    EndpointSlice,
    Pod,
    Namespace,
    Identity,
    Deployment,
    DisruptionBudget,
    Autoscaler,
    Ingress,
    Owner,
}

/// Where objects of a kind are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces, or the kind has none.
    Cluster,
    /// One object: its namespace and name.
    One(&'static str, &'static str),
    /// The data-plane namespace.
    DataPlane,
    /// Only where other objects refer to them: one by one, or (pods) the namespaces that matter.
    Referenced,
}

impl Watched {
    /// Kinds of routes.
    pub const ROUTES: [Self; 3] = [Self::HttpRoute, Self::GrpcRoute, Self::TlsRoute];

    /// All of them. Kinds that change least come first, so that a first translation finds them complete.
    pub const ALL: [Self; 25] = [
        Self::Owner,
        Self::Namespace,
        Self::GatewayClass,
        Self::LoadBalancer,
        Self::TrafficController,
        Self::Gateway,
        Self::ListenerSet,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::ReferenceGrant,
        Self::BackendTlsPolicy,
        Self::RoutePolicy,
        Self::FrontendTlsPolicy,
        Self::FirewallPolicy,
        Self::ConfigMap,
        Self::Certificate,
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
        Self::Identity,
        Self::Deployment,
        Self::DisruptionBudget,
        Self::Autoscaler,
        Self::Ingress,
    ];

    /// API resources under which objects of this kind are served, the one to be preferred first: a cluster may know the older
    /// ones only.
    pub fn resources(self) -> Vec<ApiResource> {
        let mut all = vec![self.resource()];
        if self == Self::ReferenceGrant {
            let older = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1beta1", "ReferenceGrant");
            all.push(ApiResource::from_gvk_with_plural(&older, "referencegrants"));
        }
        all
    }

    /// API resource to watch.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::GatewayClass => ("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses"),
            Self::Gateway => ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::GrpcRoute => ("gateway.networking.k8s.io", "v1", "GRPCRoute", "grpcroutes"),
            Self::TlsRoute => ("gateway.networking.k8s.io", "v1", "TLSRoute", "tlsroutes"),
            Self::ReferenceGrant => ("gateway.networking.k8s.io", "v1", "ReferenceGrant", "referencegrants"),
            Self::ListenerSet => ("gateway.networking.k8s.io", "v1", "ListenerSet", "listenersets"),
            Self::BackendTlsPolicy => {
                ("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies")
            }
            Self::RoutePolicy => (names::GROUP, "v1", "RoutePolicy", "routepolicies"),
            Self::FrontendTlsPolicy => (names::GROUP, "v1", "FrontendTLSPolicy", "frontendtlspolicies"),
            Self::FirewallPolicy => {
                (names::GROUP, "v1", "WebApplicationFirewallPolicy", "webapplicationfirewallpolicy")
            }
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::LoadBalancer => (names::GROUP, "v1", "ApplicationLoadBalancer", "applicationloadbalancers"),
            Self::TrafficController => (names::GROUP, "v1", "TrafficController", "trafficcontrollers"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Identity | Self::Certificate => ("", "v1", "Secret", "secrets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::DisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Autoscaler => ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::Owner => ("", "v1", "ServiceAccount", "serviceaccounts"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Where to look.
    pub fn scope(self) -> Scope {
        match self {
            Self::Identity => Scope::One(names::CONTROLLER_NAMESPACE, names::IDENTITY_SECRET),
            Self::Owner => Scope::One(names::DATA_PLANE_NAMESPACE, names::PROXY_SERVICE_ACCOUNT),
            Self::Deployment | Self::DisruptionBudget | Self::Autoscaler => Scope::DataPlane,
            Self::ConfigMap | Self::Certificate | Self::Pod => Scope::Referenced,
            _ => Scope::Cluster,
        }
    }

    /// Whether a cluster may lack the kind, which then means that there are none.
    pub fn is_optional(self) -> bool {
        // Part of the Gateway API's standard channel since 1.4, 1.1, 1.5 and 1.5 only.
        // Definitions of our own that have come later: helm does not add them to a release that is upgraded.
        matches!(
            self,
            Self::BackendTlsPolicy
                | Self::GrpcRoute
                | Self::ListenerSet
                | Self::TlsRoute
                | Self::RoutePolicy
                | Self::FrontendTlsPolicy
                | Self::FirewallPolicy
        )
    }

    /// Whether the controller writes objects of this kind, or their status: then their version is needed.
    pub(super) fn is_written(self) -> bool {
        self.keeps_status() || self.is_of_data_plane()
    }

    /// Whether the controller makes objects of this kind, and nothing else with it.
    fn is_of_data_plane(self) -> bool {
        self.scope() == Scope::DataPlane
    }

    /// Whether the status is remembered as it stands.
    pub(super) fn keeps_status(self) -> bool {
        matches!(
            self,
            Self::GatewayClass
                | Self::Gateway
                | Self::HttpRoute
                | Self::GrpcRoute
                | Self::TlsRoute
                | Self::ListenerSet
                | Self::BackendTlsPolicy
                | Self::RoutePolicy
                | Self::FrontendTlsPolicy
                | Self::FirewallPolicy
                | Self::LoadBalancer
        )
    }

    /// Whether labels of an object of this kind matter.
    pub(super) fn keeps_labels(self, in_data_plane: bool) -> bool {
        match self {
            Self::Namespace => true,
            Self::Service => in_data_plane,
            _ => self.is_of_data_plane(),
        }
    }

    /// Whether annotations of an object of this kind matter. Only our own are kept.
    pub(super) fn keeps_annotations(self, in_data_plane: bool) -> bool {
        match self {
            Self::Gateway | Self::Ingress => true,
            Self::Service => in_data_plane,
            _ => self.is_of_data_plane(),
        }
    }
}
