//! Names that several programs, the charts and people rely on.

/// API group of the custom resources, prefix of annotations and labels.
pub const GROUP: &str = "alb.networking.azure.io";

/// `spec.controllerName` of our GatewayClass and of our entries in a route's status (R40).
pub const CONTROLLER_NAME: &str = "alb.networking.azure.io/alb-controller";

/// The GatewayClass of the document (R23), and the IngressClass that is refused (R8).
pub const GATEWAY_CLASS: &str = "azure-alb-external";

/// Namespace of ALB Controller and its extension (R12).
pub const CONTROLLER_NAMESPACE: &str = "azure-alb-system";

/// Namespace of the proxies and the frontends' Services.
pub const DATA_PLANE_NAMESPACE: &str = "azure-alb-dataplane";

/// Default DNS zone of frontends.
pub const DEFAULT_ZONE: &str = "alb.internal";

/// Secret with the Istio identity, in [`CONTROLLER_NAMESPACE`].
pub const IDENTITY_SECRET: &str = "alb-controller-istio-extension-identity";

/// Service account of the proxies, in [`DATA_PLANE_NAMESPACE`].
pub const PROXY_SERVICE_ACCOUNT: &str = "alb-proxy";

/// Audience of the token a proxy shows to the controller.
pub const PROXY_TOKEN_AUDIENCE: &str = "alb-controller";

/// Service (without selector) and EndpointSlice of the configuration server.
pub const CONFIG_SERVICE: &str = "alb-controller-config";

/// Port of the configuration server.
pub const CONFIG_PORT: u16 = 8443;

/// Secret with the certificate authority of the configuration server, in [`CONTROLLER_NAMESPACE`].
pub const CONFIG_TLS_SECRET: &str = "alb-controller-config-tls";

/// ConfigMap with that authority's certificate (key `ca.crt`), in [`DATA_PLANE_NAMESPACE`].
pub const CONFIG_CA_CONFIG_MAP: &str = "alb-controller-config-ca";

/// Lease of the controller's leader, in [`CONTROLLER_NAMESPACE`].
pub const CONTROLLER_LEASE: &str = "alb-controller";

/// Namespace label, and its value, that asks for Istio (R17).
pub const ISTIO_INJECTION: (&str, &str) = ("istio-injection", "enabled");

/// Namespace label that asks for a revision of Istio (R50).
pub const ISTIO_REVISION: &str = "istio.io/rev";

/// Namespace label, and its value, that asks for ambient mode, which is not supported (R51).
pub const AMBIENT: (&str, &str) = ("istio.io/dataplane-mode", "ambient");

/// SPIFFE trust domain when no identity has been published yet.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// Annotations.
pub mod annotation {
    /// Gateway: namespace of the ApplicationLoadBalancer (R23).
    pub const ALB_NAMESPACE: &str = "alb.networking.azure.io/alb-namespace";
    /// Gateway: name of the ApplicationLoadBalancer (R23).
    pub const ALB_NAME: &str = "alb.networking.azure.io/alb-name";
    /// Gateway: resource id of a bring-your-own load balancer (R25).
    pub const ALB_ID: &str = "alb.networking.azure.io/alb-id";
    /// Frontend's Service: the Gateway it belongs to, `<namespace>/<name>`.
    pub const GATEWAY: &str = "alb.networking.azure.io/gateway";
    /// Frontend's Service and proxies' Deployment: the load balancer they belong to, in full.
    pub const LOAD_BALANCER: &str = "alb.networking.azure.io/load-balancer";
    /// Data-plane object: hash of what the controller wanted when it last wrote it.
    pub const TEMPLATE_HASH: &str = "alb.networking.azure.io/template-hash";
    /// Identity Secret: SPIFFE id of the certificate.
    pub const SPIFFE_ID: &str = "alb.networking.azure.io/spiffe-id";
}

/// Labels.
pub mod label {
    /// Frontend's Service: the frontend's name.
    pub const FRONTEND: &str = "alb.networking.azure.io/frontend";
    /// Proxies and frontends' Services: the load balancer, shortened to a valid label value.
    pub const LOAD_BALANCER: &str = "alb.networking.azure.io/load-balancer";
    /// Every object the controller makes.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY`].
    pub const MANAGED_BY_VALUE: &str = "alb-controller";
}

/// `spec.addresses[].type` of a bring-your-own Gateway (R25).
pub const FRONTEND_ADDRESS_TYPE: &str = "alb.networking.azure.io/alb-frontend";

/// `status.addresses[].type` (R27).
pub const HOSTNAME_ADDRESS_TYPE: &str = "Hostname";
