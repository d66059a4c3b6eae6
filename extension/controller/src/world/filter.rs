//! View on the filters of routes and on the backends that rules and filters refer to; lenient for the reason given in
//! `gateway.rs`.

use serde::{Deserialize, Serialize};

/// A filter: its type, and the part that goes with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    /// Type.
    pub r#type: String,
    /// Of `RequestHeaderModifier`.
    pub request_header_modifier: Option<HeaderModifier>,
    /// Of `ResponseHeaderModifier`.
    pub response_header_modifier: Option<HeaderModifier>,
    /// Of `RequestMirror`.
    pub request_mirror: Option<RequestMirror>,
    /// Of `RequestRedirect`.
    pub request_redirect: Option<RequestRedirect>,
    /// Of `URLRewrite`.
    pub url_rewrite: Option<UrlRewrite>,
    /// Of `CORS`.
    pub cors: Option<Cors>,
}

/// Changes of header fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Fields that take the place of others of their name.
    pub set: Vec<Header>,
    /// Fields beside others of their name.
    pub add: Vec<Header>,
    /// Names of fields that go.
    pub remove: Vec<String>,
}

/// A header field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Where requests are mirrored to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestMirror {
    /// The backend.
    pub backend_ref: BackendRef,
    /// So many of a hundred requests.
    pub percent: Option<i64>,
    /// The same, as a fraction.
    pub fraction: Option<Fraction>,
}

/// A fraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fraction {
    /// Above the line.
    pub numerator: i64,
    /// Below it.
    pub denominator: i64,
}

impl Default for Fraction {
    fn default() -> Self {
        Self { numerator: 0, denominator: 100 }
    }
}

/// Where clients are sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRedirect {
    /// Scheme; the request's when absent.
    pub scheme: Option<String>,
    /// Hostname; the request's when absent.
    pub hostname: Option<String>,
    /// What becomes of the path.
    pub path: Option<PathModifier>,
    /// Port.
    pub port: Option<i64>,
    /// Status; 302 when absent.
    pub status_code: Option<i64>,
}

/// What requests are sent on as.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UrlRewrite {
    /// Hostname; the request's when absent.
    pub hostname: Option<String>,
    /// What becomes of the path.
    pub path: Option<PathModifier>,
}

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathModifier {
    /// `ReplaceFullPath` or `ReplacePrefixMatch`.
    pub r#type: String,
    /// For the former.
    pub replace_full_path: Option<String>,
    /// For the latter.
    pub replace_prefix_match: Option<String>,
}

/// What other origins may do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins, or `*`.
    pub allow_origins: Vec<String>,
    /// Whether with credentials.
    pub allow_credentials: Option<bool>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Header fields of requests, or `*`.
    pub allow_headers: Vec<String>,
    /// Header fields of responses, or `*`.
    pub expose_headers: Vec<String>,
    /// Seconds; 5 when absent.
    pub max_age: Option<i64>,
}

/// Reference to a backend.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRef {
    /// API group; core when absent.
    pub group: Option<String>,
    /// Kind; Service when absent.
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the route's when absent.
    pub namespace: Option<String>,
    /// Port, required for a Service.
    pub port: Option<u16>,
    /// Share; 1 when absent.
    pub weight: Option<u32>,
    /// What is done to requests to it and their responses.
    pub filters: Vec<Filter>,
}
