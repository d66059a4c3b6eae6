//! Condition types, reasons and messages, letter for letter as the document prints them.

/// Gateway, condition `Accepted` (R28).
pub const GATEWAY_ACCEPTED: &str = "Valid Gateway";

/// Gateway, listener and route, condition `Programmed` (R29, R32, R39).
pub const PROGRAMMED: &str = "Application Gateway For Containers resource has been successfully updated.";

/// Listener, condition `Accepted` (R31).
pub const LISTENER_ACCEPTED: &str = "Listener is accepted";

/// Listener (R30) and route (R37), condition `ResolvedRefs`: the message is empty.
pub const RESOLVED_REFS: &str = "";

/// Route, condition `ResolvedRefs`, where the namespace of a backend asks for ambient mode and for nothing else (R51).
pub fn ambient_unsupported(namespace: &str) -> String {
    format!(
        "Namespace {namespace} is labelled for Istio's ambient mode, which is not supported: its services are not reached by mutual \
         TLS. Label it istio-injection: enabled or istio.io/rev for sidecars"
    )
}

/// Route, condition `Accepted` (R38).
pub const ROUTE_ACCEPTED: &str = "Route is Accepted";

/// `ApplicationLoadBalancer`, condition `Accepted`.
pub const LOAD_BALANCER_ACCEPTED: &str = "Valid Application Gateway for Containers resource";

/// `GatewayClass`, condition `Accepted`.
pub const GATEWAY_CLASS_ACCEPTED: &str = "Valid GatewayClass";

/// `ApplicationLoadBalancer`, condition `Deployment`, once the data plane runs: `alb-id=<resource id>`.
pub fn load_balancer_ready(resource_id: &str) -> String {
    format!("alb-id={resource_id}")
}

/// `ApplicationLoadBalancer`, condition `Deployment`, while the data plane starts; `name` is the last
/// segment of the resource id.
pub fn load_balancer_in_progress(name: &str) -> String {
    format!("Application Gateway for Containers resource {name} is undergoing an update.")
}

/// `BackendTLSPolicy`, condition `Accepted`.
pub const BACKEND_TLS_POLICY_ACCEPTED: &str = "Valid BackendTLSPolicy";

/// `RoutePolicy`, condition `Accepted`.
pub const ROUTE_POLICY_ACCEPTED: &str = "Valid RoutePolicy";

/// `FrontendTLSPolicy`, condition `Accepted`.
pub const FRONTEND_TLS_POLICY_ACCEPTED: &str = "Valid FrontendTLSPolicy";

/// `WebApplicationFirewallPolicy`, condition `Accepted`, which is never true.
pub const NO_FIREWALL: &str = "Web application firewalls are not supported: requests are served without one";

/// Condition types.
pub mod condition {
    /// The object's specification is valid and will be acted upon.
    pub const ACCEPTED: &str = "Accepted";
    /// The data plane works by it.
    pub const PROGRAMMED: &str = "Programmed";
    /// All references lead somewhere they may.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// Some of a route's rules are not served as they are.
    pub const PARTIALLY_INVALID: &str = "PartiallyInvalid";
    /// A listener shares its port with one it cannot be told apart from.
    pub const CONFLICTED: &str = "Conflicted";
    /// Clients of a Gateway need no valid certificate.
    pub const INSECURE_FRONTEND_VALIDATION_MODE: &str = "InsecureFrontendValidationMode";
    /// State of an `ApplicationLoadBalancer`'s data plane.
    pub const DEPLOYMENT: &str = "Deployment";
}

/// Reasons of conditions: the Gateway API's, and the document's for `ApplicationLoadBalancer`.
pub mod reason {
    /// Positive `Accepted`.
    pub const ACCEPTED: &str = "Accepted";
    /// Positive `Programmed`.
    pub const PROGRAMMED: &str = "Programmed";
    /// Positive `ResolvedRefs`.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// Not yet: the data plane has not answered.
    pub const PENDING: &str = "Pending";
    /// The object, or a part of it, is wrong.
    pub const INVALID: &str = "Invalid";
    /// Gateway: its certificate for backends does not exist or cannot be used.
    pub const INVALID_CLIENT_CERTIFICATE_REF: &str = "InvalidClientCertificateRef";
    /// Gateway: a reference of one of its listeners does not resolve.
    pub const LISTENERS_NOT_RESOLVED: &str = "ListenersNotResolved";
    /// Gateway: clients of some port need no valid certificate.
    pub const CONFIGURATION_CHANGED: &str = "ConfigurationChanged";
    /// Listener: a reference to CA certificates for clients is of a kind that is not supported.
    pub const INVALID_CA_CERTIFICATE_KIND: &str = "InvalidCACertificateKind";
    /// ListenerSet: the Gateway takes none from its namespace.
    pub const NOT_ALLOWED: &str = "NotAllowed";
    /// ListenerSet: its Gateway is not accepted.
    pub const PARENT_NOT_ACCEPTED: &str = "ParentNotAccepted";
    /// ListenerSet: its Gateway does not work.
    pub const PARENT_NOT_PROGRAMMED: &str = "ParentNotProgrammed";
    /// Gateway: one of its listeners is not valid.
    pub const LISTENERS_NOT_VALID: &str = "ListenersNotValid";
    /// Gateway: it names a load balancer that does not exist, or none.
    pub const INVALID_PARAMETERS: &str = "InvalidParameters";
    /// Gateway: an address of a type that is not known.
    pub const UNSUPPORTED_ADDRESS: &str = "UnsupportedAddress";
    /// Gateway: the named frontend cannot be had.
    pub const ADDRESS_NOT_USABLE: &str = "AddressNotUsable";
    /// Gateway: the frontend has no address yet.
    pub const ADDRESS_NOT_ASSIGNED: &str = "AddressNotAssigned";
    /// Listener: a protocol this implementation does not serve.
    pub const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
    /// Listener: a certificate that does not exist or cannot be used.
    pub const INVALID_CERTIFICATE_REF: &str = "InvalidCertificateRef";
    /// Listener: `allowedRoutes.kinds` names kinds other than HTTPRoute.
    pub const INVALID_ROUTE_KINDS: &str = "InvalidRouteKinds";
    /// Listener: another listener has the same port and hostname. Route: one of another kind has the same hostname.
    pub const HOSTNAME_CONFLICT: &str = "HostnameConflict";
    /// Listener: another listener has the same port and a different protocol.
    pub const PROTOCOL_CONFLICT: &str = "ProtocolConflict";
    /// Route: the Gateway has no such listener.
    pub const NO_MATCHING_PARENT: &str = "NoMatchingParent";
    /// Route: no hostname in common.
    pub const NO_MATCHING_LISTENER_HOSTNAME: &str = "NoMatchingListenerHostname";
    /// Route: the listener does not admit routes of this namespace or kind.
    pub const NOT_ALLOWED_BY_LISTENERS: &str = "NotAllowedByListeners";
    /// Route: filters that do not go together.
    pub const INCOMPATIBLE_FILTERS: &str = "IncompatibleFilters";
    /// Route: a feature that this implementation does not offer.
    pub const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
    /// Route: a backend in another namespace, without a ReferenceGrant.
    pub const REF_NOT_PERMITTED: &str = "RefNotPermitted";
    /// Route: a backend that is no Service. BackendTLSPolicy: a CA certificate that is no ConfigMap.
    pub const INVALID_KIND: &str = "InvalidKind";
    /// Route: the Service, or its port, does not exist.
    pub const BACKEND_NOT_FOUND: &str = "BackendNotFound";
    /// Route: the Service's port speaks a protocol this implementation does not.
    pub const UNSUPPORTED_BACKEND_PROTOCOL: &str = "UnsupportedProtocol";
    /// BackendTLSPolicy: another policy for the same target takes precedence.
    pub const CONFLICTED: &str = "Conflicted";
    /// BackendTLSPolicy: the Service, or its port, does not exist.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// BackendTLSPolicy: none of its CA certificates can be used.
    pub const NO_VALID_CA_CERTIFICATE: &str = "NoValidCACertificate";
    /// BackendTLSPolicy: a CA certificate does not exist or cannot be read.
    pub const INVALID_CA_CERTIFICATE_REF: &str = "InvalidCACertificateRef";
    /// BackendTLSPolicy: its status has no room for more ancestors.
    pub const TOO_MANY_ANCESTORS: &str = "TooManyAncestors";
    /// RoutePolicy: some of the route's rules have a time limit of their own, which takes precedence.
    pub const ACCEPTED_WITH_TIMEOUT_CONFLICT: &str = "AcceptedWithTimeoutConflict";
    /// RoutePolicy: it is wrong, or so is what it is about.
    pub const INVALID_ROUTE_POLICY: &str = "InvalidRoutePolicy";
    /// RoutePolicy: the HTTPRoute does not exist.
    pub const INVALID_HTTP_ROUTE: &str = "InvalidHTTPRoute";
    /// RoutePolicy: the GRPCRoute does not exist.
    pub const INVALID_GRPC_ROUTE: &str = "InvalidGRPCRoute";
    /// FrontendTLSPolicy: it is wrong, or so is what it is about.
    pub const INVALID_FRONTEND_TLS_POLICY: &str = "InvalidFrontendTLSPolicy";
    /// FrontendTLSPolicy: the Gateway, or its listener, does not exist.
    pub const INVALID_GATEWAY: &str = "InvalidGateway";
    /// WebApplicationFirewallPolicy: there is no such thing here.
    pub const INVALID_FIREWALL_POLICY: &str = "InvalidWebApplicationFirewallPolicy";
    /// Policies of our group: what they are about is of a group that is not supported.
    pub const INVALID_GROUP: &str = "InvalidGroup";
    /// Policies of our group: they name nothing that they are about.
    pub const NO_TARGET_REFERENCE: &str = "NoTargetReference";
    /// Policies of our group: they are about the whole of something.
    pub const SECTION_NAMES_NOT_PERMITTED: &str = "SectionNamesNotPermitted";
    /// Policies of our group: `override` is not supported.
    pub const OVERRIDE_NOT_SUPPORTED: &str = "OverrideNotSupported";
    /// `ApplicationLoadBalancer`: the data plane runs.
    pub const READY: &str = "Ready";
    /// `ApplicationLoadBalancer`: the data plane starts or changes.
    pub const IN_PROGRESS: &str = "InProgress";
}
