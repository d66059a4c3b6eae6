use super::*;
use crate::error::Reason;
use http::{Request, Version, request};
use proptest::prelude::*;

fn parts(request: Request<()>) -> request::Parts {
    request.into_parts().0
}

fn get(name: &str, headers: &HeaderMap) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn forwarded(request: Request<()>, trusted: bool) -> HeaderMap {
    let parts = parts(request);
    let mut headers = parts.headers;
    if !trusted {
        remove_claims(&mut headers);
    }
    let client = "192.0.2.7".parse().unwrap();
    forwarded_by(&mut headers, Sender { client, version: parts.version, secure: false, trusted });
    headers
}

fn claims() -> Request<()> {
    Request::get("/")
        .header("x-forwarded-for", "198.51.100.1")
        .header("x-forwarded-for", "198.51.100.2")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "other.example")
        .header("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/x/sa/admin")
        .header("x_forwarded_client_cert", "URI=spiffe://cluster.local/ns/x/sa/admin")
        .header("x-envoy-external-address", "198.51.100.1")
        .header("forwarded", "for=198.51.100.1")
        .header("x-real-ip", "198.51.100.1")
        .header("via", "1.0 theirs")
        .header("x-other", "stays")
        .body(())
        .unwrap()
}

#[test]
fn a_client_cannot_say_who_it_is_or_where_it_comes_from() {
    let headers = forwarded(claims(), false);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["via", "x-forwarded-for", "x-forwarded-proto", "x-other"]);
    assert_eq!(get("x-forwarded-for", &headers), ["192.0.2.7"]);
    assert_eq!(get("x-forwarded-proto", &headers), ["http"]);
    assert_eq!(get("via", &headers), ["1.0 theirs", "1.1 alb"]);
}

#[test]
fn a_trusted_proxy_is_believed_and_its_address_appended() {
    let headers = forwarded(claims(), true);
    assert_eq!(get("x-forwarded-for", &headers), ["198.51.100.1, 198.51.100.2, 192.0.2.7"]);
    assert_eq!(get("x-forwarded-proto", &headers), ["https"]);
    assert_eq!(get("x-forwarded-host", &headers), ["other.example"]);
    assert!(headers.contains_key("x-forwarded-client-cert") && headers.contains_key("forwarded"));
    let wrong = Request::get("/").header("x-forwarded-proto", "gopher").body(()).unwrap();
    assert_eq!(get("x-forwarded-proto", &forwarded(wrong, true)), ["http"]);
}

#[test]
fn fields_of_the_connection_end_here_and_so_do_those_it_names() {
    let request = Request::get("/")
        .header("host", "h")
        .header("connection", "close, X-Mine")
        .header("connection", "te")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "trailers")
        .header("transfer-encoding", "chunked")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("proxy-authorization", "secret")
        .header("x-other", "2");
    let mut headers = parts(request.body(()).unwrap()).headers;
    assert!(wants_trailers(&headers));
    remove_hop_by_hop(&mut headers);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-other"]);
}

#[test]
fn a_client_cannot_have_host_or_length_removed() {
    let mut headers = HeaderMap::new();
    headers.insert("connection", "host, content-length".parse().unwrap());
    headers.insert("host", "h".parse().unwrap());
    headers.insert("content-length", "3".parse().unwrap());
    remove_hop_by_hop(&mut headers);
    assert_eq!(headers.len(), 2);
}

#[test]
fn cookies_of_http2_become_one_field() {
    let request = Request::get("/").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
    let mut headers = parts(request).headers;
    join_cookies(&mut headers);
    assert_eq!(get("cookie", &headers), ["a=1; b=2"]);
}

#[test]
fn codings_that_nobody_here_undoes_are_noticed() {
    let unknown = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("transfer-encoding", value.parse().unwrap());
        }
        has_unknown_coding(&headers)
    };
    for known in [&[][..], &["chunked"], &["Chunked "], &[",chunked,"]] {
        assert!(!unknown(known), "{known:?}");
    }
    for other in [&["gzip, chunked"][..], &["gzip", "chunked"], &["identity"], &["chunked, chunked"]] {
        assert!(unknown(other), "{other:?}");
    }
}

#[test]
fn trailers_neither_frame_nor_route_nor_identify() {
    let mut trailers = HeaderMap::new();
    for name in ["host", "content-length", "transfer-encoding", "x-forwarded-for", "grpc-status"] {
        trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    let mut trusted = trailers.clone();
    sanitise_trailers(&mut trailers, false);
    sanitise_trailers(&mut trusted, true);
    assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
    assert_eq!(trusted.len(), 2);
}

fn host_of(request: Request<()>) -> Result<HeaderValue, Reason> {
    host(&parts(request)).map_err(|error| error.reason)
}

#[test]
fn the_target_in_absolute_form_outranks_the_host_field() {
    let request =
        Request::get("http://user@target.example/").header("host", "field.example").body(()).unwrap();
    assert_eq!(host_of(request).unwrap(), "target.example");
}

#[test]
fn a_request_without_one_good_host_is_malformed() {
    let none = Request::get("/").body(()).unwrap();
    let two = Request::get("/").header("host", "a").header("host", "b").body(()).unwrap();
    let wrong = Request::get("/").header("host", "a b").body(()).unwrap();
    let userinfo = Request::get("/").header("host", "u@h").body(()).unwrap();
    let port = Request::get("/").header("host", "h:99999").body(()).unwrap();
    let no_name = Request::get("/").header("host", ":80").body(()).unwrap();
    // Whatever the target (RFC 9112 section 3.2).
    let absolute = Request::get("http://target.example/").body(()).unwrap();
    let beside_absolute = Request::get("http://target.example/").header("host", "a b").body(()).unwrap();
    let no_authority = Request::get("/").version(Version::HTTP_2).body(()).unwrap();
    for request in [none, two, wrong, userinfo, port, no_name, absolute, beside_absolute, no_authority] {
        assert_eq!(host_of(request).unwrap_err(), Reason::BadRequest);
    }
    let old = Request::get("/").version(Version::HTTP_10).body(()).unwrap();
    assert_eq!(host_of(old).unwrap(), "");
    let old = Request::get("http://target.example/").version(Version::HTTP_10).body(()).unwrap();
    assert_eq!(host_of(old).unwrap(), "target.example");
    for field in ["", "h", "h:80", "h:", "[::1]:80", "[::1]", "192.0.2.1"] {
        let request = Request::get("http://target.example/").header("host", field).body(()).unwrap();
        assert_eq!(host_of(request).unwrap(), "target.example", "{field}");
    }
}

#[test]
fn an_http2_request_names_one_host() {
    let request = |target: &str, field: &str| {
        host_of(Request::get(target).version(Version::HTTP_2).header("host", field).body(()).unwrap())
    };
    for field in ["fe.example", "FE.example", "fe.example:80"] {
        assert_eq!(request("http://fe.example/", field).unwrap(), "fe.example", "{field}");
    }
    assert_eq!(request("https://fe.example:443/", "fe.example").unwrap(), "fe.example:443");
    for field in ["other.example", "fe.example:81", "", "fe.example:"] {
        let expected = if field == "fe.example:" {
            Ok(HeaderValue::from_static("fe.example"))
        } else {
            Err(Reason::BadRequest)
        };
        assert_eq!(request("http://fe.example/", field), expected, "{field}");
    }
    let userinfo = Request::get("http://u@fe.example/").version(Version::HTTP_2).body(()).unwrap();
    assert_eq!(host_of(userinfo).unwrap_err(), Reason::BadRequest);
}

#[test]
fn how_long_a_pod_keeps_a_connection_is_read() {
    let mut headers = HeaderMap::new();
    assert_eq!(keep_alive_timeout(&headers), None);
    headers.insert("keep-alive", "max=10, timeout=5".parse().unwrap());
    assert_eq!(keep_alive_timeout(&headers), Some(5));
}

/// Names among which those that matter are frequent.
fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            "connection",
            "te",
            "upgrade",
            "host",
            "x-forwarded-for",
            "x-forwarded-client-cert",
            "forwarded",
            "via",
            "keep-alive",
            "x-envoy-a",
            "cookie",
        ])
        .prop_map(HeaderName::from_static),
        "[a-z][a-z_-]{0,12}".prop_map(|name| HeaderName::try_from(name).unwrap()),
    ];
    let value = proptest::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8, Just(b',')], 0..20)
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap());
    (name, value)
}

proptest! {
    #[test]
    fn whatever_is_sent_nothing_of_the_connection_and_no_claim_is_left(
        fields in proptest::collection::vec(field(), 0..12),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        remove_claims(&mut headers);
        remove_hop_by_hop(&mut headers);
        for name in headers.keys() {
            let name = name.as_str();
            prop_assert!(!name.replace('_', "-").starts_with("x-forwarded-c"), "{name}");
            prop_assert!(!["connection", "te", "upgrade", "keep-alive", "forwarded"].contains(&name), "{name}");
        }
        let client = "192.0.2.7".parse().unwrap();
        let sender = Sender { client, version: Version::HTTP_11, secure: false, trusted: false };
        forwarded_by(&mut headers, sender);
        prop_assert_eq!(get("x-forwarded-for", &headers), ["192.0.2.7"]);
        let _ = keep_alive_timeout(&headers);
        let _ = has_unknown_coding(&headers);
    }

    #[test]
    fn no_host_field_makes_it_panic(field in proptest::collection::vec(any::<u8>(), 0..40), target in "(http://[ -~]{0,20})?/") {
        let (Ok(field), Ok(target)) = (HeaderValue::from_bytes(&field), target.parse::<http::Uri>()) else {
            return Ok(());
        };
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let request = Request::get(target.clone()).version(version).header("host", field.clone());
            let _ = host(&parts(request.body(()).unwrap()));
        }
    }
}
