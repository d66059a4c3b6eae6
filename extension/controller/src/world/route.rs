//! View on HTTPRoute, and on GRPCRoute made one; lenient for the reason given in `gateway.rs`.

use super::{BackendRef, Filter};
use serde::{Deserialize, Serialize};

/// HTTPRoute.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Gateways it wants to attach to.
    pub parent_refs: Vec<ParentRef>,
    /// Hostnames; none for the listener's.
    pub hostnames: Vec<String>,
    /// Rules.
    pub rules: Vec<Rule>,
}

/// A reference to a parent, as in the specification and in the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentRef {
    /// API group; the Gateway API's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; Gateway when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the route's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only the listeners with this port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Only the listener of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Any of them; none for everything.
    pub matches: Vec<RouteMatch>,
    /// What is done to its requests and their responses.
    pub filters: Vec<Filter>,
    /// Where requests go.
    pub backend_refs: Vec<BackendRef>,
    /// Time limits.
    pub timeouts: Option<Timeouts>,
    /// Not supported.
    pub retry: Option<serde_json::Value>,
    /// Not supported.
    pub session_persistence: Option<serde_json::Value>,
}

/// Time limits, as Gateway API durations (`10s`, `1m30s`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// From the request's first byte to the response's last.
    pub request: Option<String>,
    /// Of one attempt at a backend.
    pub backend_request: Option<String>,
}

/// A match: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteMatch {
    /// Path; `PathPrefix /` when absent.
    pub path: Option<PathMatch>,
    /// Headers.
    pub headers: Vec<NamedMatch>,
    /// Query parameters.
    pub query_params: Vec<NamedMatch>,
    /// Method.
    pub method: Option<String>,
}

/// Path match.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PathMatch {
    /// `Exact`, `PathPrefix` (the default), `RegularExpression`, or [`GRPC_METHOD`](super::GRPC_METHOD).
    pub r#type: Option<String>,
    /// Value; `/` when absent.
    pub value: Option<String>,
}

/// Match of a header or a query parameter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedMatch {
    /// `Exact` (the default) or `RegularExpression`.
    pub r#type: Option<String>,
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}
