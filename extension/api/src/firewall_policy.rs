//! `WebApplicationFirewallPolicy`: known so that it can be refused.

use crate::policy::{PolicyStatus, TargetRef};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a Gateway or a route is to be protected with.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "alb.networking.azure.io",
    version = "v1",
    kind = "WebApplicationFirewallPolicy",
    plural = "webapplicationfirewallpolicy",
    shortname = "wafpolicy",
    namespaced,
    status = "PolicyStatus",
    doc = "WebApplicationFirewallPolicy asks for a web application firewall. There is none here: it is refused.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct WebApplicationFirewallPolicySpec {
    /// The Gateway or the route.
    pub target_ref: TargetRef,
    /// The firewall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_application_firewall: Option<WebApplicationFirewall>,
}

/// A firewall that exists in Azure.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebApplicationFirewall {
    /// Its resource id.
    pub id: String,
}
