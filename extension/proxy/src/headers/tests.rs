use super::*;
use http::Request;

fn parts(request: Request<()>) -> request::Parts {
    request.into_parts().0
}

fn prepared(request: Request<()>) -> request::Parts {
    let host = host(&request).unwrap();
    let mut parts = parts(request);
    prepare_request(&mut parts, &host, "192.0.2.7".parse().unwrap(), "id");
    parts
}

fn get(name: &str, parts: &request::Parts) -> Vec<String> {
    parts.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn the_clients_address_is_appended_to_those_of_earlier_proxies() {
    let parts = prepared(
        Request::get("/a?b=c")
            .header("host", "fe.example:80")
            .header("x-forwarded-for", "198.51.100.1")
            .header("x-forwarded-for", "198.51.100.2")
            .header("x-forwarded-proto", "https")
            .header("x-request-id", "the client's own")
            .body(())
            .unwrap(),
    );
    assert_eq!(get("x-forwarded-for", &parts), ["198.51.100.1, 198.51.100.2, 192.0.2.7"]);
    assert_eq!(get("x-forwarded-proto", &parts), ["http"]);
    assert_eq!(get("x-request-id", &parts), ["id"]);
    assert_eq!(get("host", &parts), ["fe.example:80"], "kept as it was");
    assert_eq!(parts.uri, "/a?b=c");
}

#[test]
fn fields_of_the_connection_end_here_and_so_do_those_it_names() {
    let parts = prepared(
        Request::get("/")
            .header("host", "h")
            .header("connection", "close, X-Mine")
            .header("connection", "te")
            .header("x-mine", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("proxy-authorization", "secret")
            .header("x-other", "2")
            .body(())
            .unwrap(),
    );
    let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-forwarded-for", "x-forwarded-proto", "x-other", "x-request-id"]);
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
fn an_http2_request_becomes_http1() {
    let parts = prepared(
        Request::get("http://fe.example/a?b")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(())
            .unwrap(),
    );
    assert_eq!(parts.version, Version::HTTP_11);
    assert_eq!(parts.uri, "/a?b");
    assert_eq!(get("host", &parts), ["fe.example"]);
    assert_eq!(get("cookie", &parts), ["a=1; b=2"]);
}

#[test]
fn the_target_in_absolute_form_outranks_the_host_field() {
    let request =
        Request::get("http://user@target.example/").header("host", "field.example").body(()).unwrap();
    assert_eq!(host(&request).unwrap(), "target.example");
}

#[test]
fn a_request_without_one_good_host_is_malformed() {
    let none = Request::get("/").body(()).unwrap();
    let two = Request::get("/").header("host", "a").header("host", "b").body(()).unwrap();
    let wrong = Request::get("/").header("host", "a b").body(()).unwrap();
    let userinfo = Request::get("/").header("host", "u@h").body(()).unwrap();
    // Whatever the target (RFC 9112 section 3.2).
    let absolute = Request::get("http://target.example/").body(()).unwrap();
    let beside_absolute = Request::get("http://target.example/").header("host", "a b").body(()).unwrap();
    let no_authority = Request::get("/").version(Version::HTTP_2).body(()).unwrap();
    for request in [none, two, wrong, userinfo, absolute, beside_absolute, no_authority] {
        assert_eq!(host(&request).unwrap_err().reason, Reason::BadRequest);
    }
    let old = Request::get("/").version(Version::HTTP_10).body(()).unwrap();
    assert_eq!(host(&old).unwrap(), "");
    let old = Request::get("http://target.example/").version(Version::HTTP_10).body(()).unwrap();
    assert_eq!(host(&old).unwrap(), "target.example");
    let empty = Request::get("http://target.example/").header("host", "").body(()).unwrap();
    assert_eq!(host(&empty).unwrap(), "target.example");
}

#[test]
fn how_long_a_pod_keeps_a_connection_is_read() {
    let mut headers = HeaderMap::new();
    assert_eq!(keep_alive_timeout(&headers), None);
    headers.insert("keep-alive", "max=10, timeout=5".parse().unwrap());
    assert_eq!(keep_alive_timeout(&headers), Some(5));
}
