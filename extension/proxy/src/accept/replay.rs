//! A connection whose first bytes may have to be read once more: TLS that ends at a pod begins with what was read to find the pod.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection.
#[derive(Debug)]
pub(super) struct Replay<S> {
    stream: S,
    /// What was read, until it is known whether it is needed.
    read: Option<Vec<u8>>,
    /// What is to be read again, and how much of it has been.
    again: (Vec<u8>, usize),
}

impl<S> Replay<S> {
    /// Remembers what is read from now on.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, read: Some(Vec::new()), again: (Vec::new(), 0) }
    }

    /// What was read is not needed any more.
    pub(super) fn forget(&mut self) {
        self.read = None;
    }

    /// What was read will be read again.
    pub(super) fn rewind(&mut self) {
        self.again = (self.read.take().unwrap_or_default(), 0);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (bytes, given) = &mut this.again;
        let rest = bytes.get(*given..).unwrap_or_default();
        if !rest.is_empty() {
            let count = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..count).unwrap_or_default());
            *given += count;
            if *given == bytes.len() {
                this.again = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if let Some(read) = &mut this.read {
            read.extend_from_slice(buf.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_was_read_is_read_again_and_then_the_rest() {
        let mut stream = Replay::new(&b"hello, world"[..]);
        let mut first = [0; 5];
        stream.read_exact(&mut first).await.unwrap();
        stream.rewind();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello, world");

        let mut stream = Replay::new(&b"hello, world"[..]);
        stream.read_exact(&mut first).await.unwrap();
        stream.forget();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, ", world");
    }
}
