//! What a backend's sidecar says: its access log and its counters.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use serde::{Deserialize, Serialize};

use super::{BackendPod, trouble};
use crate::{mesh::LogForm, ports::PortError, probe::envoy};

/// Name of Istio's container.
pub(crate) const CONTAINER: &str = "istio-proxy";

/// Time limit of a question to Envoy's admin interface.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A line of the sidecar's access log, of which only this much is needed. TCP proxies write it when the
/// connection closes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SidecarEntry {
    /// When the connection, or on HTTP chains the request, began (RFC 3339).
    pub time: Option<String>,
    /// Serial number of the client's certificate, hexadecimal.
    pub downstream_peer_serial: Option<String>,
    /// URI SANs in the certificate of the client.
    pub downstream_peer_uri_san: Option<String>,
    /// Address of the client.
    pub downstream_remote_address: Option<String>,
    /// Protocol version, such as `TLSv1.3`.
    pub downstream_tls_version: Option<String>,
    /// Which filter chain took the connection.
    pub filter_chain: Option<String>,
    /// Cluster the sidecar sent it to: `inbound|3000||` for connections to the pod.
    pub upstream_cluster: Option<String>,
    /// Path of the request, on HTTP chains.
    pub path: Option<String>,
    /// Its `x-request-id`.
    pub request_id: Option<String>,
    /// Status that the client was answered; 0 on TCP chains.
    pub response_code: Option<u16>,
    /// Own end of the connection to the program: what the program sees as its client. Not every form of log has it.
    pub upstream_local_address: Option<String>,
    /// Envoy's short codes for what went wrong, `null` when nothing did.
    pub response_flags: Option<String>,
}

impl SidecarEntry {
    /// Whether the connection came in with a client certificate that carries `spiffe_id`.
    pub fn is_from(&self, spiffe_id: &str) -> bool {
        let sans = self.downstream_peer_uri_san.as_deref().unwrap_or_default();
        self.downstream_tls_version.as_deref().is_some_and(|version| version.starts_with("TLS"))
            && sans.split(',').any(|san| san.trim() == spiffe_id)
    }

    /// When the connection or request began, in milliseconds since 1970.
    pub(crate) fn began_ms(&self) -> Option<u64> {
        let began: jiff::Timestamp = self.time.as_deref()?.parse().ok()?;
        began.as_millisecond().try_into().ok()
    }

    /// Whether the sidecar itself ended the connection before anything came of it: no filter chain was for it (`NR`), or it
    /// was not the protocol that was expected (`DPE`).
    pub(crate) fn turned_away(&self) -> bool {
        self.response_flags
            .as_deref()
            .is_some_and(|flags| flags.split(',').any(|f| matches!(f, "NR" | "DPE")))
    }

    /// Address of the client without its port.
    pub fn client(&self) -> Option<std::net::IpAddr> {
        Some(self.downstream_remote_address.as_deref()?.parse::<SocketAddr>().ok()?.ip())
    }
}

/// All entries the sidecar has written so far.
pub(crate) async fn entries(
    client: &Client,
    pod: &BackendPod,
    form: &LogForm,
) -> Result<Vec<SidecarEntry>, PortError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let parameters = LogParams { container: Some(CONTAINER.into()), ..LogParams::default() };
    let text = pods
        .logs(&pod.name, &parameters)
        .await
        .map_err(trouble(format!("reading the sidecar's log of {}/{}", pod.namespace, pod.name)))?;
    Ok(text.lines().filter_map(|line| form.parse(line)).collect())
}

/// Reads the entries of `spiffe_id` in the sidecar's log, from the beginning, until `enough` says so; returns all of them
/// that are there by then, fewer when time is up.
pub(crate) async fn entries_until(
    client: &Client,
    pod: &BackendPod,
    form: &LogForm,
    spiffe_id: &str,
    within: Duration,
    enough: impl Fn(&[SidecarEntry]) -> bool,
) -> Result<Vec<SidecarEntry>, PortError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let parameters = LogParams { container: Some(CONTAINER.into()), follow: true, ..LogParams::default() };
    let mut lines = pods
        .log_stream(&pod.name, &parameters)
        .await
        .map_err(trouble(format!("following the sidecar's log of {}/{}", pod.namespace, pod.name)))?
        .lines();
    let mut found = Vec::new();
    let reading = async {
        while !enough(&found) {
            match lines.try_next().await {
                Ok(Some(line)) => {
                    found.extend(form.parse(&line).filter(|entry| entry.is_from(spiffe_id)));
                }
                Ok(None) | Err(_) => break,
            }
        }
    };
    // Time running out is not an error: what was found so far is what there is.
    let _ = tokio::time::timeout(within, reading).await;
    Ok(found)
}

/// TLS counters of the inbound listener by their last part (`handshake`, `no_certificate`, …). Empty when
/// this Istio does not keep them (`proxyStatsMatcher`).
pub(crate) async fn tls_counters(
    client: &Client,
    pod: &BackendPod,
) -> Result<BTreeMap<String, u64>, PortError> {
    let path = "stats?filter=_15006.ssl";
    let text = envoy::ask(client, &pod.namespace, &pod.name, path, ADMIN_TIMEOUT).await?;
    Ok(parse_counters(&text))
}

fn parse_counters(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let (_, counter) = name.split_once("_15006.ssl.")?;
            Some((counter.to_string(), value.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = include_str!("../../../fixtures/recorded/sidecar-access-log.txt");
    const EXTENSION: &str = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";

    #[test]
    fn connections_of_the_extension_are_told_from_others() {
        let form = crate::mesh::Mesh::sample().access_log.form;
        let entries: Vec<SidecarEntry> = LOG.lines().filter_map(|line| form.parse(line)).collect();
        assert_eq!(entries.len(), 4);
        let from: Vec<bool> = entries.iter().map(|entry| entry.is_from(EXTENSION)).collect();
        assert_eq!(from, [true, false, false, false]);
        assert_eq!(entries[0].client(), Some("10.244.2.22".parse().unwrap()));
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another() {
        let entry = SidecarEntry {
            downstream_peer_uri_san: Some(format!("{EXTENSION}-2")),
            downstream_tls_version: Some("TLSv1.3".into()),
            ..SidecarEntry::default()
        };
        assert!(!entry.is_from(EXTENSION));
    }

    #[test]
    fn counters_are_named_by_their_last_part() {
        let text = "listener.0.0.0.0_15006.ssl.handshake: 3\nlistener.0.0.0.0_15006.ssl.no_certificate: 0\n\
                    listener.0.0.0.0_15006.ssl.versions.TLSv1.3: 3\nhttp.x: 1\n";
        let counters = parse_counters(text);
        assert_eq!(counters.get("handshake"), Some(&3));
        assert_eq!(counters.get("versions.TLSv1.3"), Some(&3));
        assert_eq!(counters.len(), 3);
    }
}
