//! What the program behind a sidecar has written down of the connections and requests that came to it: the other side's word
//! about what a gateway tried, whatever the gateway says of itself.
//!
//! The sample's echo backend numbers its lines and gives each the time of what it tells of, by its own clock.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use serde::Deserialize;
use serde_json::Value;

use super::{BackendPod, trouble};
use crate::mesh::SIDECAR;
use meshproof_run::ports::PortError;

/// What one container has written, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) lines: Vec<Line>,
}

/// A line about a connection, a handshake or a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    /// Number of the line since the program started.
    pub(super) line: u64,
    /// Milliseconds since 1970, by the clock of its node.
    pub(super) time_ms: u64,
    /// A connection, and what it began with.
    pub(super) connection: Option<Connection>,
    /// What came of a TLS handshake.
    pub(super) handshake: Option<Handshake>,
    /// Path of a request.
    pub(super) path: Option<String>,
    /// Its `x-request-id`.
    pub(super) request: Option<String>,
    /// Other end of the connection that a request came over.
    pub(super) peer: Option<SocketAddr>,
}

/// A connection that the program accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// The program's port.
    #[serde(default)]
    pub(super) port: u16,
    pub(super) begins_with: BeginsWith,
    /// Application protocols that a ClientHello offers; nothing if it could not be read.
    #[serde(default)]
    pub(super) alpn: Option<Vec<String>>,
}

/// What a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum BeginsWith {
    Tls,
    ClearText,
    Nothing,
}

/// What came of a TLS handshake with the program itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Handshake {
    pub(super) peer: Option<SocketAddr>,
    /// Certificates that the client showed, its own first, as PEM.
    pub(super) client_certificates: Option<Vec<String>>,
    /// Why it failed.
    pub(super) failed: Option<String>,
}

impl Connection {
    /// Whether the ClientHello offers one of Istio's own application protocols.
    pub(super) fn offers_istio(&self) -> bool {
        let istio = |name: &String| name == "istio" || name.starts_with("istio-");
        self.alpn.iter().flatten().any(istio)
    }
}

impl Written {
    pub(super) fn parse(log: &str) -> Self {
        Self { lines: log.lines().filter_map(Line::parse).collect() }
    }

    /// Whether nothing that was written since `from_ms` is missing: logs are rotated.
    pub(super) fn reaches_back_to(&self, from_ms: u64) -> bool {
        let first = self.lines.first().is_some_and(|first| first.line == 1 || first.time_ms < from_ms);
        let numbers = self.lines.iter().map(|line| line.line);
        // A line may overtake another on its way out.
        let (least, most) = (numbers.clone().min().unwrap_or_default(), numbers.max().unwrap_or_default());
        first && usize::try_from(most - least + 1).is_ok_and(|wanted| wanted == self.lines.len())
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line.trim()).ok()?;
        let line: Self = serde_json::from_value(value).ok()?;
        (line.line > 0).then_some(line)
    }
}

/// What the programs of a pod have written: each of its containers but the sidecar that writes such lines.
pub(super) async fn written(client: &Client, pod: &BackendPod) -> Result<Vec<Written>, PortError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let name = format!("pod {}/{}", pod.namespace, pod.name);
    let object = pods.get(&pod.name).await.map_err(trouble(format!("reading {name}")))?;
    let containers = object.spec.into_iter().flat_map(|spec| spec.containers);
    let mut all = Vec::new();
    for container in containers.map(|container| container.name).filter(|name| name != SIDECAR) {
        let parameters = LogParams { container: Some(container.clone()), ..LogParams::default() };
        let text = pods.logs(&pod.name, &parameters).await;
        let text = text.map_err(trouble(format!("reading the log of container {container} of {name}")))?;
        all.push(Written::parse(&text));
    }
    all.retain(|written| !written.lines.is_empty());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"listening
{"connection":{"alpn":[],"begins_with":"tls","peer":"127.0.0.6:40001","port":3000,"server_name":null},"line":1,"time_ms":1000}
{"connection":{"alpn":null,"begins_with":"tls","peer":"127.0.0.6:40002","port":3000,"server_name":null},"line":2,"time_ms":1100}
{"connection":{"begins_with":"clear-text","peer":"127.0.0.6:40003","port":3000},"line":3,"time_ms":1200}
{"line":4,"method":"GET","path":"/","peer":"127.0.0.6:40003","request":null,"time_ms":1201}
{"connection":{"begins_with":"nothing","peer":"127.0.0.6:40004","port":3000},"line":5,"time_ms":1300}
{"handshake":{"failed":"received fatal alert","peer":"127.0.0.6:40005","port":8443},"line":6,"time_ms":1400}
"#;

    #[test]
    fn each_line_tells_what_it_is_about() {
        let written = Written::parse(LOG);
        let kinds: Vec<_> =
            written.lines.iter().map(|line| line.connection.as_ref().map(|c| c.begins_with)).collect();
        let (tls, clear, nothing) =
            (Some(BeginsWith::Tls), Some(BeginsWith::ClearText), Some(BeginsWith::Nothing));
        assert_eq!(kinds, [tls, tls, clear, None, nothing, None]);
        assert_eq!(written.lines[3].path.as_deref(), Some("/"));
        assert_eq!(written.lines[3].peer, Some("127.0.0.6:40003".parse().unwrap()));
        let alpn: Vec<_> = written.lines[..2].iter().map(|l| l.connection.clone().unwrap().alpn).collect();
        assert_eq!(alpn, [Some(vec![]), None]);
        assert!(written.lines[5].handshake.as_ref().unwrap().failed.is_some());
    }

    #[test]
    fn a_log_that_was_cut_off_does_not_reach_back() {
        assert!(Written::parse(LOG).reaches_back_to(0));
        let later: String = LOG.lines().skip(3).map(|line| format!("{line}\n")).collect();
        assert!(Written::parse(&later).reaches_back_to(1250));
        assert!(!Written::parse(&later).reaches_back_to(1200));
        let hole: String = LOG
            .lines()
            .filter(|line| !line.contains("\"line\":3,"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(!Written::parse(&hole).reaches_back_to(0), "a line is missing");
        assert!(!Written::default().reaches_back_to(0));
    }

    #[test]
    fn istios_own_protocols_are_known() {
        let offering = |names: &[&str]| Connection {
            peer: "127.0.0.6:1".parse().unwrap(),
            port: 3000,
            begins_with: BeginsWith::Tls,
            alpn: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        for istio in [&["istio"][..], &["istio-peer-exchange", "istio"], &["h2", "istio-http/1.1"]] {
            assert!(offering(istio).offers_istio(), "{istio:?}");
        }
        for other in [&[][..], &["http/1.1"], &["h2"], &["istiod"]] {
            assert!(!offering(other).offers_istio(), "{other:?}");
        }
    }
}
