//! One match of a rule against one request (Gateway API HTTPRouteMatch and GRPCRouteMatch).

use crate::grpc::is_grpc;
use http::{HeaderMap, HeaderName, Method};

/// What of a request decides its route. Borrowed: nothing is copied to look up a route.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// `Host` header or `:authority`, as received.
    pub host: &'a str,
    /// Path as received, starting with `/`.
    pub path: &'a str,
    /// Query without the `?`.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a Method,
    /// Header fields.
    pub headers: &'a HeaderMap,
}

/// All conditions of one match; a request must meet each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Path condition; the default matches everything.
    pub path: PathMatch,
    /// Method; none is any.
    pub method: Option<Method>,
    /// Header fields with exactly these values; of two with the same name only the first counts.
    pub headers: Vec<(HeaderName, String)>,
    /// Query parameters with exactly these values; of two with the same name only the first counts.
    pub query: Vec<(String, String)>,
    /// Only requests that are gRPC.
    pub grpc: bool,
}

/// Path condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// The first elements of the path: `/a` and `/a/` match `/a`, `/a/` and `/a/b`, not `/ab`.
    Prefix(String),
    /// This method of whatever gRPC service: `m` matches `/a/m` and `/b/m`.
    GrpcMethod(String),
}

impl Default for Match {
    fn default() -> Self {
        let path = PathMatch::Prefix("/".to_owned());
        Self { path, method: None, headers: Vec::new(), query: Vec::new(), grpc: false }
    }
}

impl Match {
    /// Removes conditions that do not count: repeated header and query names.
    pub(crate) fn normalized(mut self) -> Self {
        let mut seen = Vec::new();
        self.headers.retain(|(name, _)| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        let mut seen = Vec::new();
        self.query.retain(|(name, _)| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        self
    }

    /// Whether the request meets every condition.
    pub fn matches(&self, request: &RequestParts<'_>) -> bool {
        self.path.matches(request.path) && self.matches_besides_path(request)
    }

    pub(crate) fn matches_besides_path(&self, request: &RequestParts<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == request.method)
            && (!self.grpc || is_grpc(request.method, request.headers))
            && self.headers.iter().all(|(name, value)| {
                request.headers.get_all(name).iter().any(|given| given.as_bytes() == value.as_bytes())
            })
            && self
                .query
                .iter()
                .all(|(name, value)| query_has(request.query.unwrap_or_default(), name, value))
    }
}

impl PathMatch {
    /// Whether the path meets the condition.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::GrpcMethod(method) => crate::grpc::method(path) == Some(method),
        }
    }

    /// How many bytes of a path that meets the condition the condition is about: for a prefix those in front of the rest, which
    /// is empty or starts with `/`.
    pub fn matched(&self, path: &str) -> usize {
        match self {
            Self::Prefix(prefix) => prefix.strip_suffix('/').unwrap_or(prefix).len().min(path.len()),
            Self::Exact(_) | Self::GrpcMethod(_) => path.len(),
        }
    }
}

/// Whether the first parameter called `name` has this value.
fn query_has(query: &str, name: &str, value: &str) -> bool {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(given, _)| decodes_to(given, name))
        .is_some_and(|(_, given)| decodes_to(given, value))
}

/// Whether a form-encoded text stands for `plain`, without decoding into a buffer.
fn decodes_to(encoded: &str, plain: &str) -> bool {
    let mut bytes = encoded.bytes();
    let mut decoded = std::iter::from_fn(|| match bytes.next()? {
        b'+' => Some(b' '),
        b'%' => {
            let mut ahead = bytes.clone();
            let digit =
                |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            match (digit(ahead.next()), digit(ahead.next())) {
                (Some(high), Some(low)) => {
                    bytes = ahead;
                    Some(high << 4 | low)
                }
                // Not an escape: stands for itself.
                _ => Some(b'%'),
            }
        }
        byte => Some(byte),
    });
    plain.bytes().all(|byte| decoded.next() == Some(byte)) && decoded.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(path: &'a str, query: &'a str, headers: &'a HeaderMap) -> RequestParts<'a> {
        RequestParts { host: "h", path, query: Some(query), method: &Method::GET, headers }
    }

    #[test]
    fn a_prefix_matches_whole_path_elements() {
        for prefix in ["/a", "/a/"] {
            let prefix = PathMatch::Prefix(prefix.into());
            for path in ["/a", "/a/", "/a/b"] {
                assert!(prefix.matches(path), "{path}");
            }
            for path in ["/ab", "/", "/b/a", "/A"] {
                assert!(!prefix.matches(path), "{path}");
            }
        }
        assert!(PathMatch::Prefix("/".into()).matches("/anything"));
        assert!(!PathMatch::Exact("/a".into()).matches("/a/"));
    }

    #[test]
    fn a_method_of_any_service_is_the_second_and_last_element() {
        let method = PathMatch::GrpcMethod("Greet".into());
        assert!(method.matches("/a.b.C/Greet"));
        for path in ["/Greet", "//Greet", "/a/greet", "/a/b/Greet", "/a/Greet/", "/a/Greeting"] {
            assert!(!method.matches(path), "{path}");
        }
    }

    #[test]
    fn a_match_for_grpc_is_for_nothing_else() {
        let rule = Match { grpc: true, ..Match::default() };
        let (none, mut headers) = (HeaderMap::new(), HeaderMap::new());
        headers.insert("content-type", "application/grpc+proto".parse().unwrap());
        let post = |headers| RequestParts { method: &Method::POST, ..request("/a/b", "", headers) };
        assert!(!rule.matches(&post(&none)));
        assert!(rule.matches(&post(&headers)));
        assert!(!rule.matches(&request("/a/b", "", &headers)));
    }

    #[test]
    fn what_a_prefix_has_matched_ends_before_a_slash() {
        for (prefix, path, matched) in
            [("/a", "/a/b", 2), ("/a/", "/a/b", 2), ("/", "/a", 0), ("/a", "/a", 2)]
        {
            assert_eq!(PathMatch::Prefix(prefix.into()).matched(path), matched, "{prefix} {path}");
        }
        assert_eq!(PathMatch::Exact("/a/b".into()).matched("/a/b"), 4);
    }

    #[test]
    fn query_parameters_are_compared_decoded_and_the_first_of_a_name_counts() {
        assert!(query_has("x=1&color=dark%20blue", "color", "dark blue"));
        assert!(query_has("color=dark+blue", "color", "dark blue"));
        assert!(query_has("c%6Flor=1", "color", "1"));
        assert!(query_has("flag", "flag", ""));
        assert!(query_has("p=100%", "p", "100%"));
        assert!(!query_has("color=red&color=blue", "color", "blue"));
        assert!(!query_has("color=blue1", "color", "blue"));
        assert!(!query_has("", "color", "blue"));
    }

    #[test]
    fn every_condition_must_hold() {
        let mut headers = HeaderMap::new();
        headers.insert("x-color", "blue".parse().unwrap());
        let rule = Match {
            path: PathMatch::Prefix("/a".into()),
            method: Some(Method::GET),
            headers: vec![(HeaderName::from_static("x-color"), "blue".into())],
            query: vec![("q".into(), "1".into())],
            grpc: false,
        };
        assert!(rule.matches(&request("/a/b", "q=1", &headers)));
        assert!(!rule.matches(&request("/b", "q=1", &headers)));
        assert!(!rule.matches(&request("/a", "q=2", &headers)));
        assert!(!rule.matches(&request("/a", "q=1", &HeaderMap::new())));
        let post = RequestParts { method: &Method::POST, ..request("/a", "q=1", &headers) };
        assert!(!rule.matches(&post));
    }

    #[test]
    fn of_two_conditions_with_one_name_the_first_counts() {
        let name = HeaderName::from_static("x");
        let rule =
            Match { headers: vec![(name.clone(), "1".into()), (name, "2".into())], ..Match::default() };
        assert_eq!(rule.normalized().headers.len(), 1);
    }
}
