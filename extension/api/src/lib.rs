//! ALB custom resources, names and messages of the document.
//!
//! Everything here is pure: constants, name functions and types. Requirement ids (`R28`, say) point at the
//! promise of the document that a constant stands for, so that a change of wording is seen for what it is.

pub mod application_load_balancer;
pub mod edition;
pub mod features;
pub mod firewall_policy;
pub mod frontend;
pub mod frontend_tls_policy;
pub mod messages;
pub mod names;
pub mod policy;
pub mod route_policy;
pub mod traffic_controller;

pub use application_load_balancer::{
    ApplicationLoadBalancer, ApplicationLoadBalancerSpec, ApplicationLoadBalancerStatus,
};
pub use edition::Edition;
pub use firewall_policy::{WebApplicationFirewallPolicy, WebApplicationFirewallPolicySpec};
pub use frontend_tls_policy::{FrontendTlsPolicy, FrontendTlsPolicyConfig, FrontendTlsPolicySpec};
pub use policy::{PolicyStatus, TargetRef};
pub use route_policy::{RoutePolicy, RoutePolicyConfig, RoutePolicySpec, RouteTimeouts, SessionAffinity};
pub use traffic_controller::{TrafficController, TrafficControllerFrontend, TrafficControllerSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The custom resource definitions of the chart `alb-controller`, in the order they are written there.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![
        ApplicationLoadBalancer::crd(),
        TrafficController::crd(),
        RoutePolicy::crd(),
        FrontendTlsPolicy::crd(),
        WebApplicationFirewallPolicy::crd(),
    ]
}
