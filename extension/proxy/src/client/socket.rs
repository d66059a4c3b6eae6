//! A client's connection: notes that something was heard, and ends when nothing of what it is sent is taken.

use super::Progress;
use crate::stall::Stall;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    progress: Arc<Progress>,
    stall: Stall,
}

impl<S> Socket<S> {
    /// `limit`: how long the client may take nothing.
    pub(super) fn new(stream: S, progress: Arc<Progress>, limit: Duration) -> Self {
        Self { stream, progress, stall: Stall::new(limit) }
    }

    /// What became of an attempt to write.
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

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.progress.hear();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair() -> (Socket<DuplexStream>, DuplexStream, Arc<Progress>) {
        let (server, client) = tokio::io::duplex(16);
        let progress = Arc::new(Progress::default());
        (Socket::new(server, progress.clone(), LIMIT), client, progress)
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
