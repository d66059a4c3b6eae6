//! Whose writes are looked at.

/// A Deployment whose pods elect a leader by a Lease (`coordination.k8s.io/v1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// The Deployment: namespace, name.
    pub deployment: (String, String),
    /// The Lease: namespace, name.
    pub lease: (String, String),
    /// The service account of its pods, in the Deployment's namespace.
    pub service_account: String,
}

impl LeaderElection {
    /// Whether the API server calls the Deployment's service account so.
    pub fn is_account(&self, user: &str) -> bool {
        let (namespace, _) = &self.deployment;
        let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        account == Some((namespace.as_str(), self.service_account.as_str()))
    }
}
