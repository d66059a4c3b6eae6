//! A connection with somebody who looks on as bytes pass.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Looks on as bytes pass through a connection of type `S`, and has a say.
pub(crate) trait Tap<S> {
    /// Puts what must be read before anything of the connection into `buf`; nothing, mostly.
    fn read_first(&mut self, _buf: &mut ReadBuf<'_>) {}

    /// Something was read, of either.
    fn has_read(&mut self) {}

    /// Something is going to be written.
    ///
    /// # Errors
    /// What ends the connection instead.
    fn before_write(&mut self, _stream: &S) -> io::Result<()> {
        Ok(())
    }

    /// What became of an attempt to write, and what the writer is told of it.
    fn written(&mut self, _cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        result
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Tapped<S, T> {
    stream: S,
    tap: T,
}

impl<S, T> Tapped<S, T> {
    pub(crate) fn new(stream: S, tap: T) -> Self {
        Self { stream, tap }
    }
}

impl<S: AsyncRead + Unpin, T: Tap<S> + Unpin> AsyncRead for Tapped<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        self.tap.read_first(buf);
        if buf.filled().len() == before {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        }
        if buf.filled().len() > before {
            self.tap.has_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, T: Tap<S> + Unpin> AsyncWrite for Tapped<S, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.tap.before_write(&this.stream)?;
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.tap.written(cx, result)
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
        let this = &mut *self;
        this.tap.before_write(&this.stream)?;
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.tap.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
