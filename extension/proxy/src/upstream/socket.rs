//! A connection to a pod. How long a pod may leave what it is sent without acknowledgement: little where that can only mean
//! that it is gone.

use crate::body::RequestBody;
use crate::settings::Settings;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Chosen for each request by whoever sends it, and heeded by the [`PodSocket`].
///
/// Since Linux 5.11 the limit also counts while a pod does not read and its window is closed (tcp(7), `TCP_USER_TIMEOUT`).
/// A large body can close it, and a healthy pod may pause; what is small enough always finds room.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    short: Duration,
    long: Duration,
    chosen_long: Arc<AtomicBool>,
}

impl Patience {
    /// Little, until a request needs more.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            short: settings.unacknowledged_timeout,
            long: settings.stream_idle_timeout,
            chosen_long: Arc::default(),
        }
    }

    /// What goes with the request that is sent next.
    pub(super) fn choose_for(&self, body: &RequestBody) {
        self.choose(!body.is_small());
    }

    /// Much: what is sent from here on has no end that is known.
    pub(super) fn choose_long(&self) {
        self.choose(true);
    }

    fn choose(&self, long: bool) {
        self.chosen_long.store(long, Ordering::Relaxed);
    }
}

/// A connection to a pod that gives up as [`Patience`] says.
#[derive(Debug)]
pub(super) struct PodSocket {
    stream: TcpStream,
    patience: Patience,
    /// What the kernel was told last.
    long: bool,
}

impl PodSocket {
    /// # Errors
    /// The kernel knows no such limit.
    pub(super) fn new(stream: TcpStream, patience: Patience, settings: &Settings) -> io::Result<Self> {
        limit(&stream, patience.short)?;
        crate::keepalive::set(&stream, settings.tcp_keepalive)?;
        Ok(Self { stream, patience, long: false })
    }

    /// Tells the kernel what was chosen for what is written now.
    fn heed(&mut self) -> io::Result<()> {
        let long = self.patience.chosen_long.load(Ordering::Relaxed);
        if long != self.long {
            limit(&self.stream, if long { self.patience.long } else { self.patience.short })?;
            self.long = long;
        }
        Ok(())
    }
}

/// Only Linux has it, and only where a node can lose its power it matters.
#[cfg(target_os = "linux")]
fn limit(stream: &TcpStream, unacknowledged: Duration) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(unacknowledged))
}

#[cfg(not(target_os = "linux"))]
fn limit(_: &TcpStream, _: Duration) -> io::Result<()> {
    Ok(())
}

impl AsyncRead for PodSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PodSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.heed()?;
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
        self.heed()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
