//! Time limits of rules (Gateway API, `HTTPRouteTimeouts`): whose time counts, and up to where.

use crate::pods::{Pod, read_head, respond};
use crate::support::{PORT, Wanted, World, soon};
use alb_config::proto::Timeouts;
use rstest::rstest;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: u64 = 300;

fn limited(pod: &Pod, request_ms: u64, backend_request_ms: u64) -> World {
    let wanted = Wanted::default().frontend("fe", PORT).clear_text("b", &[pod.address]).rule_with(
        "fe",
        "/",
        &[("b", 1)],
        |rule| rule.timeouts = Some(Timeouts { request_ms, backend_request_ms }),
    );
    World::serving(&wanted)
}

#[rstest]
#[case::request(LIMIT, 0)]
#[case::backend_request(0, LIMIT)]
#[tokio::test]
async fn a_client_that_uploads_slowly_has_the_whole_limit_left_for_its_answer(
    #[case] request: u64,
    #[case] backend_request: u64,
) {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.read_exact(&mut [0; 10]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(LIMIT / 3)).await;
        respond(&mut stream, "taken").await;
    })
    .await;
    let mut world = limited(&pod, request, backend_request);
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(LIMIT / 5)).await;
        stream.write_all(b"x").await.unwrap();
    }
    let answer = soon("the answer", read_head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.logged().await.reason, "ok");
}

#[rstest]
#[case::request(LIMIT, 0)]
#[case::backend_request(0, LIMIT)]
#[case::the_shorter_of_both(10 * LIMIT, LIMIT)]
#[tokio::test]
async fn a_response_is_complete_within_the_limit_or_broken_off(
    #[case] request: u64,
    #[case] backend_request: u64,
) {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
        while stream.write_all(b"some").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(LIMIT / 10)).await;
        }
    })
    .await;
    let mut world = limited(&pod, request, backend_request);
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let begun = std::time::Instant::now();
    let mut answer = Vec::new();
    let _ = soon("the connection's end", stream.read_to_end(&mut answer)).await;
    assert!(begun.elapsed() < Duration::from_millis(5 * LIMIT), "{:?}", begun.elapsed());
    let record = world.logged().await;
    assert_eq!((record.status, record.reason), (200, "upstream_timeout"));
    pod.until_open(0).await;
}

#[rstest]
#[case::request(LIMIT, 0)]
#[case::backend_request(0, LIMIT)]
#[tokio::test]
async fn a_pod_that_takes_nothing_of_a_large_body_does_not_stop_the_clock(
    #[case] request: u64,
    #[case] backend_request: u64,
) {
    let pod = Pod::start(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let world = limited(&pod, request, backend_request);
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    let (mut read, mut write) = stream.into_split();
    tokio::spawn(async move { while write.write_all(&[0; 64 * 1024]).await.is_ok() {} });
    let mut answer = [0; 12];
    soon("the answer", read.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
}

#[tokio::test]
async fn the_default_limit_is_for_the_header_alone() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await.unwrap();
        for byte in b"hello" {
            tokio::time::sleep(Duration::from_millis(LIMIT / 3)).await;
            stream.write_all(&[*byte]).await.unwrap();
        }
    })
    .await;
    let world = World::with(|settings| settings.request_timeout = Duration::from_millis(LIMIT));
    world.apply(&Wanted::new().clear_text("b", &[pod.address]));
    assert_eq!(world.get("/").await.text(), "hello");
}
