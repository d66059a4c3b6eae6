//! What is spoken to pods.

use crate::error::{ProxyError, Reason};
use http::header::{CONNECTION, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{Uri, Version, request};

/// Of one port of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Http1,
    /// With prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// Turns a request that is ready to leave in HTTP/1.1 into one of HTTP/2 (RFC 9113 section 8.3.1).
///
/// # Errors
/// `bad_request`: it names no host, which HTTP/1.0 allows.
pub(super) fn to_http2(request: &mut request::Parts) -> Result<(), ProxyError> {
    let host = request.headers.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(authority) = authority else {
        return Err(ProxyError::new(Reason::BadRequest, "no host, which the backend's HTTP/2 needs"));
    };
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, EXPECT] {
        request.headers.remove(name);
    }
    let mut target = std::mem::take(&mut request.uri).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(authority);
    request.uri = Uri::from_parts(target)
        .map_err(|error| ProxyError::new(Reason::BadRequest, format!("the request target: {error}")))?;
    request.version = Version::HTTP_2;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn what_is_the_connections_stays_behind_and_the_host_becomes_the_authority() {
        let request = Request::post("/a?b")
            .header("host", "fe.example:80")
            .header("connection", "te")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("expect", "100-continue");
        let mut parts = request.body(()).unwrap().into_parts().0;
        to_http2(&mut parts).unwrap();
        assert_eq!(
            (parts.uri.to_string().as_str(), parts.version),
            ("http://fe.example:80/a?b", Version::HTTP_2)
        );
        assert_eq!(parts.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["te"]);
    }

    #[test]
    fn a_request_without_a_host_cannot_be_said_in_http2() {
        for host in ["", "a b"] {
            let mut parts = Request::get("/").header("host", host).body(()).unwrap().into_parts().0;
            assert_eq!(to_http2(&mut parts).unwrap_err().reason, Reason::BadRequest);
        }
    }
}
