//! The stage that changes requests and responses on their way through, between the rule's being found and an endpoint's being
//! chosen, and once more when the response comes.
//!
//! What is here is what every message needs, whatever its rule says. Filters of a rule (Gateway API, `HTTPRouteFilter`) act after
//! it, on messages that are ready to go on, so that what they set stays set: those of the rule before those of the backend
//! with requests, and after them with responses.

mod answer;
mod chain;
mod cors;
mod header_modifier;
mod mirror;
mod path;
mod redirect;
mod rewrite;

pub(crate) use answer::{Answer, Arrival};
pub(crate) use chain::{Filters, Finish};
pub(crate) use mirror::Mirrored;

use crate::error::{ProxyError, Reason};
use crate::headers::{
    Sender, X_REQUEST_ID, forwarded_by, has_unknown_coding, join_cookies, remove_hop_by_hop, wants_trailers,
};
use crate::parse::Parsed;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, StatusCode, Version, request, response};
use std::net::IpAddr;

/// Turns a request as received into the request for the pod: HTTP/1.1, `Host` kept.
///
/// The client is named in `X-Forwarded-For`; `X-Forwarded-Proto` is the protocol in which it spoke to this gateway;
/// `X-Request-ID` is new for every request (Application Gateway for Containers, "Modifications to the request").
pub(crate) fn outgoing(request: &mut request::Parts, parsed: &Parsed, client: IpAddr, request_id: &str) {
    let version = std::mem::replace(&mut request.version, Version::HTTP_11);
    if version == Version::HTTP_2 {
        join_cookies(&mut request.headers);
    }
    let trailers = wants_trailers(&request.headers);
    remove_hop_by_hop(&mut request.headers);
    if parsed.websocket {
        request.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if trailers {
        request.headers.insert(CONNECTION, HeaderValue::from_static("te"));
        request.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if version != Version::HTTP_11 {
        // HTTP/1.0 does not know it, and nobody could ask a client of HTTP/2 for the body.
        request.headers.remove(EXPECT);
    }
    request.headers.insert(HOST, parsed.host.clone());
    let sender = Sender { client, version, secure: parsed.secure, trusted: parsed.trusted };
    forwarded_by(&mut request.headers, sender);
    if let Ok(value) = HeaderValue::try_from(request_id) {
        request.headers.insert(X_REQUEST_ID, value);
    }
}

/// Turns a pod's response into the response for the client.
///
/// # Errors
/// `upstream_reset` for what cannot be passed on.
pub(crate) fn incoming(response: &mut response::Parts, websocket: bool) -> Result<(), ProxyError> {
    let bad = |detail: &str| Err(ProxyError::new(Reason::UpstreamReset, detail));
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !websocket {
        return bad("the pod switched protocols without being asked to");
    }
    if has_unknown_coding(&response.headers) {
        return bad("the response is coded in another way than \"chunked\", which nobody has asked for");
    }
    // The coding decides, whatever the length says (RFC 9112 section 6.3).
    if response.headers.contains_key(TRANSFER_ENCODING) {
        response.headers.remove(CONTENT_LENGTH);
    }
    // The pod's version ends here; hyper lowers this one for clients of HTTP/1.0 (RFC 9112 section 2.3).
    response.version = Version::HTTP_11;
    remove_hop_by_hop(&mut response.headers);
    if switches {
        response.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderMap, HeaderName};
    use http::{Request, Response};

    fn sent(request: request::Builder, websocket: bool) -> HeaderMap {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let host = HeaderValue::from_static("fe.example:80");
        let parsed = Parsed { host, trusted: false, secure: false, websocket, expects: false };
        outgoing(&mut parts, &parsed, [192, 0, 2, 7].into(), "id");
        assert_eq!(parts.version, Version::HTTP_11);
        parts.headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_request_leaves_with_host_and_origin_and_an_id_of_its_own() {
        let request = Request::get("/").header("x-request-id", "the client's own").header("keep-alive", "1");
        let headers = sent(request, false);
        assert_eq!(names(&headers), ["host", "via", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]);
        assert_eq!(
            (&headers["host"], &headers["x-request-id"]),
            (&"fe.example:80".parse().unwrap(), &"id".parse().unwrap())
        );
    }

    #[test]
    fn whether_trailers_are_taken_is_asked_anew_on_the_next_connection() {
        let headers = sent(Request::get("/").header("te", "trailers, deflate;q=0.5"), false);
        assert_eq!(
            (&headers["te"], &headers["connection"]),
            (&"trailers".parse().unwrap(), &"te".parse().unwrap())
        );
        assert!(!sent(Request::get("/").header("te", "deflate"), false).contains_key("te"));
    }

    #[test]
    fn an_upgrade_to_websocket_is_asked_for_anew_and_no_other() {
        let request =
            || Request::get("/").header("connection", "upgrade, x").header("upgrade", "websocket, h2c");
        let headers = sent(request(), true);
        assert_eq!(
            (&headers["upgrade"], &headers["connection"]),
            (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
        );
        assert!(!sent(request(), false).contains_key("upgrade"));
    }

    #[test]
    fn an_http2_request_becomes_http1() {
        let request =
            Request::post("http://fe.example/").version(Version::HTTP_2).header("expect", "100-continue");
        let headers = sent(request.header("cookie", "a=1").header("cookie", "b=2"), false);
        assert_eq!(
            (&headers["cookie"], &headers["via"]),
            (&"a=1; b=2".parse().unwrap(), &"2.0 alb".parse().unwrap())
        );
        assert!(!headers.contains_key("expect"));
        assert!(sent(Request::post("/").header("expect", "100-continue"), false).contains_key("expect"));
    }

    fn taken(response: response::Builder, websocket: bool) -> Result<response::Parts, Reason> {
        let mut parts = response.body(()).unwrap().into_parts().0;
        incoming(&mut parts, websocket).map_err(|error| error.reason)?;
        Ok(parts)
    }

    #[test]
    fn of_two_lengths_the_coding_counts() {
        let both = Response::builder().header("transfer-encoding", "chunked").header("content-length", "3");
        assert!(taken(both, false).unwrap().headers.is_empty());
        let coded = Response::builder().header("transfer-encoding", "gzip, chunked");
        assert_eq!(taken(coded, false).err(), Some(Reason::UpstreamReset));
        let length = Response::builder().header("content-length", "3");
        assert_eq!(taken(length, false).unwrap().headers["content-length"], "3");
    }

    #[test]
    fn a_pod_switches_protocols_only_when_it_is_asked_to() {
        let switch =
            || Response::builder().status(101).header("upgrade", "websocket").header("connection", "upgrade");
        assert_eq!(taken(switch(), false).err(), Some(Reason::UpstreamReset));
        let headers = taken(switch(), true).unwrap().headers;
        assert_eq!(
            (&headers["upgrade"], &headers["connection"]),
            (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
        );
    }

    #[test]
    fn a_pods_version_and_connection_are_its_own() {
        let old =
            Response::builder().version(Version::HTTP_10).header("connection", "close, x").header("x", "1");
        let parts = taken(old, false).unwrap();
        assert_eq!((parts.version, parts.headers.len()), (Version::HTTP_11, 0));
    }
}
