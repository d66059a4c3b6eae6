//! Header fields on their way through, pure (RFC 9110 section 7.6, RFC 9112, RFC 9113 section 8.2).

use crate::error::{ProxyError, Reason};
use http::header::{
    CONNECTION, COOKIE, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, request};
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that concern one connection only.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
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
            .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The host a request is for: the authority of its target, else its `Host` field (RFC 9112 section 3.2.2).
///
/// # Errors
/// `bad_request` when there is none, more than one, or one that is no authority, and when an HTTP/1.1 request has no `Host`
/// field, whatever its target (RFC 9112 section 3.2).
pub(crate) fn host<B>(request: &http::Request<B>) -> Result<HeaderValue, ProxyError> {
    let bad = |detail: &str| ProxyError::new(Reason::BadRequest, detail);
    if request.method() == Method::CONNECT {
        return Err(bad("CONNECT is for proxies that clients choose; this is a gateway"));
    }
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(bad("more than one Host field (RFC 9112 section 3.2)"));
    }
    if let Some(field) = field {
        let text = field.to_str().map_err(|_| bad("the Host field is not ASCII"))?;
        if !text.is_empty() && (text.contains('@') || text.parse::<Authority>().is_err()) {
            return Err(bad("the Host field is no host and port"));
        }
    } else if request.version() == Version::HTTP_11 {
        return Err(bad("no Host field (RFC 9112 section 3.2)"));
    }
    if let Some(authority) = request.uri().authority() {
        return HeaderValue::try_from(without_userinfo(authority.as_str()))
            .map_err(|_| bad("the authority of the request target is no header value"));
    }
    match (field, request.version()) {
        (Some(field), _) => Ok(field.clone()),
        // They do not know the field.
        (None, Version::HTTP_10 | Version::HTTP_09) => Ok(HeaderValue::from_static("")),
        (None, _) => Err(bad("no authority and no Host field (RFC 9113 section 8.3.1)")),
    }
}

fn without_userinfo(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Turns a request as received into the request for the pod: HTTP/1.1, origin form, `Host` kept.
///
/// `client` is appended to `X-Forwarded-For`; `X-Forwarded-Proto` is the protocol in which the client spoke to
/// this gateway; `X-Request-ID` is new for every request (Application Gateway for Containers, "Modifications to the
/// request").
pub(crate) fn prepare_request(
    parts: &mut request::Parts,
    host: &HeaderValue,
    client: IpAddr,
    request_id: &str,
) {
    let path = parts.uri.path_and_query().cloned();
    // An empty path can only be that of "OPTIONS *" in absolute form; "/" serves the rest.
    parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    parts.version = Version::HTTP_11;
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.insert(HOST, host.clone());

    let forwarded_for = {
        let mut all: Vec<u8> = Vec::with_capacity(64);
        for value in parts.headers.get_all(X_FORWARDED_FOR) {
            all.extend_from_slice(value.as_bytes());
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(client.to_string().as_bytes());
        HeaderValue::from_bytes(&all)
    };
    if let Ok(value) = forwarded_for {
        parts.headers.insert(X_FORWARDED_FOR, value);
    }
    parts.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Ok(value) = HeaderValue::try_from(request_id) {
        parts.headers.insert(X_REQUEST_ID, value);
    }
}

/// HTTP/2 may split cookies into several fields, HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
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

/// Seconds that the pod keeps an idle connection, as it says in `Keep-Alive: timeout=N`.
pub(crate) fn keep_alive_timeout(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    value.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
