//! WebSockets: passed on, through changes of other routes, and closed with 1001 when the gateway goes away.

use crate::pods::{Pod, read_head, respond};
use crate::support::{LIMIT, PORT, Wanted, World, soon};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUEST: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: fe.alb.internal\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// "hello", masked as a client sends it, and not.
const FROM_CLIENT: [u8; 11] = [0x81, 0x85, 1, 2, 3, 4, b'h' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1];
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// Agrees and sends back what it is sent; says with what it was asked to close.
async fn echo() -> (Pod, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let (closed, closes) = tokio::sync::mpsc::unbounded_channel();
    let pod = Pod::start(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap();
            assert!(head.contains("upgrade: websocket") && head.contains("connection: Upgrade"), "{head}");
            assert!(head.contains("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="), "{head}");
            let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(agreed).await.unwrap();
            let mut frame = vec![0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut frame).await {
                if frame[0] == 0x88 {
                    closed.send(frame[..count].to_vec()).unwrap();
                    return;
                }
                stream.write_all(&frame[..count]).await.unwrap();
            }
        }
    })
    .await;
    (pod, closes)
}

async fn opened(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let head = soon("the answer", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream
}

async fn speak(stream: &mut TcpStream) {
    stream.write_all(&FROM_CLIENT).await.unwrap();
    let mut back = [0; FROM_CLIENT.len()];
    soon("the frame comes back", stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, FROM_CLIENT);
}

#[tokio::test]
async fn frames_pass_both_ways_while_other_routes_change() {
    let (pod, _closes) = echo().await;
    let wanted = Wanted::new().clear_text("b", &[pod.address]);
    let mut world = World::with(|settings| settings.client_idle_timeout = Duration::from_millis(100));
    world.apply(&wanted);
    let mut stream = opened(&world).await;
    for round in 0..5 {
        speak(&mut stream).await;
        world.apply(&wanted.clone().rule("fe", &format!("/other/{round}"), &[("b", 1)]));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    drop(stream);
    let record = world.logged().await;
    assert_eq!((record.status, record.reason), (101, "ok"));
    assert_eq!((record.bytes_in, record.bytes_out), (55, 55));
    pod.until_open(0).await;
}

#[tokio::test]
async fn both_sides_are_told_when_the_gateway_goes_away() {
    let (pod, mut closes) = echo().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = opened(&world).await;
    let proxy = world.proxy.clone();
    let ended = tokio::spawn(async move { proxy.shutdown(Duration::ZERO, Duration::from_secs(5)).await });
    // It has the drain to end by itself.
    speak(&mut stream).await;
    let mut rest = Vec::new();
    soon("the end", stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, GOING_AWAY);
    let close = closes.recv().await.unwrap();
    assert_eq!(close[..2], [0x88, 0x82], "masked, as from a client");
    drop(stream);
    soon("the proxy's end", ended).await.unwrap();
    assert_eq!(world.logged().await.reason, "shutting_down");
}

#[tokio::test]
async fn a_port_that_is_gone_takes_its_websockets_with_it_after_a_while() {
    let (pod, _closes) = echo().await;
    let wanted = Wanted::new().clear_text("b", &[pod.address]);
    let world = World::with(|settings| settings.tunnel_drain = Duration::from_millis(300)).applied(&wanted);
    let mut stream = opened(&world).await;
    world.apply(&Wanted::default());
    speak(&mut stream).await;
    let mut rest = Vec::new();
    soon("the end", stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, GOING_AWAY);
    pod.until_open(0).await;
}

#[tokio::test]
async fn a_pod_that_declines_answers_as_any_other() {
    let pod = Pod::start(|_, mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            respond(&mut stream, "no").await;
        }
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    for _ in 0..2 {
        stream.write_all(REQUEST).await.unwrap();
        let head = soon("the answer", read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("upgrade"), "{head}");
        stream.read_exact(&mut [0; 2]).await.unwrap();
    }
}

#[tokio::test]
async fn a_websocket_counts_as_a_connection_and_ends_with_its_pod() {
    let (pod, _closes) = echo().await;
    let world = World::with(|settings| settings.max_connections_per_peer = 1)
        .applied(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = opened(&world).await;
    speak(&mut stream).await;
    let mut refused = TcpStream::connect(world.address(PORT)).await.unwrap();
    let _ = soon("a second one's end", refused.read_to_end(&mut Vec::new())).await;
    drop(pod);
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await.unwrap();
}
