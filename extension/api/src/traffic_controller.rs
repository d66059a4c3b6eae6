//! `TrafficController`: the inventory of bring-your-own load balancers (R25).
//!
//! In Azure, `az network alb create` and `az network alb frontend create` make these resources and ALB
//! Controller reads them from Azure Resource Manager. A cluster without Azure has this resource instead.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A load balancer that exists independently of the cluster's objects.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "alb.networking.azure.io",
    version = "v1",
    kind = "TrafficController",
    plural = "trafficcontrollers",
    doc = "TrafficController stands for an Application Gateway for Containers resource made outside of Kubernetes (bring your own).",
    printcolumn = r#"{"name":"Id","type":"string","jsonPath":".spec.id"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct TrafficControllerSpec {
    /// Resource id, the value of a Gateway's annotation `alb.networking.azure.io/alb-id`. Compared without
    /// regard to case, as Azure compares resource ids.
    pub id: String,
    /// Frontends a Gateway may name in `spec.addresses`.
    #[serde(default)]
    pub frontends: Vec<TrafficControllerFrontend>,
}

/// One frontend of a bring-your-own load balancer.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficControllerFrontend {
    /// Name of the frontend, a DNS label: it becomes the first label of the frontend's FQDN.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}
