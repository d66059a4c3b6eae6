//! TCP keepalive: finds out that the other side is gone while nothing is sent.

use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// Asks after `time` without a byte, and then four times within half of it.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn set(stream: &TcpStream, time: Duration) -> io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new().with_time(time).with_interval(time / 8).with_retries(4);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
