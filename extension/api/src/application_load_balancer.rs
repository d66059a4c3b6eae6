//! `ApplicationLoadBalancer`: the load balancer that ALB Controller manages (ALB-managed deployment, R23).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person asks for: one load balancer, associated with subnets.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "alb.networking.azure.io",
    version = "v1",
    kind = "ApplicationLoadBalancer",
    plural = "applicationloadbalancers",
    shortname = "alb",
    namespaced,
    status = "ApplicationLoadBalancerStatus",
    doc = "ApplicationLoadBalancer is an Application Gateway for Containers resource that ALB Controller manages.",
    printcolumn = r#"{"name":"Deployment","type":"string","jsonPath":".status.conditions[?(@.type==\"Deployment\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationLoadBalancerSpec {
    /// Resource ids of the subnets the load balancer is associated with. In a cluster without Azure the
    /// ids are kept and not interpreted.
    #[serde(default)]
    pub associations: Vec<String>,
}

/// What became of it: conditions `Accepted` and `Deployment`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct ApplicationLoadBalancerStatus {
    /// `Accepted` (the specification is valid) and `Deployment` (the data plane runs).
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
