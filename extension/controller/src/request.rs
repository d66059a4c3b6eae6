//! Requests to the API server. None is waited for without end: a connection whose other side has vanished never answers,
//! and kube sets no limit of its own.

use kube::core::Status;
use std::time::Duration;
use tokio::time::Instant;

/// Longest time to wait for the API server's answer.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// It has not answered in time. It may have done what was asked all the same.
    #[error("no answer from the API server in time (at most {LIMIT:?})")]
    NoAnswer,
}

impl RequestError {
    /// Whether the API server means it: trying again helps only after something else has changed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if is_refusal(status))
    }

    /// Whether something could not be made because its namespace is going away.
    pub fn is_of_terminating_namespace(&self) -> bool {
        let Self::Kube(kube::Error::Api(status)) = self else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }
}

/// Whether the API server has understood a request and will not serve it.
pub(crate) fn is_refusal(status: &Status) -> bool {
    (400..500).contains(&status.code) && status.code != 429
}

/// The outcome of a request, known within [`LIMIT`].
///
/// # Errors
/// When the request failed, or nobody has answered.
pub async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, RequestError> {
    answered_until(Instant::now() + LIMIT, request).await
}

/// The outcome of a request, known within [`LIMIT`] and by `until`: a leader's requests must not outlive its Lease.
///
/// # Errors
/// When the request failed, or nobody has answered.
pub async fn answered_until<T>(
    until: Instant,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    match tokio::time::timeout_at(until.min(Instant::now() + LIMIT), request).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(RequestError::NoAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_terminating_namespace_is_known_by_the_cause_of_the_refusal() {
        let refusal = |cause: &str| {
            let status = json!({
                "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no",
                "details": {"name": "it", "causes": [{"reason": cause, "message": "no", "field": "metadata.namespace"}]},
            });
            let status: Status = serde_json::from_value(status).unwrap();
            RequestError::Kube(kube::Error::Api(Box::new(status)))
        };
        assert!(refusal("NamespaceTerminating").is_of_terminating_namespace());
        assert!(!refusal("FieldValueInvalid").is_of_terminating_namespace());
        assert!(!RequestError::NoAnswer.is_of_terminating_namespace());
    }
}
