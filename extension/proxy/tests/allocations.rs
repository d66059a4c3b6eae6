//! How much memory is asked for while requests pass: a ratchet, so that no stage begins to cost what it did not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test
#![allow(unsafe_code)] // an allocator that counts, and does nothing else of its own

#[path = "in_process/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{PORT, Wanted, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is the system's allocator; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &[u8] =
    b"GET /a/b?c=d HTTP/1.1\r\nhost: fe.alb.internal\r\nuser-agent: a client\r\naccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nhello";
const REQUESTS: usize = 500;

/// Answers whatever ends like a header, without memory of its own.
async fn pod() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        let mut filled = 0;
        while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]).await {
            filled += count;
            if buffer[..filled].ends_with(b"\r\n\r\n") {
                stream.write_all(ANSWER).await.unwrap();
                filled = 0;
            }
        }
    });
    address
}

/// One request after the other, each answered whole.
async fn ask(stream: &mut TcpStream, times: usize) {
    let mut buffer = [0; 4096];
    for _ in 0..times {
        stream.write_all(REQUEST).await.unwrap();
        let mut filled = 0;
        while !buffer[..filled].ends_with(b"hello") {
            let count = stream.read(&mut buffer[filled..]).await.unwrap();
            assert_ne!(count, 0, "closed");
            filled += count;
        }
    }
}

#[tokio::test]
async fn a_request_asks_for_no_more_memory_than_it_did() {
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod().await]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    ask(&mut stream, 100).await;
    let (count, bytes) = (COUNT.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    ask(&mut stream, REQUESTS).await;
    let count = (COUNT.load(Ordering::Relaxed) - count) / REQUESTS;
    let bytes = (BYTES.load(Ordering::Relaxed) - bytes) / REQUESTS;
    println!("{count} times {bytes} bytes a request");
    assert_eq!(world.logged().await.reason, "ok");
    assert!(count <= MOST && bytes <= MOST_BYTES, "{count} times, {bytes} bytes a request");
}

/// What was measured, with a little room.
const MOST: usize = 35;
const MOST_BYTES: usize = 21_000;
