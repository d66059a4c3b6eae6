//! A client's connection: gives back what was read to learn its protocol, notes that something was heard, ends when nothing of
//! what it is sent is taken, and lingers at its end.

use super::preface::Read;
use crate::activity::Activity;
use crate::idle::Timer;
use crate::settings::Settings;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How many times as long as for one byte a client is read that goes on sending after its answer.
const LINGER_AT_MOST: u32 = 5;
/// Bytes that are read of it at a time.
const LINGER_BUFFER: usize = 4 * 1024;

/// The connection.
#[derive(Debug)]
pub(super) struct ClientSocket<S> {
    stream: S,
    read: Read,
    activity: Arc<Activity>,
    /// For how long the client may take nothing.
    stall: Timer,
    linger: Duration,
    lingering: Option<Lingering>,
}

/// A connection that is closed with bytes unread is reset, and a reset may overtake the answer (RFC 9112 section 9.6). So the
/// client is told first that nothing more comes, and read until it has noticed.
#[derive(Debug)]
struct Lingering {
    until: Instant,
    silence: Pin<Box<Sleep>>,
}

impl<S> ClientSocket<S> {
    pub(super) fn new(stream: S, read: Read, activity: Arc<Activity>, settings: &Settings) -> Self {
        let stall = Timer::new(settings.stream_idle_timeout);
        Self { stream, read, activity, stall, linger: settings.linger, lingering: None }
    }

    /// What became of an attempt to write.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = result {
            self.stall.moved(0);
            return Poll::Ready(result);
        }
        let stalled = ready!(self.stall.poll(cx));
        self.activity.stall();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, format!("the client took {stalled}"))))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        self.read.give_back(buf);
        if buf.filled().len() == before {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        }
        if buf.filled().len() > before {
            self.activity.hear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.activity.may_still_send() {
                return Poll::Ready(Ok(()));
            }
            let now = Instant::now();
            let silence = Box::pin(tokio::time::sleep_until(now + this.linger));
            this.lingering = Some(Lingering { until: now + this.linger * LINGER_AT_MOST, silence });
        }
        let Some(lingering) = &mut this.lingering else { return Poll::Ready(Ok(())) };
        let mut rest = [0; LINGER_BUFFER];
        loop {
            let mut rest = ReadBuf::new(&mut rest);
            match Pin::new(&mut this.stream).poll_read(cx, &mut rest) {
                // It has gone, one way or another.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if rest.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    let now = Instant::now();
                    if now >= lingering.until {
                        return Poll::Ready(Ok(()));
                    }
                    lingering.silence.as_mut().reset(lingering.until.min(now + this.linger));
                }
                Poll::Pending => {
                    ready!(lingering.silence.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
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

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair() -> (ClientSocket<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (server, client) = tokio::io::duplex(16);
        let activity = Arc::new(Activity::default());
        let settings = Settings { stream_idle_timeout: LIMIT, linger: LIMIT, ..Settings::default() };
        (ClientSocket::new(server, Read::default(), activity.clone(), &settings), client, activity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut socket, _client, activity) = pair();
        let started = Instant::now();
        let error = socket.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
        assert!(activity.has_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_served_to_the_end() {
        let (mut socket, mut client, activity) = pair();
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
        assert!(started.elapsed() > 5 * LIMIT && !activity.has_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_beginning_of_a_request_is_noticed() {
        let (mut socket, mut client, activity) = pair();
        assert!(!activity.has_begun());
        client.write_all(b"G").await.unwrap();
        socket.read_u8().await.unwrap();
        assert!(activity.has_begun());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_is_read_until_it_has_noticed_the_end() {
        let (mut socket, mut client, activity) = pair();
        activity.cut_short();
        let sending = tokio::spawn(async move {
            for _ in 0..20 {
                client.write_all(&[0; 16]).await.unwrap();
            }
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "it was told");
        });
        let started = Instant::now();
        socket.shutdown().await.unwrap();
        sending.await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO, "it left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_leaves_is_left() {
        let (mut done, _client, _) = pair();
        let started = Instant::now();
        done.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO, "it had sent everything");

        let (mut silent, _client, activity) = pair();
        activity.cut_short();
        silent.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), LIMIT);

        let (mut talking, mut client, activity) = pair();
        activity.cut_short();
        tokio::spawn(async move {
            while client.write_all(&[0; 1]).await.is_ok() {
                tokio::time::sleep(LIMIT / 2).await;
            }
        });
        let started = Instant::now();
        talking.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), LIMIT * LINGER_AT_MOST);
    }
}
