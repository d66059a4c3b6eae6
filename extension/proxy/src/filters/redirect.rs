//! Requests that are sent elsewhere (Gateway API, `HTTPRequestRedirectFilter`).

use super::answer::{Answer, Arrival};
use super::path::{PathModifier, with_path};
use alb_config::proto;
use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, request};
use std::fmt::Write as _;

/// Where to, and with which status.
#[derive(Debug)]
pub(super) struct Redirect {
    https: Option<bool>,
    hostname: Option<String>,
    path: Option<PathModifier>,
    port: Option<u16>,
    status: StatusCode,
}

impl Redirect {
    /// # Errors
    /// Names the part that cannot be used.
    pub(super) fn new(given: &proto::Redirect) -> Result<Self, String> {
        let https = match given.scheme.as_str() {
            "" => None,
            "http" => Some(false),
            "https" => Some(true),
            other => return Err(format!("redirects to {other:?} are not known")),
        };
        let hostname = Some(given.hostname.clone()).filter(|name| !name.is_empty());
        if let Some(name) = &hostname {
            name.parse::<Authority>().map_err(|error| format!("the hostname {name:?}: {error}"))?;
        }
        let port = match given.port {
            0 => None,
            port => Some(u16::try_from(port).map_err(|_| format!("{port} is no port"))?),
        };
        let status = match given.status {
            301 | 302 | 303 | 307 | 308 => u16::try_from(given.status).ok(),
            _ => None,
        };
        let status = status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .ok_or_else(|| format!("{} is no status of a redirect", given.status))?;
        Ok(Self { https, hostname, path: PathModifier::new(given.path.as_ref())?, port, status })
    }

    /// `host` stands for that of a request that names none, which HTTP/1.0 allows.
    pub(super) fn answer(&self, request: &request::Parts, arrival: &Arrival, host: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Ok(location) = HeaderValue::try_from(self.location(request, arrival, host)) {
            headers.insert(LOCATION, location);
        }
        Answer { status: self.status, headers }
    }

    fn location(&self, request: &request::Parts, arrival: &Arrival, host: &str) -> String {
        let https = self.https.unwrap_or(arrival.https);
        let port = match (self.port, self.https) {
            (Some(port), _) => port,
            (None, Some(true)) => 443,
            (None, Some(false)) => 80,
            (None, None) => arrival.port,
        };
        let (scheme, well_known) = if https { ("https", 443) } else { ("http", 80) };
        let host = self.hostname.as_deref().unwrap_or_else(|| match named(request) {
            "" => host,
            named => named,
        });
        let mut location = format!("{scheme}://{host}");
        if port != well_known {
            let _ = write!(location, ":{port}");
        }
        let modified = self
            .path
            .as_ref()
            .and_then(|path| with_path(&request.uri, path.apply(request.uri.path(), arrival.matched).0));
        let target = modified.as_ref().or_else(|| request.uri.path_and_query());
        location.push_str(target.map_or("/", |target| target.as_str()));
        location
    }
}

/// The host that a request is for, without port.
fn named(request: &request::Parts) -> &str {
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri.authority().map(Authority::as_str)).unwrap_or_default();
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    host.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use rstest::rstest;

    fn to(change: impl FnOnce(&mut proto::Redirect), host: &str, (https, port): (bool, u16)) -> String {
        let mut given = proto::Redirect { status: 302, ..Default::default() };
        change(&mut given);
        let request = Request::get("/a/b?c=d").header("host", host).body(()).unwrap().into_parts().0;
        let arrival = Arrival { https, port, matched: 2 };
        let answer = Redirect::new(&given).unwrap().answer(&request, &arrival, "fe.example");
        assert_eq!(answer.status, 302);
        answer.headers["location"].to_str().unwrap().to_owned()
    }

    /// `HTTPRequestRedirectFilter.port`.
    #[rstest]
    #[case("", 0, (false, 80), "http://example.org")]
    #[case("", 80, (false, 80), "http://example.org")]
    #[case("", 8080, (false, 80), "http://example.org:8080")]
    #[case("https", 0, (false, 80), "https://example.org")]
    #[case("https", 443, (false, 80), "https://example.org")]
    #[case("https", 8443, (false, 80), "https://example.org:8443")]
    #[case("", 0, (false, 8080), "http://example.org:8080")]
    #[case("", 80, (false, 8080), "http://example.org")]
    #[case("https", 0, (false, 8080), "https://example.org")]
    #[case("", 0, (true, 443), "https://example.org")]
    #[case("", 8443, (true, 443), "https://example.org:8443")]
    #[case("http", 0, (true, 443), "http://example.org")]
    #[case("http", 8080, (true, 443), "http://example.org:8080")]
    #[case("http", 443, (true, 443), "http://example.org:443")]
    #[case("", 0, (true, 8443), "https://example.org:8443")]
    fn the_port_is_that_of_filter_scheme_or_listener(
        #[case] scheme: &str,
        #[case] port: u32,
        #[case] arrived: (bool, u16),
        #[case] wanted: &str,
    ) {
        let change = |given: &mut proto::Redirect| {
            given.scheme = scheme.to_owned();
            given.hostname = "example.org".to_owned();
            given.port = port;
        };
        assert_eq!(to(change, "fe.example:1234", arrived), format!("{wanted}/a/b?c=d"));
    }

    #[test]
    fn host_path_and_query_stay_unless_something_else_is_asked_for() {
        let http = (false, 80);
        assert_eq!(to(|_| {}, "fe.example:1234", http), "http://fe.example/a/b?c=d");
        assert_eq!(to(|_| {}, "[2001:db8::1]:80", http), "http://[2001:db8::1]/a/b?c=d");
        assert_eq!(to(|_| {}, "", http), "http://fe.example/a/b?c=d");
        let path = |replace| {
            move |given: &mut proto::Redirect| {
                given.path = Some(proto::PathModifier { replace: Some(replace) });
            }
        };
        use proto::path_modifier::Replace;
        assert_eq!(to(path(Replace::Prefix("/x".into())), "h", http), "http://h/x/b?c=d");
        assert_eq!(to(path(Replace::Full("/x".into())), "h", http), "http://h/x?c=d");
    }

    #[test]
    fn what_cannot_be_redirected_to_is_refused() {
        let refused = |change: fn(&mut proto::Redirect)| {
            let mut given = proto::Redirect { status: 308, ..Default::default() };
            change(&mut given);
            Redirect::new(&given).is_err()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|given| given.status = 304));
        assert!(refused(|given| given.status = 0));
        assert!(refused(|given| given.scheme = "ftp".to_owned()));
        assert!(refused(|given| given.port = 65_536));
        assert!(refused(|given| given.hostname = "a b".to_owned()));
    }
}
