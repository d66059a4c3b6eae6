//! Requests from a vantage, and what came back.
//!
//! A status code alone proves little: an [`Answer`] also says which pod answered (the echo backend's
//! JSON), which connection carried it, and how exactly it failed when it did. An unreachable target is
//! an answer with a [`Failure`].

pub mod access_log;
pub mod answer;
pub mod body;
pub mod client;
pub mod continuity;
pub(crate) mod replayed;
pub mod request_id;
pub mod strip;
pub mod tls;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    access_log::{AccessLogEntry, UpstreamTls},
    answer::{Answer, Echo, EchoTls, Failure, FailureKind, MAX_BODY, Values, deployment_of},
    body::Body,
    continuity::{Continuity, ContinuityReport},
};

/// Whether a request may use a connection an earlier one left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// A new connection, closed afterwards: shows what a new client gets.
    #[default]
    Fresh,
    /// Kept open between requests: shows what a connected client keeps getting. Only `outside`; the
    /// program in the vantage pods makes a new connection each time.
    Pooled,
}

/// One request to send.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Method, `GET` unless told otherwise.
    pub method: String,
    /// Absolute URL; its host becomes the `Host` header.
    pub url: String,
    /// Where to connect instead of what the host's name resolves to.
    pub connect_to: Option<SocketAddr>,
    /// Headers to add.
    pub headers: Vec<(String, String)>,
    /// For the whole exchange, connecting included.
    pub timeout: Duration,
    /// New connection, or one of a pool.
    pub connection: Connection,
    /// Version of HTTP. Only `outside` speaks the second.
    pub http: Http,
    /// What to send along.
    pub body: Option<Body>,
    /// Over TLS, if it is. Only `outside` speaks it.
    pub tls: Option<tls::Tls>,
    /// What is exchanged.
    pub exchange: Exchange,
}

/// What a client and the other side say to each other. Only `outside` knows more than the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Exchange {
    /// A request and its answer.
    #[default]
    Http,
    /// The connection becomes a WebSocket (RFC 6455); this message is sent, and one awaited, which is the answer's body.
    WebSocket(String),
    /// The health of a gRPC service (`grpc.health.v1.Health/Check`), or with an empty name of the whole server. The answer's body
    /// is what the check says, `SERVING` say, and its headers are those at its end as well: `grpc-status`.
    GrpcHealth(String),
}

/// Path of the method that tells the health of a gRPC service.
pub const GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Http {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2: in clear text begun without asking (RFC 9113, 3.3), over TLS agreed on with ALPN.
    Two,
}

impl Ask {
    /// How long an exchange may take unless told otherwise. The gateway itself answers 504 later than
    /// this only when a route asks for it.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// `GET url` over a fresh connection.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET".into(),
            url: url.into(),
            connect_to: None,
            headers: Vec::new(),
            timeout: Self::TIMEOUT,
            connection: Connection::Fresh,
            http: Http::One,
            body: None,
            tls: None,
            exchange: Exchange::Http,
        }
    }

    /// `GET path` straight to a pod or another address, past Services and gateways.
    pub fn straight(address: SocketAddr, path: &str) -> Self {
        Self { connect_to: Some(address), ..Self::get(format!("http://{address}{path}")) }
    }

    /// Connects to `address` whatever the URL's host is.
    pub fn connecting_to(mut self, address: SocketAddr) -> Self {
        self.connect_to = Some(address);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Limits the exchange to `timeout`.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Uses the pool instead of a fresh connection.
    pub fn pooled(mut self) -> Self {
        self.connection = Connection::Pooled;
        self
    }
}
