//! A client's connection: gives back what was read to learn its protocol, notes that something was heard, and ends when
//! nothing of what it is sent is taken.

use super::Progress;
use super::preface::Read;
use crate::stall::Stall;
use crate::tapped::{Tap, Tapped};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;

/// `limit`: how long the client may take nothing.
pub(super) fn socket<S>(
    stream: S,
    read: Read,
    progress: Arc<Progress>,
    limit: Duration,
) -> Tapped<S, ClientTap> {
    Tapped::new(stream, ClientTap { read, progress, stall: Stall::new(limit) })
}

#[derive(Debug)]
pub(super) struct ClientTap {
    read: Read,
    progress: Arc<Progress>,
    stall: Stall,
}

impl<S> Tap<S> for ClientTap {
    fn read_first(&mut self, buf: &mut ReadBuf<'_>) {
        self.read.give_back(buf);
    }

    fn has_read(&mut self) {
        self.progress.hear();
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.stall.moved();
            return result;
        }
        ready!(self.stall.poll(cx));
        self.progress.stall();
        let message = format!("the client took nothing for {:?}", self.stall.limit());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair() -> (Tapped<DuplexStream, ClientTap>, DuplexStream, Arc<Progress>) {
        let (server, client) = tokio::io::duplex(16);
        let progress = Arc::new(Progress::default());
        (socket(server, Read::default(), progress.clone(), LIMIT), client, progress)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut socket, _client, progress) = pair();
        let started = Instant::now();
        let error = socket.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
        assert!(progress.has_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_served_to_the_end() {
        let (mut socket, mut client, progress) = pair();
        let started = Instant::now();
        let slow = tokio::spawn(async move {
            let mut taken = 0;
            while taken < 100 {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                taken += client.read(&mut [0; 10]).await.unwrap();
            }
            client
        });
        socket.write_all(&[0; 100]).await.unwrap();
        slow.await.unwrap();
        assert!(started.elapsed() > 5 * LIMIT && !progress.has_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_beginning_of_a_request_is_noticed() {
        let (mut socket, mut client, progress) = pair();
        assert!(!progress.has_begun());
        client.write_all(b"G").await.unwrap();
        socket.read_u8().await.unwrap();
        assert!(progress.has_begun());
        progress.end_exchange();
        assert!(!progress.has_begun());
    }
}
