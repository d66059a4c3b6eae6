//! Messages with random damage: whatever is sent, the proxy goes on, and what reaches a pod is one clean request.

use crate::pods::{Pod, read_head};
use crate::support::{PORT, Wanted, World};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What damage is done with.
const PIECES: [&str; 22] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ":",
    ",",
    "/",
    "//",
    "/../",
    "%2e",
    "%2F",
    "%00",
    "0",
    "5",
    "Host: x\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: host\r\n",
    "X-Forwarded-Client-Cert: x\r\n",
    "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
];
const BASES: [&str; 4] = [
    "GET /a/b?c=d HTTP/1.1\r\nHost: fe.alb.internal\r\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: fe.alb.internal\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: fe.alb.internal\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT http://fe.alb.internal/x HTTP/1.1\r\nHost: fe.alb.internal\r\nConnection: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
];
/// Of HTTP/2: the preface, SETTINGS, HEADERS of a GET request, DATA that nobody expects.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x11\x01\x04\0\0\0\x01\x82\x86\x84\x01\x0cfe.alb.inter\0\0\x03\0\x01\0\0\0\x01abc";

#[derive(Debug, Clone)]
struct Damage {
    at: prop::sample::Index,
    piece: usize,
    /// Bytes that it replaces.
    over: usize,
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = (any::<prop::sample::Index>(), 0..PIECES.len(), 0..3_usize)
        .prop_map(|(at, piece, over)| Damage { at, piece, over });
    proptest::collection::vec(one, 0..4)
}

fn damaged(base: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut message = base.to_vec();
    for Damage { at, piece, over } in damage {
        let at = at.index(message.len() + 1);
        let end = (at + over).min(message.len());
        message.splice(at..end, PIECES[*piece].bytes());
    }
    message
}

/// Sends it, says that nothing more comes, and waits for the end.
async fn send(address: SocketAddr, message: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(message).await;
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection has no end");
}

/// What is wrong with the header of a request that has reached a pod.
fn faults(head: &str) -> Option<String> {
    let mut lines = head.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?;
    let path = target.split('?').next()?;
    let names: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(|line| line.split(':').next().unwrap_or_default().to_ascii_lowercase())
        .collect();
    let count = |name: &str| names.iter().filter(|other| *other == name).count();
    let normal = alb_route::PathPolicy::default().apply(path).is_ok_and(|normal| normal == path);
    let wrong = [
        ("its path is not normal", path != "*" && !normal),
        ("it has not one host", count("host") != 1),
        ("it has two lengths", count("content-length") + count("transfer-encoding") > 1),
        ("it claims an identity", count("x-forwarded-client-cert") > 0),
        ("it does not say from whom it is", count("x-forwarded-for") != 1),
    ];
    wrong.iter().find(|(_, wrong)| *wrong).map(|(what, _)| format!("{what}: {head}"))
}

#[test]
fn whatever_is_sent_only_clean_requests_reach_a_pod_and_the_proxy_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = seen.clone();
    let (world, _pod) = runtime.block_on(async move {
        let pod = Pod::start(move |_, mut stream| {
            let heads = heads.clone();
            async move {
                // One request for each connection: no body is taken for a header.
                if let Some(head) = read_head(&mut stream).await {
                    heads.lock().unwrap().push(head);
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                }
            }
        })
        .await;
        (World::serving(&Wanted::new().clear_text("b", &[pod.address])), pod)
    });
    let address = world.address(PORT);
    let config = Config::default();
    // `PROPTEST_CASES` asks for more.
    let cases = config.cases.max(300);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..config });
    let result = runner.run(&(0..=BASES.len(), damage()), |(base, damage)| {
        let message = damaged(BASES.get(base).map_or(HTTP2, |base| base.as_bytes()), &damage);
        runtime.block_on(send(address, &message));
        let wrong = seen.lock().unwrap().drain(..).find_map(|head| faults(&head));
        prop_assert!(wrong.is_none(), "{:?} from {:?}", wrong, String::from_utf8_lossy(&message));
        Ok(())
    });
    result.unwrap();
    runtime.block_on(async {
        assert_eq!(world.get("/still").await.status, 204);
    });
}
