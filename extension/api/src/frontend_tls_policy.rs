//! `FrontendTLSPolicy`: which TLS the listeners of a Gateway speak with clients.

use crate::policy::{PolicyStatus, TargetRef};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a Gateway's listeners are given.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "alb.networking.azure.io",
    version = "v1",
    kind = "FrontendTLSPolicy",
    root = "FrontendTlsPolicy",
    plural = "frontendtlspolicies",
    namespaced,
    status = "PolicyStatus",
    doc = "FrontendTLSPolicy says which TLS the listeners of a Gateway speak with clients.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsPolicySpec {
    /// The Gateway, or some of its listeners.
    pub target_ref: TargetRef,
    /// Not supported, and refused.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub overriding: Option<FrontendTlsPolicyConfig>,
    /// What holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<FrontendTlsPolicyConfig>,
}

/// What a Gateway's listeners are given.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsPolicyConfig {
    /// Versions, cipher suites and curves; `2023-06` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_type: Option<PolicyType>,
    /// Not supported, and refused: a Gateway's own `spec.tls.frontend` says whose certificates are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// A set of versions, cipher suites and curves.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyType {
    /// `predefined`.
    pub r#type: String,
    /// `2023-06` or `2023-06-S`.
    pub name: String,
}

/// How clients prove who they are.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Names of which a client's certificate must carry one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<String>,
}
