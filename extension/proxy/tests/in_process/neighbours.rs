//! What a Gateway's requests take while another one's clients and pods do their worst: time, and work of the threads that serve
//! both.

use crate::pods::{Pod, read_head, respond};
use crate::support::{LIMIT, PORT, Wanted, World, soon};
use alb_proxy::Workers;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const OTHER_PORT: u16 = 10_001;
/// Clients that never finish a request, and the places that there are for them.
const CLIENTS: usize = 400;
const PLACES: usize = 200;
/// Time between two bytes of one, and that it is kept waiting when it is one too many.
const PAUSE: Duration = Duration::from_millis(250);
/// Requests of the neighbour, and the time from one to the next.
const REQUESTS: u32 = 500;
const PACE: Duration = Duration::from_millis(4);

/// What the neighbour's requests have taken.
#[derive(Debug)]
struct Taken {
    /// All but one of them, or of a thousand if there are as many.
    time: Duration,
    /// Of the threads that serve requests.
    work: Duration,
}

/// Asks one request after the other over two connections, one for each thread.
fn ask(address: SocketAddr) -> Taken {
    let mut connections: Vec<_> = (0..2)
        .map(|_| {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream
        })
        .collect();
    let (worked, begun) = (work(), Instant::now());
    let mut times: Vec<Duration> = Vec::new();
    for number in 0..REQUESTS {
        std::thread::sleep((PACE * number).saturating_sub(begun.elapsed()));
        let stream = &mut connections[number as usize % 2];
        let asked = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: other.alb.internal\r\n\r\n").unwrap();
        let (mut answer, mut room) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"good") {
            let count = stream.read(&mut room).unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&room[..count]);
        }
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    Taken { time: times[times.len() * 999 / 1000 - 1], work: work() - worked }
}

/// Time that the threads which serve requests have been on a processor, however busy that is with others (proc(5), `schedstat`).
fn work() -> Duration {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // One that has ended meanwhile is none of them.
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if read("comm").starts_with("worker-") {
            nanoseconds += read("schedstat").split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanoseconds)
}

/// Leaves a request unfinished, a byte at a time, and comes back when it is closed.
async fn trickle(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nx: ").await;
            let mut pause = tokio::time::interval(PAUSE);
            while stream.write_all(b"x").await.is_ok() {
                pause.tick().await;
            }
        }
    }
}

/// Somebody else's server with as many places, which is asked the same: what the clients themselves cost is part of both.
async fn decoy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(PLACES));
        while let Ok((mut stream, _)) = listener.accept().await {
            let place = places.clone().try_acquire_owned();
            tokio::spawn(async move {
                match place {
                    Ok(_place) => drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            });
        }
    });
    address
}

/// What the neighbour's requests take while an address is beset.
async fn measure_beside(beset: SocketAddr, neighbour: SocketAddr) -> Taken {
    let mut trickling = JoinSet::new();
    for _ in 0..CLIENTS {
        trickling.spawn(trickle(beset));
    }
    let taken = tokio::task::spawn_blocking(move || ask(neighbour)).await.unwrap();
    trickling.shutdown().await;
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_does_not_notice_clients_that_trickle_and_a_backend_that_hangs() {
    let hung = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        // Until the other side gives up.
        read_head(&mut stream).await;
    })
    .await;
    let good = Pod::start(|_, mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            respond(&mut stream, "good").await;
        }
    })
    .await;
    let world = World::with(|settings| {
        settings.workers = Workers::start(2).unwrap();
        settings.max_connections_per_peer = PLACES;
        settings.refusal_delay = PAUSE;
        // None of them goes while the neighbour is asked: whoever has a place hears of everybody who wants it, or of nobody.
        settings.crowded_idle_timeout = LIMIT;
    })
    .applied(
        &Wanted::default()
            .frontend("fe", PORT)
            .frontend("other", OTHER_PORT)
            .rule("fe", "/", &[("hung", 1)])
            .rule("other", "/", &[("b", 1)])
            .clear_text("hung", &[hung.address])
            .clear_text("b", &[good.address]),
    );
    let (address, neighbour) = (world.address(PORT), world.address(OTHER_PORT));
    let undisturbed = measure_beside(decoy().await, neighbour).await;

    let mut unanswered = Vec::new();
    for _ in 0..PLACES / 4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: fe.alb.internal\r\n\r\n").await.unwrap();
        unanswered.push(stream);
    }
    soon("the requests", hung.until_open(PLACES / 4)).await;
    let disturbed = measure_beside(address, neighbour).await;
    let refused = world.metric("alb_proxy_client_connections_refused_total");

    println!("undisturbed {undisturbed:?}, disturbed {disturbed:?}, {refused} connections refused meanwhile");
    assert!(refused >= CLIENTS as f64, "nobody wanted a place");
    assert!(disturbed.time <= (10 * undisturbed.time).max(Duration::from_millis(500)));
    assert!(disturbed.work <= 3 * undisturbed.work);
}
