//! How long a pod may leave what it is sent without acknowledgement: little where that can only mean that it is gone.

use crate::body::RequestBody;
use crate::settings::Settings;
use crate::tapped::{Tap, Tapped};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// Chosen for each request by whoever sends it, and heeded by the [`pod_socket`].
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
        self.chosen_long.store(!body.is_small(), Ordering::Relaxed);
    }
}

/// A connection to a pod that gives up as [`Patience`] says.
///
/// # Errors
/// The kernel knows no such limit.
pub(super) fn pod_socket(stream: TcpStream, patience: Patience) -> io::Result<Tapped<TcpStream, Heeding>> {
    limit(&stream, patience.short)?;
    Ok(Tapped::new(stream, Heeding { patience, long: false }))
}

/// Tells the kernel what was chosen for what is written now.
#[derive(Debug)]
pub(super) struct Heeding {
    patience: Patience,
    /// What the kernel was told last.
    long: bool,
}

impl Tap<TcpStream> for Heeding {
    fn before_write(&mut self, stream: &TcpStream) -> io::Result<()> {
        let long = self.patience.chosen_long.load(Ordering::Relaxed);
        if long != self.long {
            limit(stream, if long { self.patience.long } else { self.patience.short })?;
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
