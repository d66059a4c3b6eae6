//! Requests from a vantage, and what came back.
//!
//! A status code alone proves little: an [`Answer`] also says which pod answered (the echo backend's
//! JSON), which connection carried it, and how exactly it failed when it did. An unreachable target is
//! an answer with a [`Failure`]; a [`ProbeError`] means that the question could not be asked at all.

pub mod access_log;
pub mod continuity;
pub mod exec;
pub mod frontend;
mod hang_up;
pub mod inside;
pub mod outside;
mod port;
pub mod route;

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    access_log::{AccessLogEntry, ProxyLogs, UpstreamTls},
    continuity::{Continuity, ContinuityReport},
    frontend::Frontend,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// What the echo backend says about itself and about the request it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Echo {
    /// Path and query as received.
    pub path: String,
    /// `Host` as received.
    pub host: String,
    /// Method as received.
    pub method: String,
    /// Protocol version, such as `HTTP/1.1`.
    pub proto: String,
    /// Request headers as received; several values of one name in order.
    pub headers: BTreeMap<String, Values>,
    /// Namespace of the pod that answered.
    pub namespace: String,
    /// Its `INGRESS_NAME`, usually empty.
    pub ingress: String,
    /// Its `SERVICE_NAME`, usually empty.
    pub service: String,
    /// Name of the pod that answered.
    pub pod: String,
}

/// One or several values of a header: echo backends differ in how they print a single one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A single value.
    One(String),
    /// All values, in order.
    Many(Vec<String>),
}

impl Values {
    /// The first value, if there is one.
    pub fn first(&self) -> Option<&str> {
        match self {
            Self::One(value) => Some(value),
            Self::Many(values) => values.first().map(String::as_str),
        }
    }
}

impl Echo {
    /// Reads an echo backend's body. `None` when the body is something else, an error page say.
    pub fn parse(body: &str) -> Option<Self> {
        let echo: Self = serde_json::from_str(body).ok()?;
        (!echo.pod.is_empty()).then_some(echo)
    }

    /// A header as the backend saw it, by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, values)| values.first())
    }
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// Nobody listens (RST to SYN), or no route to the host.
    #[serde(alias = "unreachable")]
    Refused,
    /// Connected, then closed or reset before an answer: what a STRICT sidecar does to clear text.
    Reset,
    /// No answer in time.
    Timeout,
    /// The name does not resolve.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// Anything else; the message says what.
    #[serde(other)]
    Other,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Other => "other",
        })
    }
}

/// An exchange without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The operating system's or library's words.
    pub message: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Where the request started.
    pub vantage: Vantage,
    /// Status code; `None` when there was no answer.
    pub status: Option<u16>,
    /// Response headers, lower-case names; several values of one name joined with `, ` (RFC 9110, 5.3).
    pub headers: BTreeMap<String, String>,
    /// Body, at most [`MAX_BODY`] bytes of it.
    pub body: String,
    /// The body read as the echo backend's, when it is one.
    pub echo: Option<Echo>,
    /// Why there was no answer.
    pub failure: Option<Failure>,
    /// From the first byte sent (or the attempt to connect) to the last byte read.
    pub duration: Duration,
    /// Address of the other end, when a connection was made.
    pub peer: Option<SocketAddr>,
}

/// Bodies are kept up to this many bytes; an echo answer has about one thousand.
pub const MAX_BODY: usize = 64 * 1024;

impl Answer {
    /// An exchange that failed after `duration`.
    pub fn failed(
        vantage: Vantage,
        kind: FailureKind,
        message: impl Into<String>,
        duration: Duration,
    ) -> Self {
        Self {
            vantage,
            status: None,
            headers: BTreeMap::new(),
            body: String::new(),
            echo: None,
            failure: Some(Failure { kind, message: message.into() }),
            duration,
            peer: None,
        }
    }

    /// Name of the pod that answered, when an echo backend did.
    pub fn pod(&self) -> Option<&str> {
        self.echo.as_ref().map(|echo| echo.pod.as_str())
    }

    /// Whether the answer comes from a pod of Deployment `backend`: its name is
    /// `<backend>-<replica set>-<pod>`.
    pub fn is_from(&self, backend: &str) -> bool {
        self.pod().is_some_and(|pod| deployment_of(pod) == Some(backend))
    }

    /// `x-request-id` under which the gateway logged this exchange: in the response, or as the backend
    /// saw it. A gateway may replace the client's (Application Gateway for Containers does).
    pub fn request_id(&self) -> Option<&str> {
        let sent_back = self.headers.get("x-request-id").map(String::as_str);
        sent_back.or_else(|| self.echo.as_ref().and_then(|echo| echo.header("x-request-id")))
    }

    /// One line for people: `200 from backend-v1-5d9c…-x2x7f` or `reset: connection reset by peer`.
    pub fn summary(&self) -> String {
        match (self.status, &self.failure) {
            (Some(status), _) => match (self.pod(), self.body.trim()) {
                (Some(pod), _) => format!("{status} from {pod}"),
                (None, "") => status.to_string(),
                (None, body) => format!("{status} ({})", first_line(body, 120)),
            },
            (None, Some(failure)) => format!("{}: {}", failure.kind, failure.message),
            (None, None) => "no answer".to_string(),
        }
    }
}

/// Name of the Deployment behind a pod's name, `<deployment>-<replica set hash>-<5 characters>`.
pub fn deployment_of(pod: &str) -> Option<&str> {
    let (replica_set, suffix) = pod.rsplit_once('-')?;
    let (deployment, hash) = replica_set.rsplit_once('-')?;
    let generated = |s: &str| s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (suffix.len() == 5 && generated(suffix) && (5..=10).contains(&hash.len()) && generated(hash))
        .then_some(deployment)
}

fn first_line(text: &str, limit: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_string(),
    }
}

/// The question could not be asked. What answers badly is an [`Answer`], not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The URL cannot be used.
    #[error("`{url}` is not a URL that can be requested: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The API server refused or did not answer.
    #[error("{doing}: {source}")]
    Kubernetes {
        /// What was being done, as a sentence without a full stop.
        doing: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// A command in a container could not be run, or failed.
    #[error("{doing}: `{command}` in {pod} failed: {reason}")]
    Exec {
        /// What was being done.
        doing: String,
        /// The command line.
        command: String,
        /// `namespace/pod`.
        pod: String,
        /// Exit status and what it wrote to stderr.
        reason: String,
    },
    /// A vantage pod, or another thing needed first, is not there in time.
    #[error("{what} not ready after {waited:?}: {seen}; {hint}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The last state seen.
        seen: String,
        /// What to do next.
        hint: String,
    },
    /// The frontend has no address to connect to.
    #[error("frontend {fqdn} has no load-balancer address: {reason}")]
    NoAddress {
        /// Name asked for.
        fqdn: String,
        /// What was seen instead.
        reason: String,
    },
    /// The address would be reached by the default route: the traffic would leave this host.
    #[error(
        "refusing to connect to {address}: no local bridge has a route to it, so the request would leave this host by \
         the default route; is the cluster's docker network still there? (`meshproof status` says)"
    )]
    NotLocal {
        /// Where the request would have gone.
        address: SocketAddr,
    },
    /// An answer of the program in the vantage pod could not be read.
    #[error(
        "the probe in {pod} printed something that is not its JSON line: {reason}; it printed: {printed}"
    )]
    Output {
        /// `namespace/pod`.
        pod: String,
        /// The parser's words.
        reason: String,
        /// The first line of what it printed.
        printed: String,
    },
}

impl ProbeError {
    /// Wraps an API error with what was being done.
    pub fn kubernetes(doing: impl Into<String>, source: kube::Error) -> Self {
        Self::Kubernetes { doing: doing.into(), source: Box::new(source) }
    }
}

/// Sends requests from any vantage. Vantage pods are made on first use and kept until
/// [`Prober::remove`].
pub struct Prober {
    local_only: bool,
    outside: Outside,
    pods: VantagePods,
    client: kube::Client,
}

impl Prober {
    /// A prober for a cluster. `image` is the echo image's reference for the vantage pods; `local_only`
    /// refuses addresses that only the default route reaches (true for kind clusters).
    pub fn new(client: kube::Client, image: impl Into<String>, local_only: bool) -> Self {
        Self {
            local_only,
            outside: Outside::new(local_only),
            pods: VantagePods::new(client.clone(), image.into()),
            client,
        }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the question cannot be asked: no vantage pod, no exec, a URL that is none. An unreachable
    /// target is an [`Answer`] with a [`Failure`].
    pub async fn send(&self, vantage: Vantage, ask: &Ask) -> Result<Answer, ProbeError> {
        match vantage {
            Vantage::Outside => self.outside.send(ask).await,
            Vantage::Plain | Vantage::Mesh => self.pods.send(vantage, ask).await,
        }
    }

    /// The load-balancer address behind a frontend's name, see [`Frontend`]. Without a `port`, the first
    /// the frontend offers.
    ///
    /// # Errors
    /// When no Service or no address belongs to the name.
    pub async fn frontend(&self, fqdn: &str, port: Option<u16>) -> Result<Frontend, ProbeError> {
        frontend::resolve(&self.client, fqdn, port).await
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

    /// Removes what was made: vantage pods and their namespaces.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove(&self) -> Result<(), ProbeError> {
        self.pods.remove().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployment_is_the_pod_name_without_its_two_generated_parts() {
        assert_eq!(deployment_of("backend-v1-5d9c7b6f4-x2x7f"), Some("backend-v1"));
        assert_eq!(
            deployment_of("alb-controller-istio-extension-7f4b8d6c9d-abcde"),
            Some("alb-controller-istio-extension")
        );
        assert_eq!(deployment_of("probe"), None);
        assert_eq!(deployment_of("a-b"), None);
    }

    #[test]
    fn an_answer_of_backend_v2_is_not_from_backend_v1() {
        let mut answer = Answer::failed(Vantage::Outside, FailureKind::Other, "", Duration::ZERO);
        answer.echo = Some(Echo { pod: "backend-v2-5d9c7b6f4-x2x7f".into(), ..Echo::default() });
        assert!(answer.is_from("backend-v2"));
        assert!(!answer.is_from("backend-v1"));
        assert!(!answer.is_from("backend"));
    }

    #[test]
    fn a_body_without_a_pod_is_no_echo() {
        assert_eq!(Echo::parse("503 upstream_tls_handshake_failed"), None);
        assert_eq!(Echo::parse("{}"), None);
        assert!(Echo::parse(r#"{"pod":"p","headers":{"A":["x","y"],"B":"z"}}"#).is_some());
    }

    #[test]
    fn headers_of_an_echo_are_found_whatever_their_case() {
        let echo = Echo::parse(r#"{"pod":"p","headers":{"X-Request-Id":["one"]}}"#).unwrap();
        assert_eq!(echo.header("x-request-id"), Some("one"));
        assert_eq!(echo.header("absent"), None);
    }

    #[test]
    fn the_summary_of_an_error_page_is_its_first_line() {
        let mut answer = Answer::failed(Vantage::Outside, FailureKind::Other, "", Duration::ZERO);
        answer.status = Some(503);
        answer.failure = None;
        answer.body = "upstream_tls_handshake_failed\nmore".into();
        assert_eq!(answer.summary(), "503 (upstream_tls_handshake_failed)");
    }
}
