//! `RoutePolicy`: what there is no field for in an HTTPRoute or GRPCRoute: a time limit for all of its rules, and clients that stay with the
//! pod which has served them.

use crate::policy::{PolicyStatus, TargetRef};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a route is given.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "alb.networking.azure.io",
    version = "v1",
    kind = "RoutePolicy",
    plural = "routepolicies",
    namespaced,
    status = "PolicyStatus",
    doc = "RoutePolicy gives an HTTPRoute or GRPCRoute a time limit and session affinity.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RoutePolicySpec {
    /// The route.
    pub target_ref: TargetRef,
    /// Not supported, and refused.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub overriding: Option<RoutePolicyConfig>,
    /// What holds unless the route says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<RoutePolicyConfig>,
}

/// What a route is given.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutePolicyConfig {
    /// Time limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// Whether clients stay with the pod that has served them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
}

/// Time limits.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTimeouts {
    /// From the request to the last byte of the response, as Go writes durations (`10s`, `1m30s`); `0s` for none. A rule's own
    /// `timeouts.request` comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_timeout: Option<String>,
}

/// How clients stay with the pod that has served them: by a cookie of the gateway's own.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// `application-cookie`, whose name and duration are given here, or `managed-cookie` (`AGCAffinity`, for a day).
    pub affinity_type: String,
    /// Name of an application cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_name: Option<String>,
    /// How long clients keep an application cookie, as Go writes durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_duration: Option<String>,
}
