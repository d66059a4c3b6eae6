//! Connections to pods: reuse, and what happens when one turns out to be closed.

use crate::pods::{Pod, nobody, read_head, respond};
use crate::support::{Client, PORT, Wanted, World};
use http::{Method, Request};
use http_body_util::Full;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

#[tokio::test]
async fn sequential_requests_share_one_connection() {
    let pod = Pod::echo().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    for request in 0..100 {
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(world.logged().await.connection_reused, request > 0);
    }
    assert_eq!(pod.connections(), 1);
    assert_eq!(world.metric("alb_proxy_upstream_requests_total{connection=\"reused\"}"), 99.0);
}

/// Answers one request per connection, and closes it, unannounced, when the next one arrives.
async fn closes_on_the_second_request() -> Pod {
    Pod::start(|_, mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            respond(&mut stream, "one").await;
            read_head(&mut stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_reused_connection_that_was_closed_is_replaced_and_the_client_sees_nothing() {
    let pod = closes_on_the_second_request().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    for method in [Method::GET, Method::GET, Method::DELETE, Method::OPTIONS, Method::GET] {
        let request =
            Request::builder().method(method).uri("/").header("host", "h").body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.text(), "one");
    }
    assert_eq!(pod.connections(), 5);
    assert_eq!(world.metric("alb_proxy_upstream_retries_total"), 4.0);
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_not() {
    let pod = closes_on_the_second_request().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    assert_eq!(client.get("/").await.status, 200);
    world.logged().await;
    let post = Request::post("/").header("host", "h").body(Full::from("order")).unwrap();
    assert_eq!(client.send(post).await.reason(), (503, "upstream_reset"));
    assert!(world.logged().await.connection_reused);
}

#[tokio::test]
async fn a_pod_that_closes_idle_connections_costs_no_request_whatever_the_method() {
    // Closes after each response, as a draining sidecar does.
    let pod = Pod::start(|_, mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            respond(&mut stream, "one").await;
        }
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    for _ in 0..20 {
        let post = Request::post("/").header("host", "h").body(Full::default()).unwrap();
        assert_eq!(client.send(post).await.text(), "one");
        pod.until_open(0).await;
    }
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_what_the_pod_announces() {
    let pod = Pod::start(|_, mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            let response = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, response).await.unwrap();
        }
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    client.get("/").await;
    client.get("/").await;
    assert_eq!(pod.connections(), 2);
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_passed_over_for_the_next() {
    let pod = Pod::echo().await;
    let dead = nobody().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[dead, pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    for _ in 0..10 {
        let post = Request::post("/").header("host", "h").body(Full::from("order")).unwrap();
        assert_eq!(client.send(post).await.json()["body"], "order");
        assert_eq!(world.logged().await.upstream_pod.as_deref(), Some("ns/b-1"));
    }
    assert_eq!(world.metric("alb_proxy_upstream_connect_failures_total"), 1.0, "tried once, then left alone");
}

#[tokio::test]
async fn endpoints_take_turns() {
    let (one, two) = (Pod::echo().await, Pod::echo().await);
    let mut world = World::serving(&Wanted::new().clear_text("b", &[one.address, two.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    let mut asked = [0, 0];
    for _ in 0..20 {
        client.get("/").await;
        asked[usize::from(world.logged().await.upstream_address == Some(two.address.to_string()))] += 1;
    }
    assert_eq!(asked, [10, 10]);
}

#[tokio::test]
async fn connections_to_an_endpoint_that_is_gone_are_closed() {
    let (one, two) = (Pod::echo().await, Pod::echo().await);
    let world = World::serving(&Wanted::new().clear_text("b", &[one.address]));
    world.get("/").await;
    one.until_open(1).await;
    world.apply(&Wanted::new().clear_text("b", &[two.address]));
    one.until_open(0).await;
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(two.connections(), 1);
}

/// An address where nobody answers, not even with a refusal, as of a pod whose node has lost its power: a listener whose
/// queue is full, with the connections that fill it.
async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queue.push(stream.unwrap());
    }
    (address, listener, queue)
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_costs_time_and_no_request() {
    let (silent, _listener, _queue) = silent().await;
    let pod = Pod::echo().await;
    let world = World::with(|settings| settings.tcp_connect_timeout = Duration::from_millis(100));
    world.apply(&Wanted::new().clear_text("b", &[silent, pod.address]));
    let mut client = Client::http1(world.address(PORT)).await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.status, 200);
    }
}
