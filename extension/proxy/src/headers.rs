//! Header fields on their way through, pure (RFC 9110 section 7.6, RFC 9112, RFC 9113 section 8.2).

mod connection;
mod forwarding;
mod host;

pub(crate) use connection::{
    has_unknown_coding, keep_alive_timeout, names_token, remove_hop_by_hop, wants_trailers,
};
pub(crate) use forwarding::{Sender, forwarded_by, remove_claims};
pub(crate) use host::host;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE};
use http::{HeaderMap, HeaderValue, Method};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// HTTP/2 may split cookies into several fields, HTTP/1.1 may not (RFC 9113 section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let joined: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(value) = HeaderValue::from_bytes(&joined.join(&b"; "[..])) {
        headers.insert(COOKIE, value);
    }
}

/// Methods that may be repeated when it is unknown whether the first attempt was seen (RFC 9110 section 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Removes what must not come after a body: what frames or routes a message (RFC 9110 section 6.5.1) and, unless the client is
/// trusted, what says who it is.
pub(crate) fn sanitise_trailers(trailers: &mut HeaderMap, trusted: bool) {
    remove_hop_by_hop(trailers);
    for name in [HOST, CONTENT_LENGTH, TE] {
        trailers.remove(name);
    }
    if !trusted {
        remove_claims(trailers);
    }
}

#[cfg(test)]
mod tests;
