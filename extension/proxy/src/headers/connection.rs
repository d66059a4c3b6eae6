//! Fields that concern one connection only.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Of HTTP/1.1 requests that want to become HTTP/2 (RFC 7540 section 3.2.1, obsolete).
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// Removes the fields that concern one connection only, those that `Connection` names included (RFC 9110 section 7.6.1).
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            // Naming these would let a client delete what the message needs.
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether one of the values, lists of tokens, names this one.
pub(crate) fn names_token(headers: &HeaderMap, field: HeaderName, token: &str) -> bool {
    tokens(headers, field).any(|given| given.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, field: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(field)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether the sender takes trailers (RFC 9110 section 10.1.4).
pub(crate) fn wants_trailers(headers: &HeaderMap) -> bool {
    names_token(headers, TE, "trailers")
}

/// Whether a message's body is coded in a way that would have to be undone here (RFC 9112 section 6.1).
pub(crate) fn has_unknown_coding(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        && (headers.get_all(TRANSFER_ENCODING).iter().any(|value| value.to_str().is_err())
            || tokens(headers, TRANSFER_ENCODING)
                .enumerate()
                .any(|(index, coding)| index > 0 || !coding.eq_ignore_ascii_case("chunked")))
}

/// Seconds that the pod keeps an idle connection, as it says in `Keep-Alive: timeout=N`.
pub(crate) fn keep_alive_timeout(headers: &HeaderMap) -> Option<u64> {
    let value: &HeaderValue = headers.get(KEEP_ALIVE)?;
    let value = value.to_str().ok()?;
    value.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.trim().parse().ok())
}
