//! View on BackendTLSPolicy; lenient for the reason given in `gateway.rs`.

use serde::{Deserialize, Serialize};

/// BackendTLSPolicy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicy {
    /// What it is about.
    pub target_refs: Vec<PolicyTargetRef>,
    /// Whom to trust, and whom to expect.
    pub validation: Validation,
}

/// What a policy is about: an object of its own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTargetRef {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Name of a Service's port; all ports when absent.
    pub section_name: Option<String>,
}

/// How a backend's certificate is verified.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validation {
    /// Where CA certificates are kept.
    pub ca_certificate_refs: Vec<CaCertificateRef>,
    /// `System` for public authorities.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// Sent as SNI, and verified unless other names are given.
    pub hostname: String,
    /// The certificate must carry one of these, if there are any.
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A reference to CA certificates, in the policy's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CaCertificateRef {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A name that a certificate may carry.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectAltName {
    /// `Hostname` or `URI`.
    pub r#type: String,
    /// For `Hostname`.
    pub hostname: String,
    /// For `URI`.
    pub uri: String,
}
