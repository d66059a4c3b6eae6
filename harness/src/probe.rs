//! Requests from a vantage, and what came back.
//!
//! A status code alone proves little: an [`Answer`] also says which pod answered (the echo backend's
//! JSON), which connection carried it, and how exactly it failed when it did. An unreachable target is
//! an answer with a [`Failure`]; a [`ProbeError`] means that the question could not be asked at all.

pub mod access_log;
mod answer;
mod body;
mod client;
pub mod continuity;
pub mod envoy;
mod error;
pub mod exec;
pub(crate) mod forwarded;
pub mod frontend;
mod hang_up;
pub mod inside;
pub mod outside;
mod port;
pub mod request_id;
pub mod route;
pub mod strip;

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use self::client::Client;
pub use self::{
    access_log::{AccessLogEntry, LivingLog, ProxyLogs, UpstreamTls},
    answer::{Answer, Echo, EchoTls, Failure, FailureKind, MAX_BODY, Values, deployment_of},
    body::Body,
    continuity::{Continuity, ContinuityReport},
    error::ProbeError,
    frontend::{Frontend, Resolution},
    inside::VantagePods,
    outside::Outside,
};

/// Where a request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// This host, through the frontend's load-balancer address.
    Outside,
    /// A pod without a sidecar, in a namespace without the injection label.
    Plain,
    /// A pod with a sidecar: a member of the mesh.
    Mesh,
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "outside",
            Self::Plain => "plain",
            Self::Mesh => "mesh",
        })
    }
}

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
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Http {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2 in clear text, begun without asking (RFC 9113, 3.3).
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

/// Sends requests from any vantage. Vantage pods are made on first use and kept until
/// [`Prober::remove`].
pub struct Prober {
    local_only: bool,
    resolution: Resolution,
    outside: Outside,
    pods: VantagePods,
    client: kube::Client,
}

impl Prober {
    /// A prober for a cluster. `image` is the echo image's reference for the vantage pods; `local_only`
    /// refuses addresses that only the default route reaches (true for kind clusters); `resolution` is how the gateways'
    /// names lead to addresses; `run` is the id of the run, which what is made gets as label.
    pub fn new(
        client: kube::Client,
        image: impl Into<String>,
        local_only: bool,
        resolution: Resolution,
        run: &str,
    ) -> Self {
        Self {
            local_only,
            resolution,
            outside: Outside::new(local_only),
            pods: VantagePods::new(client.clone(), image.into(), run),
            client,
        }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the question cannot be asked: no vantage pod, no exec, a URL that is none. An unreachable
    /// target is an [`Answer`] with a [`Failure`].
    pub async fn send(&self, vantage: Vantage, ask: &Ask) -> Result<Answer, ProbeError> {
        let client = Client::any();
        let ask = &Ask { headers: client.headers(&ask.headers), ..ask.clone() };
        let answer = match vantage {
            Vantage::Outside => self.outside.send(ask).await,
            Vantage::Plain | Vantage::Mesh => self.pods.send(vantage, ask).await,
        };
        Ok(Answer { sent_as: Some(client.trace), ..answer? })
    }

    /// The load-balancer address behind a frontend's name, see [`Frontend`]. Without a `port`, the first
    /// the frontend offers.
    ///
    /// # Errors
    /// When no Service or no address belongs to the name.
    pub async fn frontend(&self, fqdn: &str, port: Option<u16>) -> Result<Frontend, ProbeError> {
        frontend::resolve(&self.client, &self.resolution, fqdn, port).await
    }

    /// Sends half a request to `address` from outside and hangs up, so that the gateway closes the
    /// connection to the pod that carried it.
    ///
    /// # Errors
    /// When the address must not be asked from here, or does not take the connection.
    pub async fn hang_up(&self, address: SocketAddr, host: &str, path: &str) -> Result<(), ProbeError> {
        hang_up::hang_up(address, host, path, self.local_only).await
    }

    /// The vantage pods, for making them ahead of the first request.
    pub fn pods(&self) -> &VantagePods {
        &self.pods
    }

    /// Removes what was made, vantage pods and their namespaces, and waits until it is gone.
    ///
    /// # Errors
    /// When the API server refuses, or something does not go.
    pub async fn remove(&self) -> Result<(), ProbeError> {
        self.pods.remove().await
    }
}
