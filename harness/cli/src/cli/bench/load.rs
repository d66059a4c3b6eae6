//! Requests at a rate, or as fast as they are answered, over so many connections, and how long each took.
//!
//! All of it is one thread with an event loop of its own: on a machine whose processors are shared, what asks must cost little.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// For an answer, and for a connection. What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(100);

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Load {
    /// Connections at a time, each with one request at a time.
    pub(super) connections: u16,
    /// Requests a second, whether or not earlier ones are answered; none: the next follows the answer.
    pub(super) rate: Option<u32>,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections;
        match self.rate {
            Some(rate) => write!(f, "{rate} a second, {connections} connections"),
            None if connections == 1 => f.write_str("closed loop, 1 connection"),
            None => write!(f, "closed loop, {connections} connections"),
        }
    }
}

/// Whom to ask for what.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) path: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of each answer of status 200, whole: from when its request was due.
    pub(super) times: Vec<Duration>,
    /// Everything else, and how often.
    pub(super) failed: BTreeMap<String, usize>,
}

impl Outcome {
    /// Everything that was asked.
    pub(super) fn asked(&self) -> usize {
        self.times.len() + self.failed.values().sum::<usize>()
    }

    fn add(&mut self, due: Instant, answer: Result<(), String>) {
        match answer {
            Ok(()) => self.times.push(due.elapsed()),
            Err(why) => *self.failed.entry(why).or_default() += 1,
        }
    }

    fn append(&mut self, other: Self) {
        self.times.extend(other.times);
        for (why, count) in other.failed {
            *self.failed.entry(why).or_default() += count;
        }
    }
}

/// Asks for so long, on a thread of its own.
///
/// # Errors
/// The thread or its event loop cannot be made.
pub(super) async fn ask(target: Target, load: Load, during: Duration) -> io::Result<Outcome> {
    let (sender, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _ = sender.send(runtime.map(|runtime| runtime.block_on(ask_here(&target, load, during))));
    })?;
    outcome.await.map_err(|_| io::Error::other("the thread that sends requests ended"))?
}

async fn ask_here(target: &Target, load: Load, during: Duration) -> Outcome {
    let start = Instant::now();
    let clients = (0..load.connections).map(|index| {
        // Each has its share, and they take turns.
        let pace = load.rate.map(|rate| Duration::from_secs(load.connections.into()) / rate.max(1));
        let first = start + pace.unwrap_or_default() * u32::from(index) / u32::from(load.connections);
        client(target, pace, first, start + during)
    });
    let outcomes = futures::future::join_all(clients).await;
    outcomes.into_iter().fold(Outcome::default(), |mut all, one| {
        all.append(one);
        all
    })
}

/// One connection's requests, the first at `due`, none after `end`.
async fn client(target: &Target, pace: Option<Duration>, mut due: Instant, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection = None;
    loop {
        if due > Instant::now() {
            sleep_until(due.min(end)).await;
        }
        if due >= end || Instant::now() >= end {
            return outcome;
        }
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(target.address).await {
                Ok(open) => open,
                Err(error) => {
                    outcome.add(due, Err(error));
                    due = (Instant::now() + AGAIN).max(due + pace.unwrap_or_default());
                    continue;
                }
            },
        };
        let answer = timeout(PATIENCE, open.ask(target)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        if answer.is_ok() && open.is_open() {
            connection = Some(open);
        }
        outcome.add(due, answer);
        due = pace.map_or_else(Instant::now, |pace| due + pace);
    }
}

/// A connection, driven by whoever asks over it.
pub(super) struct Connection {
    requests: http1::SendRequest<Empty<Bytes>>,
    /// None when it has ended.
    driver: Option<http1::Connection<TokioIo<TcpStream>, Empty<Bytes>>>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let open = async {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())
        };
        let open = timeout(PATIENCE, open).await;
        let (requests, driver) =
            open.unwrap_or_else(|_| Err(format!("not connected within {PATIENCE:?}")))?;
        Ok(Self { requests, driver: Some(driver) })
    }

    pub(super) fn is_open(&self) -> bool {
        self.driver.is_some()
    }

    /// One request, and its answer to the end.
    pub(super) async fn ask(&mut self, target: &Target) -> Result<(), String> {
        let request = Request::get(&target.path).header("host", target.address.to_string());
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let Self { requests, driver } = self;
        let mut exchange = pin!(async {
            requests.ready().await.map_err(|error| error.to_string())?;
            let response = requests.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(|error| error.to_string())?;
            }
            if status == StatusCode::OK { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
        });
        if let Some(open) = driver {
            tokio::select! {
                biased;
                answer = &mut exchange => return answer,
                _ = open => {}
            }
        }
        // What has come before the end counts.
        *driver = None;
        exchange.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers every request of every connection so.
    async fn server(answer: &'static str) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(1..) = stream.read(&mut buffer).await {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Target { address, path: "/".to_owned() }
    }

    #[tokio::test]
    async fn requests_come_at_the_rate_whatever_the_answers() {
        let target = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let load = Load { connections: 4, rate: Some(200) };
        let outcome = ask(target, load, Duration::from_millis(500)).await.unwrap();
        // Those that are due when the time is over are not sent; on a busy machine there are more of them.
        assert!((50..=100).contains(&outcome.times.len()) && outcome.failed.is_empty(), "{outcome:?}");
    }

    #[tokio::test]
    async fn in_a_closed_loop_the_next_request_follows_the_answer() {
        let target = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let load = Load { connections: 2, rate: None };
        let outcome = ask(target, load, Duration::from_millis(100)).await.unwrap();
        assert!(outcome.times.len() > 2 && outcome.failed.is_empty(), "{outcome:?}");
    }

    #[tokio::test]
    async fn what_is_no_whole_200_has_failed() {
        let load = Load { connections: 1, rate: Some(20) };
        let during = Duration::from_millis(100);
        for (answer, why) in [
            ("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n", "status 503"),
            ("HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "status 503"),
            ("no HTTP at all\r\n\r\n", "invalid HTTP version parsed"),
        ] {
            let outcome = ask(server(answer).await, load, during).await.unwrap();
            let only = outcome.failed.keys().all(|failure| failure == why) && !outcome.failed.is_empty();
            assert!(outcome.times.is_empty() && only, "{outcome:?}");
        }
        let gone = Target { address: ([127, 0, 0, 1], 1).into(), path: "/".to_owned() };
        assert!(ask(gone, load, during).await.unwrap().asked() > 0);
    }
}
