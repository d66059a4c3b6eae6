//! Answers that come before the request's body has been sent, and bodies that are sent only when they are asked for.

use crate::pods::{Pod, nobody, read_head};
use crate::support::{PORT, Wanted, World, soon};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rstest::rstest;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than fits anywhere on the way.
const LARGE: usize = 8 << 20;

/// Rules: /dead has no server, /full answers 413 at once and closes, anything else has no route.
async fn world() -> (World, Pod) {
    let full = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfull";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        // Until the other side has noticed.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let wanted = Wanted::default()
        .frontend("fe", PORT)
        .rule("fe", "/dead", &[("dead", 1)])
        .rule("fe", "/full", &[("full", 1)])
        .clear_text("dead", &[nobody().await])
        .clear_text("full", &[full.address]);
    (World::serving(&wanted), full)
}

/// Writes everything before it reads anything, as simple clients do.
#[rstest]
#[case::no_route("/nowhere", "404", 1 << 20)]
#[case::no_route_and_more_than_any_buffer("/nowhere", "404", LARGE)]
#[case::no_server("/dead", "503", LARGE)]
#[case::a_pod_that_has_heard_enough("/full", "413", LARGE)]
#[tokio::test]
async fn an_early_answer_arrives(
    #[case] path: &str,
    #[case] status: &str,
    #[case] size: usize,
    #[values(true, false)] chunked: bool,
) {
    let (world, _full) = world().await;
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let length =
        if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {size}") };
    let head = format!("POST {path} HTTP/1.1\r\nHost: fe.alb.internal\r\n{length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    if chunked {
        stream.write_all(format!("{size:x}\r\n").as_bytes()).await.unwrap();
    }
    stream.write_all(&vec![0; size]).await.expect("the body is taken");
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(answer.lines().count() > 3, "with its body: {answer}");
}

#[rstest]
#[case::no_route("/nowhere", 404)]
#[case::no_server("/dead", 503)]
#[case::a_pod_that_has_heard_enough("/full", 413)]
#[tokio::test]
async fn an_early_answer_arrives_over_http2(#[case] path: &str, #[case] status: u16) {
    let (world, _full) = world().await;
    let stream = TokioIo::new(TcpStream::connect(world.address(PORT)).await.unwrap());
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let body = Full::<bytes::Bytes>::from(vec![0; LARGE]);
        let request = Request::post(format!("http://fe.alb.internal{path}")).body(body).unwrap();
        let response = soon("the answer", requests.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(!soon("its body", response.into_body().collect()).await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_small_body_nobody_reads_does_not_cost_the_connection() {
    let (world, _full) = world().await;
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            .await
            .unwrap();
        let head = soon("the answer", read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 404") && !head.contains("connection: close"), "{head}");
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
        stream.read_exact(&mut vec![0; length]).await.unwrap();
    }
}

const EXPECTING: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked_when_the_pod_asks() {
    let (ask, asked) = tokio::sync::watch::channel(false);
    let pod = Pod::start(move |_, mut stream| {
        let mut asked = asked.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap();
            assert!(head.contains("expect: 100-continue"), "{head}");
            asked.wait_for(|asked| *asked).await.unwrap();
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            crate::pods::respond(&mut stream, "taken").await;
        }
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(EXPECTING).await.unwrap();
    pod.until_open(1).await;
    let early = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
    assert!(early.is_err(), "nobody has asked: {early:?}");
    ask.send_replace(true);
    let interim = soon("being asked", read_head(&mut stream)).await.unwrap();
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    stream.write_all(b"hello").await.unwrap();
    let answer = soon("the answer", read_head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_sends_nothing_when_the_pod_refuses() {
    let (world, full) = world().await;
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let head = "POST /full HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 20000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = soon("the answer", read_head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut body = Vec::new();
    soon("the connection's end", stream.read_to_end(&mut body)).await.unwrap();
    assert_eq!(body, b"full");
    drop(stream);
    full.until_open(0).await;
}

#[tokio::test]
async fn a_refusal_of_the_gateways_own_needs_no_body_either() {
    let (world, _full) = world().await;
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let head =
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 20000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = soon("the answer", read_head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_pod_that_never_asks_gets_the_body_all_the_same() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        crate::pods::respond(&mut stream, "taken").await;
        read_head(&mut stream).await;
    })
    .await;
    let world = World::with(|settings| settings.continue_timeout = Duration::from_millis(100))
        .applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(EXPECTING).await.unwrap();
    assert!(soon("being asked", read_head(&mut stream)).await.unwrap().starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.unwrap();
    assert!(soon("the answer", read_head(&mut stream)).await.unwrap().starts_with("HTTP/1.1 200"));
}
