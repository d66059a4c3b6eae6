//! Requests to the API server. None is waited for without end: a connection whose other side has vanished never answers,
//! and kube sets no limit of its own.

use kube::core::Status;
use std::time::Duration;

/// Longest time to wait for the API server's answer.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// It has not answered. It may have done what was asked all the same.
    #[error("no answer from the API server within {LIMIT:?}")]
    NoAnswer,
}

impl RequestError {
    /// Whether the API server means it: trying again helps only after something else has changed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if is_refusal(status))
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
    match tokio::time::timeout(LIMIT, request).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(RequestError::NoAnswer),
    }
}
