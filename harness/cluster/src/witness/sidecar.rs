//! What a backend's sidecar says: its access log and its counters.

use std::{collections::BTreeMap, time::Duration};

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};

use super::{BackendPod, trouble};
use crate::mesh::{LogForm, SIDECAR, SidecarEntry};
use crate::probe::envoy;
use meshproof_run::ports::PortError;

/// Time limit of a question to Envoy's admin interface.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// All entries the sidecar has written so far.
pub(crate) async fn entries(
    client: &Client,
    pod: &BackendPod,
    form: &LogForm,
) -> Result<Vec<SidecarEntry>, PortError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let parameters = LogParams { container: Some(SIDECAR.into()), ..LogParams::default() };
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
    let parameters = LogParams { container: Some(SIDECAR.into()), follow: true, ..LogParams::default() };
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

    const LOG: &str = include_str!("../../../../fixtures/recorded/sidecar-access-log.txt");
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
