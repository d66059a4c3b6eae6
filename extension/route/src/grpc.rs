//! What of a request is gRPC's (its protocol over HTTP/2, "Requests").

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

const TYPE: &[u8] = b"application/grpc";

/// Whether a request is gRPC. `application/grpc-web` is another protocol.
pub fn is_grpc(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST
        && headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).is_some_and(|given| {
            given.split_at_checked(TYPE.len()).is_some_and(|(given, rest)| {
                given.eq_ignore_ascii_case(TYPE) && matches!(rest, [] | [b'+' | b';' | b' ', ..])
            })
        })
}

/// The method that a path `/service/method` names.
pub(crate) fn method(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_the_content_tells_it() {
        let is = |method: Method, content: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content.parse().unwrap())]);
            is_grpc(&method, &headers)
        };
        for content in ["application/grpc", "Application/gRPC+proto", "application/grpc;charset=utf-8"] {
            assert!(is(Method::POST, content), "{content}");
        }
        for content in ["application/grpc-web", "application/grp", "application/json", ""] {
            assert!(!is(Method::POST, content), "{content}");
        }
        assert!(!is(Method::GET, "application/grpc"));
        assert!(!is_grpc(&Method::POST, &HeaderMap::new()));
    }
}
