//! What one tenant, or one client, does costs another nothing.

use crate::pods::{Pod, read_head, respond};
use crate::support::{Client, PORT, Wanted, World, soon};
use http::Request;
use http_body_util::Full;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const OTHER_PORT: u16 = 10_001;
const SHORT: Duration = Duration::from_millis(200);

/// Accepts and never answers.
async fn hung() -> Pod {
    Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        // Until the other side gives up.
        read_head(&mut stream).await;
    })
    .await
}

/// Two frontends: `fe` with a hung backend below /hung, and `other`.
fn two(hung: &Pod, good: &Pod) -> Wanted {
    Wanted::default()
        .frontend("fe", PORT)
        .frontend("other", OTHER_PORT)
        .rule("fe", "/hung", &[("hung", 1)])
        .rule("fe", "/", &[("b", 1)])
        .rule("other", "/", &[("b", 1)])
        .clear_text("hung", &[hung.address])
        .clear_text("b", &[good.address])
}

async fn ask(world: &World, port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.address(port)).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: fe.alb.internal\r\n\r\n").as_bytes())
        .await
        .unwrap();
    stream
}

async fn answer(stream: &mut TcpStream) -> String {
    soon("an answer", read_head(stream)).await.unwrap_or_default()
}

#[tokio::test]
async fn a_backend_that_never_answers_stops_neither_its_neighbours_nor_others_gateways() {
    let (hung, good) = (hung().await, Pod::echo().await);
    let world = World::with(|settings| {
        settings.max_requests = 40;
        settings.max_waiting_per_backend = 8;
    })
    .applied(&two(&hung, &good));
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(ask(&world, PORT, "/hung").await);
    }
    hung.until_open(8).await;
    for _ in 0..3 {
        let mut refused = ask(&world, PORT, "/hung").await;
        assert!(answer(&mut refused).await.starts_with("HTTP/1.1 503"));
    }
    for port in [PORT, OTHER_PORT] {
        let mut client = Client::http1(world.address(port)).await;
        for _ in 0..20 {
            assert_eq!(client.get("/good").await.status, 200);
        }
    }
    // A new configuration does not make it begin anew.
    world.apply(&two(&hung, &good).rule("fe", "/new", &[("b", 1)]));
    assert!(answer(&mut ask(&world, PORT, "/hung").await).await.starts_with("HTTP/1.1 503"));
    waiting.clear();
    hung.until_open(0).await;
}

#[tokio::test]
async fn a_gateway_that_is_full_is_full_alone() {
    let (hung, good) = (hung().await, Pod::echo().await);
    let mut world = World::with(|settings| settings.max_requests = 16).applied(&two(&hung, &good));
    // Its own four, and half of the eight that are for everybody.
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(ask(&world, PORT, "/hung").await);
    }
    hung.until_open(8).await;
    assert!(answer(&mut ask(&world, PORT, "/").await).await.starts_with("HTTP/1.1 503"));
    assert_eq!(world.logged().await.reason, "overloaded");
    let mut client = Client::http1(world.address(OTHER_PORT)).await;
    for _ in 0..20 {
        assert_eq!(client.get("/good").await.status, 200);
    }
}

#[tokio::test]
async fn clients_that_do_nothing_are_closed_when_others_wait_for_their_place() {
    let (hung, good) = (hung().await, Pod::echo().await);
    let world = World::with(|settings| {
        settings.max_connections = 16;
        settings.crowded_idle_timeout = SHORT;
    })
    .applied(&two(&hung, &good));
    let address = world.address(PORT);
    let mut idle = Vec::new();
    for number in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some say nothing, and some not all of it.
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
        }
        idle.push(stream);
    }
    // The other gateway's clients do not even wait.
    let mut others = Client::http1(world.address(OTHER_PORT)).await;
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(others.get("/good").await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // And neither do its own for long.
    assert_eq!(Client::http1(address).await.get("/good").await.status, 200);
}

#[tokio::test]
async fn one_client_holds_only_so_many_connections() {
    let good = Pod::echo().await;
    let world = World::with(|settings| settings.max_connections_per_peer = 4)
        .applied(&Wanted::new().clear_text("b", &[good.address]));
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = Client::http1(world.address(PORT)).await;
        assert_eq!(client.get("/").await.status, 200);
        held.push(client);
    }
    let mut refused = TcpStream::connect(world.address(PORT)).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the connection's end", refused.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    assert_eq!(world.metric("alb_proxy_client_connections_refused_total"), 1.0);
    for client in &mut held {
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_header_that_comes_a_byte_at_a_time_is_not_waited_for() {
    let mut world = World::with(|settings| settings.header_timeout = SHORT)
        .applied(&Wanted::default().frontend("fe", PORT));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    let trickle = async {
        let mut header = b"GET / HTTP/1.1\r\nHost: a\r\nx: ".to_vec();
        header.extend([b'y'; 10_000]);
        for byte in header {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
        panic!("it was waited for");
    };
    let (record, ()) = tokio::join!(world.logged(), soon("the end", trickle));
    assert_eq!((record.status, record.reason), (408, "request_timeout"));
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_408_and_a_conversation_is_not() {
    let pod = Pod::start(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        if head.contains("chunked") {
            let mut end = [0; 5];
            while end != *b"0\r\n\r\n" {
                end.rotate_left(1);
                end[4] = stream.read_u8().await.unwrap();
            }
            respond(&mut stream, "heard").await;
        }
        std::future::pending::<()>().await;
    })
    .await;
    let mut world = World::with(|settings| {
        settings.minimum_upload_rate =
            Some(alb_proxy::MinimumRate { bytes_per_second: 1000, grace: Duration::from_millis(300) });
    })
    .applied(&Wanted::new().clear_text("b", &[pod.address]));
    let trickle = |head: &'static str, bytes: &'static [&'static str], world: &World| {
        let address = world.address(PORT);
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            for piece in bytes.iter().cycle().take(20) {
                if stream.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let _ = stream.write_all(b"0\r\n\r\n").await;
            answer(&mut stream).await
        }
    };
    let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    assert!(trickle(length, &["x"], &world).await.starts_with("HTTP/1.1 408"));
    assert_eq!(world.logged().await.reason, "request_timeout");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(trickle(chunked, &["1\r\nx\r\n"], &world).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn streams_of_http2_count_as_requests_until_they_end() {
    let (hung, good) = (hung().await, Pod::echo().await);
    let world = World::with(|settings| settings.max_requests = 32).applied(&two(&hung, &good));
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(world.address(PORT)).await.unwrap());
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        Request::get(format!("http://fe.alb.internal{path}")).body(Full::<bytes::Bytes>::default()).unwrap()
    };
    let mut waiting = tokio::task::JoinSet::new();
    // Eight of its own and eight of what is for everybody, two each.
    for _ in 0..8 {
        waiting.spawn(requests.send_request(request("/hung")));
    }
    hung.until_open(8).await;
    let refused = soon("an answer", requests.send_request(request("/"))).await.unwrap();
    assert_eq!(refused.status(), 503);
    waiting.shutdown().await;
    hung.until_open(0).await;
    let answered = soon("an answer", requests.send_request(request("/"))).await.unwrap();
    assert_eq!(answered.status(), 200);
}
