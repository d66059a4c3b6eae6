//! Requests and answers: routing, status codes, header fields, bodies.

use crate::pods::{Pod, nobody, read_head, respond};
use crate::support::{Answer, Client, PORT, Wanted, World, soon};
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rstest::rstest;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_request_reaches_the_pod_and_the_answer_the_client() {
    let pod = Pod::echo().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let answer = world.get("/a/b?c=d").await;
    assert_eq!(answer.status, 200);
    let told = answer.json();
    assert_eq!(told["path"], "/a/b?c=d");
    assert_eq!(told["headers"]["host"][0], "fe.alb.internal");
    assert_eq!(told["headers"]["x-forwarded-for"][0], "127.0.0.1");
    assert_eq!(told["headers"]["x-forwarded-proto"][0], "http");

    let record = world.logged().await;
    assert_eq!(told["headers"]["x-request-id"][0], *record.request_id);
    assert_eq!((record.status, record.reason), (200, "ok"));
    assert_eq!((&*record.frontend, &*record.gateway), ("fe.alb.internal", "ns/fe"));
    assert_eq!((record.listener.as_deref(), record.route.as_deref()), (Some("http"), Some("ns/fe-route")));
    assert_eq!(record.upstream_pod.as_deref(), Some("ns/b-0"));
    assert_eq!(record.upstream_address, Some(pod.address.to_string()));
    assert_eq!(record.bytes_out, answer.body.len() as u64);
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!(line["upstream_tls"]["mode"], "none");
    assert_eq!(line["path"], "/a/b");
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[tokio::test]
async fn every_reason_has_its_status_and_stands_in_body_log_and_metrics() {
    let dead = nobody().await;
    let pod = Pod::echo().await;
    let wanted = Wanted::default()
        .frontend("fe", PORT)
        .rule("fe", "/invalid", &[("invalid", 1)])
        .rule("fe", "/zero", &[("b", 0)])
        .rule("fe", "/unknown", &[("nowhere", 1)])
        .rule("fe", "/empty", &[("empty", 1)])
        .rule("fe", "/dead", &[("dead", 1)])
        .rule("fe", "/no-certificate", &[("mesh", 1)])
        .clear_text("empty", &[])
        .clear_text("dead", &[dead])
        .mutual_tls("mesh", &[pod.address], crate::support::POD);
    let mut world = World::serving(&wanted);
    for (path, status, reason) in [
        ("/", 404, "no_route"),
        ("/invalid", 500, "backend_invalid"),
        ("/zero", 500, "backend_invalid"),
        ("/unknown", 500, "backend_invalid"),
        ("/empty", 503, "no_endpoint"),
        ("/dead", 503, "upstream_connect_failed"),
        ("/no-certificate", 503, "no_client_certificate"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.reason(), (status, reason), "{path}");
        let record = world.logged().await;
        assert_eq!((record.status, record.reason), (status, reason), "{path}");
        assert_eq!(answer.headers["x-request-id"], *record.request_id);
        assert!(record.detail.is_some(), "{path}: {record:?}");
        assert!(!answer.text().contains("127.0.0.1"), "no addresses for clients: {}", answer.text());
    }
    assert_eq!(pod.connections(), 0, "nothing was sent in clear text instead");
    assert!(
        world.metric(
            "alb_proxy_requests_total{frontend=\"fe.alb.internal\",route=\"ns/fe-route\",status=\"500\""
        ) >= 3.0
    );
}

#[tokio::test]
async fn no_response_in_time_is_504() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let wanted = Wanted::default().frontend("fe", PORT).clear_text("b", &[pod.address]).rule_with(
        "fe",
        "/",
        &[("b", 1)],
        |rule| rule.timeouts = Some(alb_config::proto::Timeouts { request_ms: 20, backend_request_ms: 0 }),
    );
    let world = World::serving(&wanted);
    assert_eq!(world.get("/").await.reason(), (504, "upstream_timeout"));
}

#[tokio::test]
async fn weights_share_the_requests_and_an_invalid_reference_has_its_share() {
    let pod = Pod::echo().await;
    let wanted = Wanted::default()
        .frontend("fe", PORT)
        .rule("fe", "/", &[("b", 1), ("invalid", 1)])
        .clear_text("b", &[pod.address]);
    let world = World::serving(&wanted);
    let mut client = Client::http1(world.address(PORT)).await;
    let mut good = 0;
    for _ in 0..200 {
        let answer = client.get("/").await;
        assert!(answer.status == 200 || answer.reason() == (500, "backend_invalid"));
        good += usize::from(answer.status == 200);
    }
    // Chance goes beyond this once in 10^13 runs.
    assert!((50..150).contains(&good), "{good} of 200");
}

#[rstest]
#[case::no_host("GET / HTTP/1.1\r\n\r\n", "400")]
#[case::two_hosts("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400")]
#[case::garbage("what is this\r\n\r\n", "400")]
#[case::bad_length("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "400")]
#[case::connect("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "400")]
#[case::absolute_target_without_host("GET http://a/ HTTP/1.1\r\n\r\n", "400")]
#[case::wrong_host_beside_an_absolute_target("GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400")]
#[tokio::test]
async fn a_malformed_request_is_answered_logged_and_its_connection_closed(
    #[case] request: &str,
    #[case] status: &str,
) {
    let pod = Pod::echo().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the connection's end", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert_eq!(pod.connections(), 0);
    let record = world.logged().await;
    assert_eq!((record.status.to_string().as_str(), record.reason), (status, "bad_request"));
    assert_eq!((&*record.frontend, &*record.gateway), ("fe.alb.internal", "ns/fe"));
    assert!(record.detail.is_some() && !record.time.is_empty(), "{record:?}");
    let counted =
        r#"alb_proxy_requests_total{frontend="fe.alb.internal",route="",status="400",reason="bad_request"}"#;
    assert_eq!(world.metric(counted), 1.0);
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let mut world = World::serving(&Wanted::new());
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    // A reset may overtake the answer: what counts is that no more than the limit was taken.
    let _ = soon("the connection's end", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let record = world.logged().await;
    assert_eq!((record.status, record.reason), (431, "bad_request"));
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_answered() {
    let pod = Pod::echo().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http2(world.address(PORT)).await;
    for path in ["/one", "/two"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["path"], path);
        assert_eq!(answer.json()["headers"]["host"][0], "fe.alb.internal");
    }
    let posted = Request::post("http://fe.alb.internal/").body(Full::from("hello")).unwrap();
    assert_eq!(client.send(posted).await.json()["body"], "hello");
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    // Sends back each byte as it comes, chunked: nothing would arrive if anything were buffered.
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut chunk = [0; 6];
        for _ in 0..3 {
            // "1\r\nX\r\n"
            stream.read_exact(&mut chunk).await.unwrap();
            stream.write_all(&chunk).await.unwrap();
        }
        stream.read_exact(&mut chunk[..5]).await.unwrap();
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let head = soon("the response's header", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for letter in ["a", "b", "c"] {
        let sent = format!("1\r\n{letter}\r\n");
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut back = [0; 6];
        soon("the byte comes back", stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, sent.as_bytes());
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut end = [0; 5];
    soon("the end", stream.read_exact(&mut end)).await.unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
}

#[tokio::test]
async fn a_slow_reader_holds_up_the_pod_instead_of_filling_memory() {
    let (reached, mut written) = tokio::sync::watch::channel(0_usize);
    let pod = Pod::start(move |_, mut stream| {
        let reached = reached.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.unwrap();
            let block = vec![0; 64 * 1024];
            while stream.write_all(&block).await.is_ok() {
                reached.send_modify(|sum| *sum += block.len());
            }
        }
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    soon("the header", read_head(&mut stream)).await.unwrap();
    // It stops writing by itself, long before the gigabyte: when nothing has moved for a moment.
    while tokio::time::timeout(std::time::Duration::from_millis(300), written.changed()).await.is_ok() {
        assert!(*written.borrow_and_update() < 64 << 20, "nothing holds it up");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_logged_as_such() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    pod.until_open(1).await;
    drop(stream);
    let record = world.logged().await;
    assert_eq!((record.status, record.reason), (499, "client_closed"));
}

#[tokio::test]
async fn a_response_that_breaks_off_is_logged_as_such_and_not_ended_properly() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = soon("the connection's end", stream.read_to_string(&mut answer)).await;
    assert!(answer.ends_with("half"), "{answer}");
    let record = world.logged().await;
    assert_eq!((record.status, record.reason), (200, "upstream_reset"));
}

#[tokio::test]
async fn head_requests_and_responses_without_body_end_at_once() {
    let pod = Pod::start(|_, mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            match head.starts_with("HEAD") {
                true => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.unwrap(),
                false => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap(),
            }
        }
    })
    .await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let head = Request::head("/").header("host", "h").body(Full::default()).unwrap();
    let answer = world.send(head).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-length"]), (200, &"10".parse().unwrap()));
    assert_eq!(world.logged().await.reason, "ok");
    assert_eq!(world.get("/").await.status, 204);
    assert_eq!(world.logged().await.reason, "ok");
    assert_eq!(pod.connections(), 1);
}

#[tokio::test]
async fn a_head_request_without_route_is_logged_like_any_other() {
    let mut world = World::serving(&Wanted::default().frontend("fe", PORT));
    let head = Request::head("/").header("host", "h").body(Full::default()).unwrap();
    let answer = world.send(head).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0));
    assert_eq!(world.logged().await.reason, "no_route");
}

#[tokio::test]
async fn an_interim_response_of_the_pod_is_not_the_answer() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
        respond(&mut stream, "final").await;
        read_head(&mut stream).await;
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    assert_eq!(world.get("/").await.text(), "final");
}

#[rstest]
#[case::get("GET")]
#[case::head("HEAD")]
#[tokio::test]
async fn a_body_in_chunks_reaches_the_pod_whatever_the_method(#[case] method: &str) {
    const BODY: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
    let pod = Pod::start(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut body = [0; BODY.len()];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(body, BODY);
        respond(&mut stream, "").await;
    })
    .await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(&[head.as_bytes(), BODY].concat()).await.unwrap();
    let answer = soon("the response", read_head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let record = world.logged().await;
    assert_eq!((&*record.method, record.bytes_in), (method, 5));
}

/// A pod whose response has trailers (RFC 9110 section 6.5).
async fn with_trailers() -> Pod {
    Pod::start(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("te: trailers"), "{head}");
        let response = "HTTP/1.1 200 OK\r\ntrailer: grpc-status\r\ntransfer-encoding: chunked\r\n\r\n\
            5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n";
        stream.write_all(response.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn trailers_of_a_response_reach_clients_that_take_them() {
    let pod = with_trailers().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let stream = TokioIo::new(TcpStream::connect(world.address(PORT)).await.unwrap());
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get("http://fe.alb.internal/").header("te", "trailers").body(Full::<Bytes>::default());
    let response = soon("the response", requests.send_request(request.unwrap())).await.unwrap();
    let collected = soon("its body", http_body_util::BodyExt::collect(response.into_body())).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(world.logged().await.reason, "ok");

    let pod = with_trailers().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    soon("the connection's end", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("0\r\ngrpc-status: 0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_response_that_says_nothing_has_changed_has_no_body() {
    let pod = Pod::start(|_, mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            let unchanged = b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\netag: \"a\"\r\n\r\n";
            stream.write_all(unchanged).await.unwrap();
        }
    })
    .await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len(), &answer.headers["etag"]),
            (304, 0, &"\"a\"".parse().unwrap())
        );
        assert_eq!(world.logged().await.reason, "ok");
    }
    assert_eq!(pod.connections(), 1);
}

/// A body that does not say how long it is.
struct OfUnknownLength(Full<Bytes>);

impl Body for OfUnknownLength {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test]
async fn the_body_of_an_http2_get_request_reaches_the_pod() {
    let pod = Pod::echo().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let stream = TokioIo::new(TcpStream::connect(world.address(PORT)).await.unwrap());
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://fe.alb.internal/").body(OfUnknownLength(Full::from("hello"))).unwrap();
    let response = soon("the response", requests.send_request(request)).await.unwrap();
    let told = Answer::read(response).await.json();
    assert_eq!(told["body"], "hello");
    assert_eq!(told["headers"]["transfer-encoding"][0], "chunked");
}

#[rstest]
#[case::of_today("HTTP/1.1", "1\r\na\r\n0\r\n\r\n")]
#[case::of_old("HTTP/1.0", "a")]
#[tokio::test]
async fn the_version_of_a_pods_response_is_not_that_of_the_clients(
    #[case] version: &str,
    #[case] body: &str,
) {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\na").await.unwrap();
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(format!("GET / {version}\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    let head = soon("the response's header", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with(&format!("{version} 200")), "{head}");
    let mut received = vec![0; body.len()];
    soon("the body", stream.read_exact(&mut received)).await.unwrap();
    assert_eq!(received, body.as_bytes());
}
