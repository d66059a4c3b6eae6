//! Limits and time limits, with the defaults of Application Gateway for Containers where it documents them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Opens the listening socket for a bind port.
pub type Bind = Arc<dyn Fn(u16) -> io::Result<TcpListener> + Send + Sync>;

/// Everything about the proxy that its configuration does not say.
#[derive(Clone)]
pub struct Settings {
    /// How to listen on a port.
    pub bind: Bind,
    /// Application protocols offered with Istio mutual TLS. Empty, as the real gateway does; anything else is for
    /// tests that must fail.
    pub upstream_alpn: Vec<Vec<u8>>,
    /// Time to a TCP connection and a finished TLS handshake with a pod.
    pub connect_timeout: Duration,
    /// Time to the TCP connection alone, with room for one lost packet: a pod whose node is gone says nothing.
    pub tcp_connect_timeout: Duration,
    /// Time that a pod may leave what it is sent without acknowledgement (RFC 5482) before its connection counts as dead;
    /// of a large request body it may leave it for `stream_idle_timeout`.
    pub unacknowledged_timeout: Duration,
    /// Time to the response's header when the route says nothing.
    pub request_timeout: Duration,
    /// Time from one response, or the start, to the end of the next request's header: an idle connection is
    /// closed after it, and one whose client sends a header byte by byte. With HTTP/2: time without an open stream.
    pub client_idle_timeout: Duration,
    /// Time without a byte after which a request or response body is given up, whoever does not send it or does not
    /// take it.
    pub stream_idle_timeout: Duration,
    /// Time that an idle connection to a pod is kept, unless the pod says less.
    pub pool_idle_timeout: Duration,
    /// Largest request or response header, in bytes.
    pub max_header_bytes: usize,
    /// Client connections at a time; more wait to be accepted.
    pub max_connections: usize,
    /// Requests at a time; more are answered with 503 `overloaded`.
    pub max_requests: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: Arc::new(bind_all_addresses),
            upstream_alpn: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            tcp_connect_timeout: Duration::from_secs(2),
            unacknowledged_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(60),
            client_idle_timeout: Duration::from_secs(75),
            stream_idle_timeout: Duration::from_secs(300),
            pool_idle_timeout: Duration::from_secs(60),
            max_header_bytes: 64 * 1024,
            // The chart gives a proxy 256 MiB. Clients that leave the largest header unfinished on every connection, and
            // those that send it with every request, take (1536 + 1536) * 64 KiB = 192 MiB of it. No fewer requests than
            // connections: clients of HTTP/1.1 wait to be accepted instead of being refused.
            max_connections: 1536,
            max_requests: 1536,
        }
    }
}

/// Listens on all addresses of both IP versions, or of IPv4 where the host has no IPv6.
fn bind_all_addresses(port: u16) -> io::Result<TcpListener> {
    let listen = |socket: TcpSocket, address: SocketAddr| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    let both = TcpSocket::new_v6().and_then(|socket| listen(socket, (Ipv6Addr::UNSPECIFIED, port).into()));
    match both {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            listen(TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limit of the chart's `dataPlane.resources`.
    const MEMORY: usize = 256 << 20;

    #[test]
    fn the_largest_headers_leave_a_quarter_of_the_memory() {
        let settings = Settings::default();
        let headers = (settings.max_connections + settings.max_requests) * settings.max_header_bytes;
        assert!(headers <= MEMORY / 4 * 3, "{} MiB", headers >> 20);
    }
}
