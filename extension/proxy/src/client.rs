//! Whose connection it is.

use crate::activity::Activity;
use crate::limits::ConnectionPermit;
use crate::tls_info::ClientTls;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A client's connection or, with HTTP/2, one of its streams.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The port that was connected to.
    pub(crate) port: u16,
    pub(crate) peer: SocketAddr,
    pub(crate) activity: Arc<Activity>,
    /// Whatever outlives the connection, as a WebSocket does, keeps it.
    pub(crate) place: Arc<Place>,
    /// Nothing in clear text.
    pub(crate) tls: Option<Arc<ClientTls>>,
}

/// What a connection occupies.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its place among the connections.
    pub(crate) permit: ConnectionPermit,
    /// The port is gone, or the proxy ends.
    pub(crate) stop: CancellationToken,
}
