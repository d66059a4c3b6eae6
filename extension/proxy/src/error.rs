//! What can go wrong with a request: which side, why, whether another attempt may help.

use http::StatusCode;
use std::fmt;

/// Why a request was answered as it was: the word in access log, metrics and error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A response of the upstream, whatever its status.
    Ok,
    /// A filter of the rule answered: with a redirect, or a preflight request of CORS.
    Filter,
    /// No listener, host or path matches.
    NoRoute,
    /// The connection is for another listener than the request (RFC 9110 section 15.5.20).
    Misdirected,
    /// The share of a reference that is invalid, missing or not permitted, or of no backend at all.
    BackendInvalid,
    /// The backend has no ready endpoint.
    NoEndpoint,
    /// TCP connection refused, unreachable or timed out.
    UpstreamConnectFailed,
    /// The TLS handshake failed, or the server refused the client's certificate after it.
    UpstreamTlsHandshakeFailed,
    /// The server's certificate is good but belongs to somebody else.
    UpstreamIdentityMismatch,
    /// Mutual TLS is required and there is no certificate yet.
    NoClientCertificate,
    /// TLS is asked for by a policy that cannot be used.
    TlsPolicyInvalid,
    /// No response within the time limit.
    UpstreamTimeout,
    /// The connection broke before the response was complete.
    UpstreamReset,
    /// The request is malformed, or its header too large.
    BadRequest,
    /// The request's body is coded in a way that is not known.
    UnsupportedTransferCoding,
    /// The client did not send the whole request in time.
    RequestTimeout,
    /// The client went away before the response was complete.
    ClientClosed,
    /// The proxy has as many requests as it takes.
    Overloaded,
    /// The proxy, or the port, ends, and what was open with it.
    ShuttingDown,
}

impl Reason {
    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Filter => "filter",
            Self::NoRoute => "no_route",
            Self::Misdirected => "misdirected_request",
            Self::BackendInvalid => "backend_invalid",
            Self::NoEndpoint => "no_endpoint",
            Self::UpstreamConnectFailed => "upstream_connect_failed",
            Self::UpstreamTlsHandshakeFailed => "upstream_tls_handshake_failed",
            Self::UpstreamIdentityMismatch => "upstream_identity_mismatch",
            Self::NoClientCertificate => "no_client_certificate",
            Self::TlsPolicyInvalid => "tls_policy_invalid",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamReset => "upstream_reset",
            Self::BadRequest => "bad_request",
            Self::UnsupportedTransferCoding => "unsupported_transfer_coding",
            Self::RequestTimeout => "request_timeout",
            Self::ClientClosed => "client_closed",
            Self::Overloaded => "overloaded",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// Status of the answer that the proxy itself gives for this reason.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Ok | Self::Filter => StatusCode::OK,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::BackendInvalid => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoEndpoint
            | Self::UpstreamConnectFailed
            | Self::UpstreamTlsHandshakeFailed
            | Self::UpstreamIdentityMismatch
            | Self::NoClientCertificate
            | Self::TlsPolicyInvalid
            | Self::UpstreamReset
            | Self::Overloaded
            | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::UnsupportedTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            // Nobody reads it; the number is for the log (nginx's convention).
            Self::ClientClosed => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }

    /// Status of gRPC for this reason (gRPC's "HTTP to gRPC Status Code Mapping"; Gateway API, `GRPCRouteRule`).
    pub fn grpc_status(self) -> u8 {
        const OK: u8 = 0;
        const DEADLINE_EXCEEDED: u8 = 4;
        const UNIMPLEMENTED: u8 = 12;
        const INTERNAL: u8 = 13;
        const UNAVAILABLE: u8 = 14;
        match self {
            Self::Ok | Self::Filter => OK,
            Self::NoRoute | Self::Misdirected => UNIMPLEMENTED,
            Self::UpstreamTimeout => DEADLINE_EXCEEDED,
            Self::BadRequest | Self::UnsupportedTransferCoding => INTERNAL,
            Self::BackendInvalid
            | Self::NoEndpoint
            | Self::UpstreamConnectFailed
            | Self::UpstreamTlsHandshakeFailed
            | Self::UpstreamIdentityMismatch
            | Self::NoClientCertificate
            | Self::TlsPolicyInvalid
            | Self::UpstreamReset
            | Self::RequestTimeout
            | Self::ClientClosed
            | Self::Overloaded
            | Self::ShuttingDown => UNAVAILABLE,
        }
    }

    /// A sentence for the client: no addresses, no names of pods.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Ok | Self::Filter => "The request was answered.",
            Self::NoRoute => "No listener or route matches this host and path.",
            Self::Misdirected => "The connection was opened for another host: open one for this host.",
            Self::BackendInvalid => "The route refers to a backend that does not exist or may not be used.",
            Self::NoEndpoint => "The backend has no ready endpoint.",
            Self::UpstreamConnectFailed => "The backend could not be reached.",
            Self::UpstreamTlsHandshakeFailed => "The TLS handshake with the backend failed.",
            Self::UpstreamIdentityMismatch => "The backend has another identity than expected.",
            Self::NoClientCertificate => "The gateway has no certificate for the backend yet.",
            Self::TlsPolicyInvalid => "The backend's TLS policy cannot be used.",
            Self::UpstreamTimeout => "The backend did not answer in time.",
            Self::UpstreamReset => "The backend closed the connection before it had answered.",
            Self::BadRequest => "The request is malformed.",
            Self::UnsupportedTransferCoding => "The request's body is coded in a way that is not supported.",
            Self::RequestTimeout => "The request was not sent in time.",
            Self::ClientClosed => "The client closed the connection.",
            Self::Overloaded => "The gateway has too many requests.",
            Self::ShuttingDown => "The gateway is shutting down.",
        }
    }

    /// Who is to blame.
    pub fn side(self) -> Side {
        match self {
            Self::BadRequest
            | Self::Misdirected
            | Self::UnsupportedTransferCoding
            | Self::RequestTimeout
            | Self::ClientClosed => Side::Client,
            Self::Ok | Self::Filter | Self::NoRoute | Self::BackendInvalid | Self::NoClientCertificate => {
                Side::Gateway
            }
            Self::TlsPolicyInvalid | Self::Overloaded | Self::ShuttingDown => Side::Gateway,
            Self::NoEndpoint
            | Self::UpstreamConnectFailed
            | Self::UpstreamTlsHandshakeFailed
            | Self::UpstreamIdentityMismatch
            | Self::UpstreamTimeout
            | Self::UpstreamReset => Side::Upstream,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the three parties an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whoever sent the request.
    Client,
    /// This proxy, or what it was told.
    Gateway,
    /// The pod behind it.
    Upstream,
}

/// Whether another attempt is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Not: the upstream may have seen the request, or it would fail again.
    No,
    /// Another endpoint may be asked: the upstream has seen nothing of the request.
    OtherEndpoint,
    /// The endpoint has fallen silent, as when its node loses power: nothing is gained by asking it once more, and another
    /// one may be asked what may be repeated.
    Silent,
}

/// A request that the proxy must answer itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub(crate) struct ProxyError {
    /// Why.
    pub(crate) reason: Reason,
    /// Whether another attempt is allowed.
    pub(crate) retry: Retry,
    /// For the log: what was being done and what happened, with addresses and causes.
    pub(crate) detail: String,
}

impl ProxyError {
    /// An error that no other attempt can repair.
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, retry: Retry::No, detail: detail.into() }
    }

    /// An error that happened before the upstream saw anything of the request.
    pub(crate) fn before_sending(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, retry: Retry::OtherEndpoint, detail: detail.into() }
    }

    /// The upstream no longer acknowledges what it is sent.
    pub(crate) fn silent(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, retry: Retry::Silent, detail: detail.into() }
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        // Many wrappers repeat what they wrap.
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

/// Finds a cause of a type; `io::Error` hides its own from `source`.
pub(crate) fn find<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        current = match inside {
            Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}
