//! The stage that decides what a request means: which host and path it is for, and what its client may say of itself.

use crate::error::{ProxyError, Reason};
use crate::headers::{has_unknown_coding, host, names_token, remove_claims};
use crate::settings::Settings;
use alb_route::PathPolicy;
use http::header::{CONNECTION, EXPECT, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri, Version, request};
use ipnet::IpNet;
use std::borrow::Cow;
use std::net::IpAddr;

/// The stage.
#[derive(Debug)]
pub(crate) struct Parse {
    path: PathPolicy,
    /// Whose word about other clients is believed.
    trusted: Vec<IpNet>,
}

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) host: HeaderValue,
    /// Whether the client may say who it is and where it comes from.
    pub(crate) trusted: bool,
    /// It came over TLS.
    pub(crate) secure: bool,
    /// The client wants to speak WebSocket from here on (RFC 6455 section 4.2.1).
    pub(crate) websocket: bool,
    /// The client sends the body only when it is asked to (RFC 9110 section 10.1.1).
    pub(crate) expects: bool,
}

impl Parse {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { path: settings.path, trusted: settings.trusted_clients.clone() }
    }

    /// Reads a request's header, and leaves in it nothing that means one thing here and another behind: its target becomes
    /// the normalised path, and what only a proxy may say is removed.
    ///
    /// # Errors
    /// `bad_request`, and `unsupported_transfer_coding` for a body coded in a way that is not known.
    pub(crate) fn parse(&self, request: &mut request::Parts, client: IpAddr) -> Result<Parsed, ProxyError> {
        let host = host(request)?;
        if has_unknown_coding(&request.headers) {
            return Err(ProxyError::new(
                Reason::UnsupportedTransferCoding,
                "the body is coded in another way than \"chunked\" (RFC 9112 section 6.1)",
            ));
        }
        request.uri = self.target(request)?;
        let trusted = self.trusted.iter().any(|network| network.contains(&client));
        if !trusted {
            remove_claims(&mut request.headers);
        }
        let expects = request.version == Version::HTTP_11
            && request
                .headers
                .get(EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Ok(Parsed { host, trusted, secure: false, websocket: wants_websocket(request), expects })
    }

    /// The target in origin form (RFC 9112 section 3.2.1), its path normalised.
    fn target(&self, request: &request::Parts) -> Result<Uri, ProxyError> {
        let bad = |detail: String| ProxyError::new(Reason::BadRequest, detail);
        let Some(target) = request.uri.path_and_query() else {
            return Err(bad("the request target is an authority (RFC 9112 section 3.2.3)".to_owned()));
        };
        if request.version == Version::HTTP_2 && target.as_str().starts_with('?') {
            return Err(bad(":path holds no path (RFC 9113 section 8.3.1)".to_owned()));
        }
        // The server as a whole (RFC 9112 section 3.2.4): no path.
        if target.as_str() == "*" && request.method == Method::OPTIONS {
            return Ok(Uri::from(target.clone()));
        }
        match self.path.apply(target.path()).map_err(|error| bad(error.to_string()))? {
            Cow::Borrowed(_) => Ok(Uri::from(target.clone())),
            Cow::Owned(mut path) => {
                if let Some(query) = target.query() {
                    path.push('?');
                    path.push_str(query);
                }
                PathAndQuery::try_from(path).map(Uri::from).map_err(|error| bad(format!("the path: {error}")))
            }
        }
    }
}

/// Upgrades to anything else are not for a gateway to pass on.
fn wants_websocket(request: &request::Parts) -> bool {
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && request
            .headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && names_token(&request.headers, CONNECTION, "upgrade")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parse(settings: &Settings, request: request::Builder) -> Result<(Parsed, request::Parts), Reason> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let parsed =
            Parse::new(settings).parse(&mut parts, [192, 0, 2, 7].into()).map_err(|error| error.reason)?;
        Ok((parsed, parts))
    }

    #[test]
    fn what_is_matched_and_sent_on_is_the_normalised_path_in_origin_form() {
        let target = |target: &str| {
            parse(&Settings::default(), Request::get(target).header("host", "h"))
                .map(|(_, parts)| parts.uri.to_string())
        };
        assert_eq!(target("/x/..//%61dmin?q=%2F../..").as_deref(), Ok("/admin?q=%2F../.."));
        assert_eq!(target("http://h/a/./b").as_deref(), Ok("/a/b"));
        assert_eq!(target("http://h").as_deref(), Ok("/"));
        assert_eq!(target("/a%2Fb"), Err(Reason::BadRequest));
        assert_eq!(target("*"), Err(Reason::BadRequest));
        assert_eq!(target("h:80"), Err(Reason::BadRequest));
        let options = Request::builder().method("OPTIONS").uri("*").header("host", "h");
        assert_eq!(parse(&Settings::default(), options).unwrap().1.uri, "*");
    }

    #[test]
    fn only_a_trusted_client_is_believed() {
        let request =
            || Request::get("/").header("host", "h").header("x-forwarded-client-cert", "URI=spiffe://a");
        for (networks, trusted) in [(&["10.0.0.0/8"][..], false), (&["10.0.0.0/8", "192.0.2.0/24"], true)] {
            let trusted_clients = networks.iter().map(|network| network.parse().unwrap()).collect();
            let settings = Settings { trusted_clients, ..Settings::default() };
            let (parsed, parts) = parse(&settings, request()).unwrap();
            assert_eq!(parsed.trusted, trusted);
            assert_eq!(parts.headers.contains_key("x-forwarded-client-cert"), trusted);
        }
    }

    #[test]
    fn a_body_that_would_have_to_be_decoded_is_not_taken() {
        let request = Request::post("/").header("host", "h").header("transfer-encoding", "gzip, chunked");
        assert_eq!(parse(&Settings::default(), request).err(), Some(Reason::UnsupportedTransferCoding));
    }

    #[test]
    fn only_websocket_is_upgraded_to() {
        let websocket = |method: &str, version, connection: &str, upgrade: &str| {
            let request = Request::builder().method(method).uri("/").version(version).header("host", "h");
            let request = request.header("connection", connection).header("upgrade", upgrade);
            parse(&Settings::default(), request).unwrap().0.websocket
        };
        assert!(websocket("GET", Version::HTTP_11, "keep-alive, Upgrade", "WebSocket"));
        assert!(!websocket("POST", Version::HTTP_11, "upgrade", "websocket"));
        assert!(!websocket("GET", Version::HTTP_10, "upgrade", "websocket"));
        assert!(!websocket("GET", Version::HTTP_11, "close", "websocket"));
        assert!(!websocket("GET", Version::HTTP_11, "upgrade", "h2c"));
        assert!(!websocket("GET", Version::HTTP_11, "upgrade", "websocket, h2c"));
    }

    #[test]
    fn only_http_1_1_knows_expectations() {
        let expects = |version, value: &str| {
            let request = Request::post("/").version(version).header("host", "h").header("expect", value);
            parse(&Settings::default(), request).unwrap().0.expects
        };
        assert!(expects(Version::HTTP_11, "100-Continue"));
        assert!(!expects(Version::HTTP_10, "100-continue"));
        assert!(!expects(Version::HTTP_11, "something"));
    }
}
