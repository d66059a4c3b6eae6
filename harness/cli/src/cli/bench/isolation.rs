//! `meshproof bench isolation`: what one tenant's trouble costs its neighbours in the same proxies, beside Istio's own gateway.
//!
//! A backend takes every request and answers none, or thousands of clients leave their requests unfinished, while the neighbour is
//! asked at a rate.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use kube::Client;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use meshproof_lab::cluster::Cluster;
use meshproof_model::progress::{Phase, Progress};

use super::calm;
use super::compare::{Goal, Line};
use super::gateways::{self, Side};
use super::judged::{BenchError, FiguresArgs, Judged, finish, host};
use super::load::{Load, Outcome, ask};

/// What the neighbour is asked.
const LOAD: Load = Load { connections: 16, rate: Some(500) };
/// Within which it should answer.
const SOON: Duration = Duration::from_millis(50);
/// Requests a second to the backend that never answers.
const UNANSWERED: u32 = 100;
/// Clients that never finish a request: half of them say nothing, the others a byte now and then.
const CLIENTS: u16 = 2000;
const TRICKLE: Duration = Duration::from_secs(1);
/// Between two clients, so that they are not refused for being too many at once.
const APART: Duration = Duration::from_micros(500);
/// Limit of a proxy's memory, in MiB (the chart's preset).
const MEMORY: f64 = 256.0;

/// Arguments of `meshproof bench isolation`.
#[derive(Debug, Clone, Args)]
pub struct IsolationArgs {
    /// How often each gateway is put to each trouble; the medians are compared
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub rounds: u8,
    /// Seconds of each
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(5..=60))]
    pub seconds: u8,
    /// Where, and what becomes of the figures
    #[command(flatten)]
    pub figures: FiguresArgs,
}

/// What one tenant does.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Hung,
    Idle,
}

const TROUBLES: [(Trouble, &str); 2] =
    [(Trouble::Hung, "a backend that never answers"), (Trouble::Idle, "2,000 clients that trickle")];

/// One gateway in one trouble, once.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Percent of the neighbour's requests.
    soon: f64,
    /// MiB of its largest pod.
    memory: f64,
}

pub(super) async fn run(args: &IsolationArgs, progress: &dyn Progress) -> Result<Judged, BenchError> {
    let (cluster, client) = gateways::of_this_workspace(&args.figures.cluster, progress).await?;
    let result = measure_all(&cluster, &client, args, progress).await;
    gateways::remove(&client).await?;
    finish(&result?, &args.figures)
}

async fn measure_all(
    cluster: &Cluster,
    client: &Client,
    args: &IsolationArgs,
    progress: &dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let phase = Phase::start(progress, "two gateways and their backends", None);
    let sides = gateways::make(cluster, client).await?;
    calm::wait(client).await?;
    phase.done();
    let during = Duration::from_secs(args.seconds.into());
    let mut all: [[Vec<Measured>; 2]; 2] = Default::default();
    for round in 1..=args.rounds {
        let phase = Phase::start(progress, format!("round {round} of {}", args.rounds), None);
        for ((trouble, _), of_trouble) in TROUBLES.into_iter().zip(&mut all) {
            for (side, rounds) in sides.iter().zip(of_trouble) {
                let measured = measure(cluster, side, trouble, during).await?;
                tracing::debug!(class = side.class, ?trouble, ?measured);
                rounds.push(measured);
            }
        }
        phase.done();
    }
    let mut lines = Vec::new();
    for ((_, name), [ours, theirs]) in TROUBLES.into_iter().zip(&all) {
        let mut line = |figure, of: fn(&Measured) -> f64, goal| {
            let [ours, theirs] = [ours, theirs].map(|rounds| rounds.iter().map(of).collect());
            lines.push(Line::new(name, figure, ours, theirs, Some(goal)));
        };
        line("within 50 ms, %", |m| m.soon, Goal::AtLeast(99.9));
        line("memory, MiB", |m| m.memory, Goal::AtMost(MEMORY));
    }
    Ok(lines)
}

async fn measure(
    cluster: &Cluster,
    side: &Side,
    trouble: Trouble,
    during: Duration,
) -> Result<Measured, BenchError> {
    let failed = || host("sending requests");
    ask(side.bytes(1024), LOAD, Duration::from_secs(1)).await.map_err(failed())?;
    let (begun, end) = watch::channel(());
    let makers = match trouble {
        Trouble::Hung => hang(side, during, end),
        Trouble::Idle => trickle(side.hung, end).await,
    };
    let outcome = ask(side.bytes(1024), LOAD, during).await.map_err(failed())?;
    let memory = side.taken(cluster).await?.memory;
    drop(begun);
    // Nothing of one's trouble is left when the other is measured.
    for maker in join_all(makers).await {
        maker.map_err(|error| failed()(std::io::Error::other(error)))?;
    }
    Ok(Measured { soon: soon(&outcome), memory: memory as f64 / f64::from(1 << 20) })
}

/// Percent of everything that was asked.
fn soon(outcome: &Outcome) -> f64 {
    let soon = outcome.times.iter().filter(|time| **time <= SOON).count();
    soon as f64 * 100.0 / outcome.asked().max(1) as f64
}

/// Sends requests that are not answered at a rate, each over a connection of its own that stays open until the end.
fn hang(side: &Side, during: Duration, end: watch::Receiver<()>) -> Vec<JoinHandle<()>> {
    let address = side.hung;
    let request = format!("GET {} HTTP/1.1\r\nhost: {address}\r\n\r\n", side.never().path);
    let (request, count) = (std::sync::Arc::<str>::from(request), UNANSWERED * during.as_secs() as u32);
    let one = move |index: u32| {
        let (request, mut end) = (request.clone(), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = end.changed() => return,
                () = tokio::time::sleep(Duration::from_secs(1) * index / UNANSWERED) => {}
            }
            let open = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(request.as_bytes()).await?;
                Ok::<_, std::io::Error>(stream)
            };
            tokio::select! {
                _ = end.changed() => {}
                // A gateway that takes no more is no error of the benchmark's.
                Ok(_stream) = open => {
                    let _ = end.changed().await;
                }
            }
        })
    };
    (0..count).map(one).collect()
}

/// Opens connections that never bring a whole request, and opens them again when they are closed.
async fn trickle(address: SocketAddr, end: watch::Receiver<()>) -> Vec<JoinHandle<()>> {
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let mut end = end.clone();
        clients.push(tokio::spawn(async move {
            let trickling = async {
                loop {
                    // Whatever the gateway does about it is its right.
                    let _ = never_finish(address, index.is_multiple_of(2)).await;
                    tokio::time::sleep(TRICKLE).await;
                }
            };
            tokio::select! {
                _ = end.changed() => {}
                () = trickling => {}
            }
        }));
        tokio::time::sleep(APART).await;
    }
    clients
}

async fn never_finish(address: SocketAddr, talks: bool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    if talks {
        stream.write_all(b"GET / HTTP/1.1\r\nx: ").await?;
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(TRICKLE).await;
        }
    }
    stream.readable().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_answers_and_failed_requests_are_not_soon() {
        let mut outcome = Outcome { times: vec![SOON; 997], ..Outcome::default() };
        assert_eq!(soon(&outcome), 100.0);
        outcome.times.push(SOON + Duration::from_micros(1));
        outcome.failed = [("status 503".to_owned(), 2)].into();
        assert_eq!(soon(&outcome), 99.7);
        assert_eq!(soon(&Outcome::default()), 0.0, "nothing was shown");
    }
}
