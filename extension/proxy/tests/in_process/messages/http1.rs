//! Cases of HTTP/1.

use super::{LIMIT, Reached, bytes, cases, report, world};
use crate::support::PORT;
use serde::Deserialize;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    send: String,
    answers: Vec<Answer>,
    closed: Option<bool>,
    /// The answer has no body, whatever its header says.
    #[serde(default)]
    head: bool,
    pod: Option<Reached>,
}

/// A status, or several of which each is right.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    One(u16),
    OneOf(Vec<u16>),
}

impl Answer {
    fn is(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::OneOf(all) => all.contains(&status),
        }
    }
}

/// Reads answers one after the other.
struct Reader {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Reader {
    /// Reads more; false at the end.
    async fn more(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 16 * 1024];
        match tokio::time::timeout(LIMIT, self.stream.read(&mut buffer)).await {
            Err(_) => Err(format!("nothing more within {LIMIT:?}")),
            // A reset is an end, too.
            Ok(Err(_)) | Ok(Ok(0)) => Ok(false),
            Ok(Ok(count)) => {
                self.read.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
        }
    }

    /// Status and body of the next answer.
    async fn next(&mut self, head: bool) -> Result<Option<(u16, Vec<u8>)>, String> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await? {
                return match self.read.is_empty() {
                    true => Ok(None),
                    false => Err(format!("half an answer: {:?}", String::from_utf8_lossy(&self.read))),
                };
            }
        };
        let header = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        self.read.drain(..end);
        let status: u16 = header
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| format!("no answer: {header:?}"))?;
        let length = header.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = if head || status < 200 { 0 } else { length.unwrap_or_default() };
        while self.read.len() < length {
            if !self.more().await? {
                return Err("half a body".to_owned());
            }
        }
        Ok(Some((status, self.read.drain(..length).collect())))
    }
}

async fn run(case: &Case, address: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let mut reader = Reader { stream, read: Vec::new() };
    // It may be refused before all of it is sent.
    let _ = reader.stream.write_all(&bytes(&case.send)).await;
    let (mut last, mut body) = (0, Vec::new());
    for answer in &case.answers {
        let Some((status, its)) = reader.next(case.head).await? else {
            return Err(format!("closed instead of {answer:?}"));
        };
        if !answer.is(status) {
            let told = String::from_utf8_lossy(&its).into_owned();
            return Err(format!("{status} instead of {answer:?}: {told}"));
        }
        (last, body) = (status, its);
    }
    if last == 200
        && let Some(pod) = &case.pod
    {
        pod.check(&body)?;
    }
    if case.closed.unwrap_or(last >= 400 && last != 404) {
        return match reader.next(false).await? {
            None => Ok(()),
            Some((status, _)) => Err(format!("{status} behind the last answer")),
        };
    }
    let again = b"GET /again HTTP/1.1\r\nHost: fe.alb.internal\r\n\r\n";
    reader.stream.write_all(again).await.map_err(|error| format!("the connection is of no use: {error}"))?;
    match reader.next(false).await? {
        Some((200, body)) => {
            let expected = Reached { path: Some("/again".to_owned()), ..Reached::default() };
            expected.check(&body)
        }
        other => Err(format!("the connection is of no use: {:?}", other.map(|(status, _)| status))),
    }
}

#[tokio::test]
async fn every_message_of_http1_gets_the_right_answer() {
    let (world, _pod) = world().await;
    let (mut count, mut wrong) = (0, Vec::new());
    for (section, cases) in cases::<Case>(include_str!("http1.json")) {
        for case in cases {
            count += 1;
            if let Err(error) = run(&case, world.address(PORT)).await {
                wrong.push(format!("{section}: {}: {error}", case.name));
            }
        }
    }
    report(count, 200, &wrong);
}
