//! Limits, time limits and policies, with the defaults of Application Gateway for Containers where it documents them.

use crate::workers::Workers;
use alb_route::PathPolicy;
use ipnet::IpNet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Opens the listening socket for a bind port.
pub type Bind = Arc<dyn Fn(u16) -> io::Result<TcpListener> + Send + Sync>;

/// Bytes of memory that connections and requests are counted in: the largest header.
pub(crate) const UNIT: usize = 64 * 1024;

/// How slowly something may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinimumRate {
    /// Bytes in a second of waiting, on average.
    pub bytes_per_second: u32,
    /// Time of waiting over which the average is taken.
    pub grace: Duration,
}

/// Everything about the proxy that its configuration does not say.
#[derive(Clone)]
pub struct Settings {
    /// How to listen on a port.
    pub bind: Bind,
    /// Threads that serve the connections of clients.
    pub workers: Workers,
    /// Application protocols offered with Istio mutual TLS. Empty, as the real gateway does; anything else is for
    /// tests that must fail.
    pub upstream_alpn: Vec<Vec<u8>>,
    /// Proxies whose word about their clients is believed: forwarding and identity fields of theirs are kept.
    pub trusted_clients: Vec<IpNet>,
    /// What is done to a path before a route is looked up for it.
    pub path: PathPolicy,
    /// Time to a TCP connection and a finished TLS handshake with a pod.
    pub connect_timeout: Duration,
    /// Time to the TCP connection alone, with room for one lost packet: a pod whose node is gone says nothing.
    pub tcp_connect_timeout: Duration,
    /// Time that a pod may leave what it is sent without acknowledgement (RFC 5482) before its connection counts as dead;
    /// of a large request body it may leave it for `stream_idle_timeout`.
    pub unacknowledged_timeout: Duration,
    /// Time to the response's header when the route says nothing, from the end of the request.
    pub request_timeout: Duration,
    /// Time for which a client that sends its body only when it is asked to waits for the pod to ask.
    pub continue_timeout: Duration,
    /// Time from one response, or the start, to the end of the next request's header: an idle connection is closed after it.
    /// With HTTP/2: time without an open stream.
    pub client_idle_timeout: Duration,
    /// Time from the first byte of a request to the end of its header (HTTP/1).
    pub header_timeout: Duration,
    /// Time that a client has for its TLS handshake, from the first byte to the last.
    pub handshake_timeout: Duration,
    /// Time without a request after which a connection is closed when others wait for its place.
    pub crowded_idle_timeout: Duration,
    /// Time for which a connection that is one too many is left open without a word: its client would be back at once.
    pub refusal_delay: Duration,
    /// Time without a byte after which a request or response body is given up, whoever does not send it or does not
    /// take it.
    pub stream_idle_timeout: Duration,
    /// How slowly a request's body may come when its length is known.
    pub minimum_upload_rate: Option<MinimumRate>,
    /// Time without a byte in either direction after which a WebSocket is closed.
    pub tunnel_idle_timeout: Duration,
    /// Time that WebSockets of a port that is gone have to end by themselves.
    pub tunnel_drain: Duration,
    /// Time that clients have to acknowledge the end of their WebSocket, or to notice an answer that came before they had sent
    /// everything.
    pub linger: Duration,
    /// Time that an idle connection to a pod is kept, unless the pod says less.
    pub pool_idle_timeout: Duration,
    /// Time without a byte after which TCP asks whether the other side is still there, clients and pods.
    pub tcp_keepalive: Duration,
    /// Largest request or response header, in bytes.
    pub max_header_bytes: usize,
    /// Client connections at a time, of all frontends; more wait to be accepted. One of HTTP/2 counts for four.
    pub max_connections: usize,
    /// Requests at a time, of all frontends; more are answered with 503 `overloaded`. One of HTTP/2 counts for two.
    pub max_requests: usize,
    /// Connections at a time that one client's address may have to one frontend; more are closed at once.
    pub max_connections_per_peer: usize,
    /// Requests at a time that may wait for an answer of one backend; more are answered with 503 `overloaded`.
    pub max_waiting_per_backend: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: Arc::new(bind_all_addresses),
            workers: Workers::default(),
            upstream_alpn: Vec::new(),
            trusted_clients: Vec::new(),
            path: PathPolicy::default(),
            connect_timeout: Duration::from_secs(5),
            tcp_connect_timeout: Duration::from_secs(2),
            unacknowledged_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(60),
            continue_timeout: Duration::from_secs(5),
            client_idle_timeout: Duration::from_secs(75),
            header_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            crowded_idle_timeout: Duration::from_secs(2),
            refusal_delay: Duration::from_secs(1),
            stream_idle_timeout: Duration::from_secs(300),
            minimum_upload_rate: Some(MinimumRate { bytes_per_second: 240, grace: Duration::from_secs(10) }),
            tunnel_idle_timeout: Duration::from_secs(3600),
            tunnel_drain: Duration::from_secs(20),
            linger: Duration::from_secs(2),
            pool_idle_timeout: Duration::from_secs(60),
            tcp_keepalive: Duration::from_secs(60),
            max_header_bytes: UNIT,
            // The chart gives a proxy 256 MiB. Clients that leave the largest header unfinished on every connection, and
            // those that send it with every request, take (1536 + 1536) * 64 KiB = 192 MiB of it. No fewer requests than
            // connections: clients of HTTP/1.1 wait to be accepted instead of being refused.
            max_connections: 1536,
            max_requests: 1536,
            max_connections_per_peer: 512,
            max_waiting_per_backend: 512,
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
        assert!(settings.max_header_bytes <= UNIT, "what a connection or a request counts for");
        let headers = (settings.max_connections + settings.max_requests) * UNIT;
        assert!(headers <= MEMORY / 4 * 3, "{} MiB", headers >> 20);
    }

    #[test]
    fn neither_one_client_nor_one_backend_can_take_everything() {
        let settings = Settings::default();
        // Of two frontends, each has a quarter for itself and may use as much of what is for both.
        assert!(settings.max_connections_per_peer < settings.max_connections / 2);
        assert!(settings.max_waiting_per_backend < settings.max_requests / 2);
    }
}
