//! TLS with clients: listeners by name, certificates and their replacement, requests for another listener, limits.

use crate::pods::Pod;
use crate::support::{Authority, Client, LIMIT, PORT, Wanted, World, soon};
use crate::tls_client::{TlsClient, alert, at, certificate, connect, https, request, shown, tls_listener};
use alb_config::proto::{Frontend, ListenerRef};
use http_body_util::Full;
use rstest::rstest;
use rustls::AlertDescription;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One listener for any host, `l`, with the certificate `a`.
fn any(pod: &Pod) -> Wanted {
    let wanted = Wanted::default().clear_text("b", &[pod.address]);
    at(https(wanted, vec![tls_listener(("l", "", &["a"]))]), "l", "/", "b")
}

#[tokio::test]
async fn the_application_protocol_is_agreed_upon_and_pods_and_log_are_told_of_tls() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let mut world = World::serving(&certificate(any(&pod), "a", &authority.issue("a.example")));
    let client = TlsClient { alpn: &["h2", "http/1.1"], ..TlsClient::new(&authority, "a.example") };
    let stream = client.connect(world.address(PORT)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut http2 = Client::http2_over(stream).await;
    let request2 = http::Request::get("https://a.example/x").body(Full::default()).unwrap();
    let answer = http2.send(request2).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["headers"]["x-forwarded-proto"], json!(["https"]));
    assert_eq!(answer.json()["headers"]["via"], json!(["2.0 alb"]));
    let line = serde_json::to_value(world.logged().await).unwrap();
    let tls = json!({"version": "TLSv1.3", "server_name": "a.example", "alpn": "h2"});
    assert_eq!((&line["downstream_tls"], &line["listener"]), (&tls, &json!("l")));

    for alpn in [&["http/1.1"][..], &[]] {
        let client = TlsClient { alpn, ..TlsClient::new(&authority, "a.example") };
        let answer = client.get(&world, "a.example", "/x").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["headers"]["via"], json!(["1.1 alb"]));
        let line = serde_json::to_value(world.logged().await).unwrap();
        assert_eq!(line["downstream_tls"]["alpn"], json!(alpn.first()));
    }
    assert_eq!(world.metric("alb_proxy_client_handshakes_total{result=\"done\"}"), 3.0);

    let other = TlsClient { alpn: &["istio"], ..TlsClient::new(&authority, "a.example") };
    let error = other.connect(world.address(PORT)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::NoApplicationProtocol));
}

#[tokio::test]
async fn the_listener_is_the_most_specific_one_for_the_name_and_shows_its_own_certificate() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let listeners = [
        ("exact", "a.b.shop.example", &["exact"][..]),
        ("near", "*.b.shop.example", &["near"]),
        ("far", "*.shop.example", &["far"]),
    ];
    let names = [("exact", "a.b.shop.example"), ("near", "*.b.shop.example"), ("far", "*.shop.example")];
    let issued = names.map(|(name, host)| (name, authority.issue(host)));
    let wanted = Wanted::default().clear_text("b", &[pod.address]);
    let wanted = https(wanted, listeners.map(tls_listener).to_vec());
    let wanted = issued.iter().fold(wanted, |wanted, (name, issued)| certificate(wanted, name, issued));
    let world = World::serving(&wanted);
    for (asked, listener) in
        [("a.b.shop.example", "exact"), ("c.b.shop.example", "near"), ("c.shop.example", "far")]
    {
        let stream = TlsClient::new(&authority, asked).connect(world.address(PORT)).await.unwrap();
        let expected = &issued.iter().find(|(name, _)| *name == listener).unwrap().1;
        assert_eq!(shown(&stream), expected.chain_der[0], "{asked}");
    }
    let nobodys = TlsClient { server_name: None, ..TlsClient::new(&authority, "") };
    for client in
        [TlsClient::new(&authority, "shop.example"), TlsClient::new(&authority, "other.test"), nobodys]
    {
        let error = client.connect(world.address(PORT)).await.unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::UnrecognisedName), "{:?}", client.server_name);
    }
    assert_eq!(world.metric("alb_proxy_client_handshakes_total{result=\"unknown_name\"}"), 3.0);
}

/// Cases of the Gateway API's own suite, HTTPRouteHTTPSListenerDetectMisdirectedRequests, and some more.
#[rstest]
#[case("example.org", "example.org", 200)]
#[case("example.org", "second-example.org", 421)]
#[case("example.org", "unknown-example.org", 404)]
#[case("second-example.org", "second-example.org", 200)]
#[case("second-example.org", "SECOND-example.org.:443", 200)]
#[case("second-example.org", "example.org", 421)]
#[case("second-example.org", "unknown-example.org", 421)]
#[case("third-example.wildcard.org", "third-example.wildcard.org", 200)]
#[case("third-example.wildcard.org", "fifth-example.wildcard.org", 200)]
#[case("third-example.wildcard.org", "fourth-example.wildcard.org", 421)]
#[case("third-example.wildcard.org", "second-example.org", 421)]
#[case("third-example.wildcard.org", "unknown-example.org", 421)]
#[case("fourth-example.wildcard.org", "fourth-example.wildcard.org", 200)]
#[case("fourth-example.wildcard.org", "fifth-example.wildcard.org", 421)]
#[case("unknown-example.org", "example.org", 200)]
#[case("unknown-example.org", "unknown-example.org", 404)]
#[tokio::test]
async fn a_request_for_another_listener_is_misdirected(
    #[case] server_name: &str,
    #[case] host: &str,
    #[case] status: u16,
) {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let listeners = [
        ("https", "", &["all"][..]),
        ("with-hostname", "second-example.org", &["all"]),
        ("wildcard", "*.wildcard.org", &["all"]),
        ("matching-wildcard", "fourth-example.wildcard.org", &["all"]),
    ];
    let wanted = Wanted::default().clear_text("b", &[pod.address]);
    let wanted = https(wanted, listeners.map(tls_listener).to_vec());
    let wanted = certificate(wanted, "all", &authority.issue(server_name));
    let wanted = wanted.rule_with("fe", "/", &[("b", 1)], |rule| {
        rule.hostnames = vec!["example.org".into()];
        rule.listeners[0].listener = "https".into();
    });
    let wanted = wanted.rule_with("fe", "/others", &[("b", 1)], |rule| {
        let others = listeners.iter().filter(|(name, _, _)| *name != "https");
        let reference = |name: &str| ListenerRef { frontend: "frontend/fe".into(), listener: name.into() };
        rule.listeners = others.map(|(name, _, _)| reference(name)).collect();
    });
    let mut world = World::serving(&wanted);
    let answer = TlsClient::new(&authority, server_name).get(&world, host, "/others").await;
    let reason = if status == 421 { "misdirected_request" } else { "no_route" };
    match status {
        200 => assert_eq!(answer.status, 200),
        status => assert_eq!(answer.reason(), (status, reason)),
    }
    assert_eq!(world.logged().await.status, status);
}

#[tokio::test]
async fn of_several_certificates_the_one_for_the_name_is_shown() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let (a, b) = (authority.issue("a.example"), authority.issue("b.example"));
    let wanted = https(any(&pod), vec![tls_listener(("l", "", &["b", "a"]))]);
    let world = World::serving(&certificate(certificate(wanted, "a", &a), "b", &b));
    for (name, issued) in [("a.example", &a), ("b.example", &b)] {
        let stream = TlsClient::new(&authority, name).connect(world.address(PORT)).await.unwrap();
        assert_eq!(shown(&stream), issued.chain_der[0]);
    }
}

#[tokio::test]
async fn certificates_are_replaced_under_open_connections() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let (old, new) = (authority.issue("a.example"), authority.issue("a.example"));
    let world = World::serving(&certificate(any(&pod), "a", &old));
    let client = TlsClient::new(&authority, "a.example");
    let stream = client.connect(world.address(PORT)).await.unwrap();
    assert_eq!(shown(&stream), old.chain_der[0]);
    let mut open = Client::http1_over(stream).await;
    for _ in 0..10 {
        world.apply(&certificate(any(&pod), "a", &new));
        assert_eq!(open.send(request("a.example", "/")).await.status, 200);
        let stream = client.connect(world.address(PORT)).await.unwrap();
        assert_eq!(shown(&stream), new.chain_der[0]);
        world.apply(&certificate(any(&pod), "a", &old));
        assert_eq!(open.send(request("a.example", "/")).await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_comes_again_needs_no_whole_handshake() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let world = World::serving(&certificate(any(&pod), "a", &authority.issue("a.example")));
    let config = Arc::new(TlsClient::new(&authority, "a.example").config());
    for round in 0..3 {
        let mut stream = connect(&config, "a.example", world.address(PORT)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut all = Vec::new();
        soon("the answer", stream.read_to_end(&mut all)).await.unwrap();
        assert!(all.starts_with(b"HTTP/1.1 200"));
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, round > 0);
    }
}

#[tokio::test]
async fn without_a_certificate_the_handshake_fails_and_other_listeners_go_on() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let listeners = [("with", "a.example", &["a"][..]), ("without", "b.example", &["missing"])];
    let wanted = https(any(&pod), listeners.map(tls_listener).to_vec());
    let world =
        World::serving(&certificate(at(wanted, "with", "/", "b"), "a", &authority.issue("a.example")));
    let error = TlsClient::new(&authority, "b.example").connect(world.address(PORT)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::AccessDenied));
    assert_eq!(TlsClient::new(&authority, "a.example").get(&world, "a.example", "/").await.status, 200);
    assert_eq!(world.metric("alb_proxy_client_handshakes_total{result=\"failed\"}"), 1.0);
}

#[tokio::test]
async fn clear_text_is_not_answered_where_tls_is_spoken() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let world = World::serving(&certificate(any(&pod), "a", &authority.issue("a.example")));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut all)).await;
    assert!(!all.starts_with(b"HTTP"), "{all:?}");
    assert_eq!(pod.connections(), 0);
}

#[tokio::test]
async fn a_port_that_turns_to_tls_serves_nobody_in_clear_text_any_more() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut open = Client::http1(world.address(PORT)).await;
    assert_eq!(open.get("/").await.status, 200);
    world.apply(&certificate(any(&pod), "a", &authority.issue("a.example")));
    assert_eq!(open.get("/").await.reason(), (421, "misdirected_request"));
    assert_eq!(TlsClient::new(&authority, "a.example").get(&world, "a.example", "/").await.status, 200);
}

#[tokio::test]
async fn both_on_one_port_are_refused() {
    let pod = Pod::echo().await;
    let world = World::serving(&any(&pod));
    let mut wanted = any(&pod);
    let mut both = Frontend { tls_listeners: vec![tls_listener(("l", "", &["a"]))], ..Frontend::default() };
    both.listeners = both.tls_listeners.iter().filter_map(|tls| tls.listener.clone()).collect();
    wanted.put("frontend/fe".into(), alb_config::Kind::Frontend(both));
    let rejection = world.refuses(&wanted);
    assert_eq!(rejection.resources, ["frontend/fe"]);
    assert!(rejection.message.contains("one in clear text and one with TLS"), "{}", rejection.message);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_given_up_and_counts_like_a_connection() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let world = World::with(|settings| {
        settings.handshake_timeout = Duration::from_millis(300);
        settings.max_connections_per_peer = 1;
        settings.refusal_delay = Duration::ZERO;
    });
    world.apply(&certificate(any(&pod), "a", &authority.issue("a.example")));
    let mut silent = TcpStream::connect(world.address(PORT)).await.unwrap();
    // The beginning of a ClientHello.
    silent.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut refused = TcpStream::connect(world.address(PORT)).await.unwrap();
    let started = std::time::Instant::now();
    let mut byte = [0];
    assert!(matches!(soon("a refusal", refused.read(&mut byte)).await, Ok(0) | Err(_)));
    assert!(matches!(soon("the end", silent.read(&mut byte)).await, Ok(0) | Err(_)));
    assert!(started.elapsed() < LIMIT / 4, "{:?}", started.elapsed());
    assert_eq!(world.metric("alb_proxy_client_handshakes_total{result=\"late\"}"), 1.0);
    assert_eq!(TlsClient::new(&authority, "a.example").get(&world, "a.example", "/").await.status, 200);
}

#[tokio::test]
async fn a_websocket_goes_through() {
    let authority = Authority::new();
    let pod = Pod::start(|_, mut stream| async move {
        let head = crate::pods::read_head(&mut stream).await.unwrap();
        assert!(head.contains("upgrade: websocket"), "{head}");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let mut frame = [0; 6];
        stream.read_exact(&mut frame).await.unwrap();
        stream.write_all(&frame).await.unwrap();
    })
    .await;
    let world = World::serving(&certificate(any(&pod), "a", &authority.issue("a.example")));
    let mut stream = TlsClient::new(&authority, "a.example").connect(world.address(PORT)).await.unwrap();
    let upgrade = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(upgrade).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the header", stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(&[0x82, 4, 1, 2, 3, 4]).await.unwrap();
    let mut frame = [0; 6];
    soon("the frame", stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame, [0x82, 4, 1, 2, 3, 4]);
}
