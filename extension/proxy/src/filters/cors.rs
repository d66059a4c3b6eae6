//! Cross-Origin Resource Sharing (Gateway API, `HTTPCORSFilter`; Fetch standard, "HTTP responses").
//!
//! The gateway alone decides what other origins may do: what the backend says of it is removed.

use super::answer::Answer;
use alb_config::{Origin, proto};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, request};

/// Any value.
const ANY: &str = "*";
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What other origins may do.
#[derive(Debug)]
pub(super) struct Cors {
    origins: Origins,
    credentials: bool,
    methods: Allowed,
    headers: Allowed,
    expose: Allowed,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum Origins {
    Any,
    These(Box<[Origin]>),
}

#[derive(Debug)]
enum Allowed {
    /// What the Fetch standard allows without a word.
    Unsaid,
    Any,
    /// A list, as it is sent.
    These(HeaderValue),
}

impl Allowed {
    fn new(given: &[String]) -> Result<Self, String> {
        match given {
            [] => Ok(Self::Unsaid),
            given if given.iter().any(|one| one == ANY) => Ok(Self::Any),
            given => {
                let list = given.join(", ");
                let value =
                    HeaderValue::try_from(&list).map_err(|_| format!("{list:?} is no header value"))?;
                Ok(Self::These(value))
            }
        }
    }

    /// The list, or what was asked for.
    fn or<'a>(&'a self, asked: Option<&'a HeaderValue>) -> Option<&'a HeaderValue> {
        match self {
            Self::Unsaid => None,
            Self::Any => asked,
            Self::These(list) => Some(list),
        }
    }
}

impl Cors {
    /// # Errors
    /// Names what is no origin, or no name.
    pub(super) fn new(given: &proto::Cors) -> Result<Self, String> {
        let origins = match given.allow_origins.iter().any(|origin| origin == ANY) {
            true => Origins::Any,
            false => {
                let parse =
                    |text: &String| Origin::parse(text).ok_or_else(|| format!("{text:?} is no origin"));
                Origins::These(given.allow_origins.iter().map(parse).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            origins,
            credentials: given.allow_credentials,
            methods: Allowed::new(&given.allow_methods)?,
            headers: Allowed::new(&given.allow_headers)?,
            expose: Allowed::new(&given.expose_headers)?,
            max_age: given.max_age.into(),
        })
    }

    /// The answer to a preflight request (Fetch standard, "CORS-preflight request"); none to any other.
    pub(super) fn preflight(&self, request: &request::Parts) -> Option<Answer> {
        let asked = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = request.headers.get(ORIGIN)?;
        if request.method != Method::OPTIONS {
            return None;
        }
        let mut headers = HeaderMap::new();
        // An origin that is not allowed is told nothing: that is a refusal.
        if self.grant(Some(origin), &mut headers) {
            let mut say = |name: HeaderName, value: Option<&HeaderValue>| {
                if let Some(value) = value {
                    headers.insert(name, value.clone());
                }
            };
            say(ACCESS_CONTROL_ALLOW_METHODS, self.methods.or(Some(asked)));
            let wanted = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
            say(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.or(wanted));
            say(ACCESS_CONTROL_MAX_AGE, Some(&self.max_age));
        }
        Some(Answer { status: StatusCode::NO_CONTENT, headers })
    }

    /// Says in a response what the origin of its request may make of it.
    pub(super) fn respond(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in
            [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS]
        {
            headers.remove(name);
        }
        self.grant(origin, headers);
    }

    /// Puts in what every response to an allowed origin says. Returns whether it is one.
    fn grant(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        // One answer for all of them may be cached for all of them.
        let same_for_all = matches!(self.origins, Origins::Any) && !self.credentials;
        if !same_for_all {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else { return false };
        let allowed = if same_for_all { HeaderValue::from_static(ANY) } else { origin.clone() };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        let expose = match &self.expose {
            Allowed::Unsaid => None,
            // With credentials "*" is a name like any other: all are named.
            Allowed::Any if self.credentials => names(headers),
            Allowed::Any => Some(HeaderValue::from_static(ANY)),
            Allowed::These(list) => Some(list.clone()),
        };
        if let Some(expose) = expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        }
        true
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::These(allowed) => {
                let origin = origin.to_str().ok().and_then(Origin::parse);
                origin.is_some_and(|origin| allowed.iter().any(|allowed| covers(allowed, &origin)))
            }
        }
    }
}

/// Whether an origin is one that `allowed` stands for. A `*` stands for one character or more.
fn covers(allowed: &Origin, origin: &Origin) -> bool {
    let host = match allowed.host.strip_prefix('*') {
        Some(end) => origin.host.len() > end.len() && origin.host.ends_with(end),
        None => origin.host == allowed.host,
    };
    host && origin.scheme == allowed.scheme && origin.port == allowed.port
}

/// The names of all fields that scripts may be shown.
fn names(headers: &HeaderMap) -> Option<HeaderValue> {
    let hidden = |name: &&HeaderName| {
        **name == SET_COOKIE || **name == VARY || name.as_str().starts_with("access-control-")
    };
    let names: Vec<&str> = headers.keys().filter(|name| !hidden(name)).map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use rstest::rstest;

    fn texts(given: &[&str]) -> Vec<String> {
        given.iter().map(|text| (*text).to_owned()).collect()
    }

    fn cors(origins: &[&str], change: impl FnOnce(&mut proto::Cors)) -> Cors {
        let mut given = proto::Cors { allow_origins: texts(origins), max_age: 5, ..proto::Cors::default() };
        change(&mut given);
        Cors::new(&given).unwrap()
    }

    fn preflight(cors: &Cors, origin: &str, method: &str, headers: Option<&str>) -> Vec<String> {
        let request = Request::options("/").header("origin", origin);
        let request = request.header("access-control-request-method", method);
        let request = match headers {
            Some(headers) => request.header("access-control-request-headers", headers),
            None => request,
        };
        let answer = cors.preflight(&request.body(()).unwrap().into_parts().0).unwrap();
        assert_eq!(answer.status, 204);
        said(&answer.headers)
    }

    fn said(headers: &HeaderMap) -> Vec<String> {
        let mut said: Vec<_> = headers
            .iter()
            .map(|(name, value)| {
                let name = name.as_str().trim_start_matches("access-control-");
                format!("{name}: {}", value.to_str().unwrap())
            })
            .collect();
        said.sort();
        said
    }

    #[rstest]
    #[case("https://www.foo.com", true)]
    #[case("https://www.foo.com:443", true)]
    #[case("https://WWW.foo.com", true)]
    #[case("http://www.foo.com", false)]
    #[case("https://www.foo.com:8443", false)]
    #[case("https://www.bar.com", true)]
    #[case("https://xpto.www.bar.com", true)]
    #[case("https://bar.com", false)]
    #[case("https://.bar.com", false)]
    #[case("https://evilbar.com", false)]
    #[case("https://www.bar.com.evil.example", false)]
    #[case("http://any.example", false)]
    #[case("http://any.example:8080", true)]
    #[case("null", false)]
    #[case("", false)]
    fn an_origin_is_allowed_by_scheme_host_and_port(#[case] origin: &str, #[case] allowed: bool) {
        let cors = cors(&["https://www.foo.com", "https://*.bar.com", "http://*:8080"], |_| {});
        let wanted = match allowed {
            true => vec![format!("allow-origin: {origin}"), "vary: Origin".to_owned()],
            false => vec!["vary: Origin".to_owned()],
        };
        let mut headers = HeaderMap::new();
        cors.respond(Some(&origin.parse().unwrap()), &mut headers);
        assert_eq!(said(&headers), wanted);
    }

    #[test]
    fn a_preflight_request_is_told_what_is_allowed() {
        let cors = cors(&["https://a.example"], |given| {
            given.allow_credentials = true;
            given.allow_methods = texts(&["GET", "OPTIONS"]);
            given.allow_headers = texts(&["x-1", "x-2"]);
            given.expose_headers = texts(&["x-3"]);
            given.max_age = 3600;
        });
        let all = [
            "allow-credentials: true",
            "allow-headers: x-1, x-2",
            "allow-methods: GET, OPTIONS",
            "allow-origin: https://a.example",
            "expose-headers: x-3",
            "max-age: 3600",
            "vary: Origin",
        ];
        assert_eq!(preflight(&cors, "https://a.example", "DELETE", None), all);
        assert_eq!(preflight(&cors, "https://b.example", "GET", Some("x-1")), ["vary: Origin"]);
    }

    #[test]
    fn of_wildcards_what_was_asked_for_is_told_and_never_a_star_with_credentials() {
        let wild = |credentials| {
            cors(&["*"], |given| {
                given.allow_credentials = credentials;
                given.allow_methods = texts(&["*"]);
                given.allow_headers = texts(&["*"]);
                given.expose_headers = texts(&["*"]);
            })
        };
        let told = preflight(&wild(false), "https://a.example:1", "PUT", Some("x-1, authorization"));
        let wanted = [
            "allow-headers: x-1, authorization",
            "allow-methods: PUT",
            "allow-origin: *",
            "expose-headers: *",
            "max-age: 5",
        ];
        assert_eq!(told, wanted);
        let told = preflight(&wild(true), "null", "PUT", None);
        let wanted = [
            "allow-credentials: true",
            "allow-methods: PUT",
            "allow-origin: null",
            "max-age: 5",
            "vary: Origin",
        ];
        assert_eq!(told, wanted);
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-1", "1"), ("set-cookie", "a=b"), ("content-type", "text/plain")] {
            headers.insert(name, value.parse().unwrap());
        }
        wild(true).respond(Some(&"https://a.example".parse().unwrap()), &mut headers);
        assert_eq!(headers["access-control-expose-headers"], "x-1, content-type");
    }

    #[test]
    fn only_an_options_request_that_asks_for_a_method_is_a_preflight() {
        let cors = cors(&["*"], |_| {});
        let is = |method: &str, names: &[&str]| {
            let mut request = Request::builder().method(method).uri("/");
            for name in names {
                request = request.header(*name, "https://a.example");
            }
            cors.preflight(&request.body(()).unwrap().into_parts().0).is_some()
        };
        assert!(is("OPTIONS", &["origin", "access-control-request-method"]));
        assert!(!is("OPTIONS", &["origin"]));
        assert!(!is("OPTIONS", &["access-control-request-method"]));
        assert!(!is("GET", &["origin", "access-control-request-method"]));
    }

    #[test]
    fn what_the_backend_allows_does_not_count() {
        let cors = cors(&["https://a.example"], |_| {});
        let answer = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("access-control-allow-origin", "*".parse().unwrap());
            headers.insert("access-control-allow-credentials", "true".parse().unwrap());
            let origin = origin.map(|origin| origin.parse().unwrap());
            cors.respond(origin.as_ref(), &mut headers);
            said(&headers)
        };
        assert_eq!(answer(Some("https://b.example")), ["vary: Origin"]);
        assert_eq!(answer(None), ["vary: Origin"]);
        assert_eq!(answer(Some("https://a.example")), ["allow-origin: https://a.example", "vary: Origin"]);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for origin in ["a.example", "ftp://a.example", "https://a.example/b"] {
            let given = proto::Cors { allow_origins: texts(&[origin]), ..proto::Cors::default() };
            assert!(Cors::new(&given).is_err(), "{origin}");
        }
    }
}
