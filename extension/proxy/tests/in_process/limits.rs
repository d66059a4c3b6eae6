//! Time limits: clients that are idle or stop halfway, and responses that do.

use crate::pods::{Pod, read_head, respond};
use crate::support::{Client, PORT, Wanted, World, soon};
use alb_proxy::Settings;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The limit under test.
const SHORT: Duration = Duration::from_millis(200);

fn idle(settings: &mut Settings) {
    settings.client_idle_timeout = SHORT;
}

fn stalled(settings: &mut Settings) {
    settings.stream_idle_timeout = SHORT;
}

/// Never stops sending.
async fn endless() -> Pod {
    Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[0; 64 * 1024]).await.is_ok() {}
    })
    .await
}

/// A client of HTTP/2 with little room for what it does not read, and its connection's end.
async fn http2_client(
    address: SocketAddr,
) -> (http2::SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(65_535).initial_connection_window_size(1 << 20);
    let (requests, connection) = builder.handshake(stream).await.unwrap();
    (requests, tokio::spawn(connection))
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://fe.alb.internal{path}")).body(Full::default()).unwrap()
}

async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    soon("the connection's end", stream.read_to_end(&mut rest)).await.unwrap();
    rest
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_that_is_no_request() {
    let pod = Pod::echo().await;
    let mut world = World::with(idle).applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with(b"HTTP/1.1 200"));
    let mut silent = TcpStream::connect(world.address(PORT)).await.unwrap();
    assert!(until_closed(&mut silent).await.is_empty());
    assert_eq!(world.get("/last").await.status, 200);
    assert_eq!((world.logged().await.status, &*world.logged().await.path), (200, "/last"));
}

#[tokio::test]
async fn a_header_that_is_not_sent_to_its_end_is_logged() {
    let mut world = World::with(idle).applied(&Wanted::new());
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
    assert!(until_closed(&mut stream).await.is_empty());
    let record = world.logged().await;
    assert_eq!((record.status, record.reason, &*record.method), (408, "request_timeout", ""));
    assert_eq!(&*record.frontend, "fe.alb.internal");
}

#[tokio::test]
async fn a_body_that_is_not_sent_to_its_end_is_408() {
    let pod = Pod::echo().await;
    let mut world = World::with(stalled).applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    let record = world.logged().await;
    assert_eq!((record.status, record.reason, record.bytes_in), (408, "request_timeout", 4));
    pod.until_open(0).await;
}

#[tokio::test]
async fn a_response_that_does_not_go_on_is_broken_off() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        // Until the proxy gives up.
        read_head(&mut stream).await;
    })
    .await;
    let mut world = World::with(stalled).applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut stream).await.ends_with(b"half"));
    let record = world.logged().await;
    assert_eq!((record.status, record.reason, record.bytes_out), (200, "upstream_timeout", 4));
    pod.until_open(0).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_a_response_is_given_up() {
    let pod = endless().await;
    let mut world = World::with(stalled).applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let record = world.logged().await;
    assert_eq!((record.status, record.reason), (200, "client_closed"));
    assert!(record.detail.unwrap().contains("took nothing"));
    pod.until_open(0).await;
    drop(stream);
}

#[tokio::test]
async fn an_http2_stream_whose_client_takes_nothing_ends_and_others_go_on() {
    let (pod, echo) = (endless().await, Pod::echo().await);
    let wanted = Wanted::default()
        .frontend("fe", PORT)
        .rule("fe", "/endless", &[("endless", 1)])
        .rule("fe", "/", &[("b", 1)])
        .clear_text("endless", &[pod.address])
        .clear_text("b", &[echo.address]);
    let mut world = World::with(stalled).applied(&wanted);
    let (mut requests, _end) = http2_client(world.address(PORT)).await;
    let response = soon("the header", requests.send_request(request("/endless"))).await.unwrap();
    let record = world.logged().await;
    assert_eq!((&*record.path, record.status, record.reason), ("/endless", 200, "client_closed"));
    assert!(record.detail.unwrap().contains("took nothing"));
    pod.until_open(0).await;
    assert!(soon("the stream's end", response.into_body().collect()).await.is_err());
    let response = soon("a response", requests.send_request(request("/"))).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_and_one_that_waits_for_a_response_is_not() {
    let release = watch::Sender::new(false);
    let released = release.clone();
    let pod = Pod::start(move |_, mut stream| {
        let mut released = released.subscribe();
        async move {
            read_head(&mut stream).await;
            released.wait_for(|released| *released).await.unwrap();
            respond(&mut stream, "at last").await;
        }
    })
    .await;
    let world = World::with(idle).applied(&Wanted::new().clear_text("b", &[pod.address]));
    let (mut requests, mut end) = http2_client(world.address(PORT)).await;
    let response = requests.send_request(request("/"));
    assert!(tokio::time::timeout(5 * SHORT, &mut end).await.is_err(), "closed under a request");
    release.send_replace(true);
    let body = soon("the response", response).await.unwrap().into_body();
    assert_eq!(soon("its body", body.collect()).await.unwrap().to_bytes(), "at last");
    // Gracefully: no error.
    soon("the connection's end", end).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_http2_client_that_ignores_the_end_is_cut_off() {
    let world = World::with(idle).applied(&Wanted::new());
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    // The preface and empty SETTINGS (RFC 9113 section 3.4), and no answer to anything.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let said = until_closed(&mut stream).await;
    // Frames begin with their length and type.
    let mut frames = &said[..];
    let mut types = Vec::new();
    while let [a, b, c, kind, ..] = frames {
        types.push(*kind);
        frames = &frames[9 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c))..];
    }
    assert!(types.contains(&7), "it was told to go: {types:?}");
}

#[tokio::test]
async fn a_connection_in_use_is_not_idle() {
    let pod = Pod::echo().await;
    let world = World::with(idle).applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http2(world.address(PORT)).await;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < 3 * SHORT {
        assert_eq!(client.get("/").await.status, 200);
    }
}
