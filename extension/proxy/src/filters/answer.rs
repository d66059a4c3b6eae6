//! Where a request has come in, and what a filter answers it.

use http::{HeaderMap, StatusCode};

/// Where a request has come in.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The listener speaks TLS.
    pub(crate) https: bool,
    /// Port of the listener, as clients see it.
    pub(crate) port: u16,
    /// Bytes of the path that the rule's prefix has matched.
    pub(crate) matched: usize,
}

/// An answer without a body that a filter gives.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}
