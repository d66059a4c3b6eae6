//! Kinds whose objects are kept.

/// A kind: group, version, kind, plural.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

impl Kind {
    /// The one of scenarios.
    pub(super) fn of(kind: &'static meshproof_model::scenario::kinds::Kind) -> Self {
        Self(kind.group, kind.version, kind.kind, kind.plural)
    }

    /// Whether its objects are kept in any case.
    pub(super) fn is_collected(self) -> bool {
        let Self(group, _, _, plural) = self;
        NAMESPACED.iter().chain(CLUSTER_WIDE).any(|known| known.0 == group && known.3 == plural)
    }

    pub(super) fn resource(self) -> kube::api::ApiResource {
        let Self(group, version, kind, plural) = self;
        let api_version = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
        kube::api::ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }
}

/// Kinds in the namespaces concerned. Those the diagnosis looks at come first.
pub(super) const NAMESPACED: &[Kind] = &[
    Kind("", "v1", "Pod", "pods"),
    Kind("", "v1", "Service", "services"),
    Kind("apps", "v1", "Deployment", "deployments"),
    Kind("", "v1", "Secret", "secrets"),
    Kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
    Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    Kind("security.istio.io", "v1", "PeerAuthentication", "peerauthentications"),
    Kind("", "v1", "Event", "events"),
    Kind("gateway.networking.k8s.io", "v1beta1", "ReferenceGrant", "referencegrants"),
    Kind("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies"),
    Kind("", "v1", "ConfigMap", "configmaps"),
    Kind("alb.networking.azure.io", "v1", "ApplicationLoadBalancer", "applicationloadbalancers"),
    Kind("security.istio.io", "v1", "AuthorizationPolicy", "authorizationpolicies"),
    Kind("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
    Kind("networking.istio.io", "v1alpha3", "EnvoyFilter", "envoyfilters"),
    Kind("networking.istio.io", "v1", "Sidecar", "sidecars"),
    Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    Kind("apps", "v1", "ReplicaSet", "replicasets"),
    Kind("coordination.k8s.io", "v1", "Lease", "leases"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
];

/// Kinds outside of namespaces.
pub(super) const CLUSTER_WIDE: &[Kind] = &[
    Kind("", "v1", "Namespace", "namespaces"),
    Kind("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses"),
    Kind("", "v1", "Node", "nodes"),
    Kind("alb.networking.azure.io", "v1", "TrafficController", "trafficcontrollers"),
    Kind(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
];
