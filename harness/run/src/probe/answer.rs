//! What came back of a request.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::body::Received;
use super::request_id::untraced;
use super::tls::Shown;
use meshproof_model::vantage::Vantage;

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
    /// The body it received, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Received>,
    /// Other end of the connection, as the program that answered saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The TLS of the connection it answered on; `None` in clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<EchoTls>,
}

/// What the echo backend says about the TLS it was spoken to with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EchoTls {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// The name it was asked for (SNI).
    pub server_name: String,
    /// Application protocol agreed on.
    pub negotiated_protocol: String,
    /// Cipher suite.
    pub cipher_suite: String,
    /// Certificates that the client showed, its own first, as PEM.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_certificates: Vec<String>,
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
    /// The TLS handshake failed, or a side ended it after that: because of the client's certificate, say.
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

/// An exchange without an answer, or without all of it.
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
    /// The id of the trace under which the request was sent. Gateways give ids of their own, which an answer that no backend
    /// gave may not carry; a log that keeps `traceparent` can be searched all the same.
    pub sent_as: Option<String>,
    /// Status code; `None` when there was no answer.
    pub status: Option<u16>,
    /// Response headers, lower-case names; several values of one name joined with `, ` (RFC 9110, 5.3).
    pub headers: BTreeMap<String, String>,
    /// Body, at most [`MAX_BODY`] bytes of it.
    pub body: String,
    /// The body read as the echo backend's, when it is one.
    pub echo: Option<Echo>,
    /// Why there was no answer, or, beside a status, why its body ended early.
    pub failure: Option<Failure>,
    /// From the first byte sent (or the attempt to connect) to the last byte read.
    pub duration: Duration,
    /// Address of the other end, when a connection was made.
    pub peer: Option<SocketAddr>,
    /// The certificate that the other end has shown, over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Shown>,
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
            sent_as: None,
            status: None,
            headers: BTreeMap::new(),
            body: String::new(),
            echo: None,
            failure: Some(Failure { kind, message: message.into() }),
            duration,
            peer: None,
            certificate: None,
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

    /// Status of an answer that came in full. One that was cut off is as good as none.
    pub fn complete(&self) -> Option<u16> {
        self.status.filter(|_| self.failure.is_none())
    }

    /// What the gateway's log knows this exchange by: its id, or else that of the trace under which the request was sent.
    pub fn logged_as(&self) -> Option<String> {
        self.request_id().or_else(|| self.sent_as.clone())
    }

    /// `x-request-id` under which the gateway logged this exchange: in the response, or as the backend
    /// saw it, [`untraced`]. A gateway may replace the client's (Application Gateway for Containers does).
    pub fn request_id(&self) -> Option<String> {
        let sent_back = self.headers.get("x-request-id").map(String::as_str);
        sent_back.or_else(|| self.echo.as_ref()?.header("x-request-id")).map(untraced)
    }

    /// One line for people: `200 from backend-v1-5d9c…-x2x7f` or `reset: connection reset by peer`.
    pub fn summary(&self) -> String {
        match (self.status, &self.failure) {
            (Some(status), Some(failure)) => {
                format!("{status}, cut off ({}: {})", failure.kind, failure.message)
            }
            (Some(status), None) => match (self.pod(), self.body.trim()) {
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
    fn an_answer_that_was_cut_off_is_none() {
        let mut answer =
            Answer::failed(Vantage::Outside, FailureKind::Reset, "connection closed", Duration::ZERO);
        answer.status = Some(200);
        assert_eq!(answer.complete(), None);
        assert_eq!(answer.summary(), "200, cut off (reset: connection closed)");
        answer.failure = None;
        assert_eq!((answer.complete(), answer.summary().as_str()), (Some(200), "200"));
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
