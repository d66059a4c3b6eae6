//! The gateway's own account of an answer: which hop answered, why, and with which identities.
//!
//! A proxy writes one JSON line per request to stdout. The line is found by its request id.

mod istio;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, future::try_join_all, stream::FuturesUnordered};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::{Deserialize, Serialize};

use super::{
    ProbeError,
    request_id::{constant, untraced},
};
use crate::implementation::{Proxies, about_gateway};

/// How the gateway spoke to the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamTls {
    /// `none`, `mtls` or `tls`.
    pub mode: String,
    /// Name the pod was asked for (SNI), if it was.
    pub server_name: Option<String>,
    /// What the certificate the pod showed proves: a SPIFFE id, or a host name.
    pub server_identity: Option<String>,
    /// SPIFFE id in the certificate the gateway showed.
    pub client_identity: Option<String>,
    /// Application protocol agreed on, if any. Istio's own would keep PERMISSIVE working.
    pub alpn: Option<String>,
}

/// The form of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// alb-proxy's own: the fields of [`AccessLogEntry`].
    Alb,
    /// Envoy's, with the fields that `kind-config/istio/values.yaml` asks for.
    Istio,
}

impl LogFormat {
    /// Reads a log line. `None` for lines that are not access log entries (the program's own log).
    pub fn parse(self, line: &str) -> Option<AccessLogEntry> {
        match self {
            Self::Alb => AccessLogEntry::parse(line),
            Self::Istio => istio::parse(line),
        }
    }
}

/// One line of an access log, in the words of alb-proxy's. Fields this harness does not know are kept in `rest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessLogEntry {
    /// When the exchange ended (RFC 3339).
    pub time: String,
    /// FQDN of the frontend.
    pub frontend: String,
    /// `namespace/name` of the Gateway.
    pub gateway: Option<String>,
    /// `namespace/name` of the HTTPRoute that matched.
    pub route: Option<String>,
    /// Path as received.
    pub path: String,
    /// Status sent to the client.
    pub status: u16,
    /// Why, in one word: `ok`, `no_route`, `upstream_tls_handshake_failed`, …
    pub reason: String,
    /// `namespace/name` of the pod asked.
    pub upstream_pod: Option<String>,
    /// Its address.
    pub upstream_address: Option<String>,
    /// How it was asked.
    pub upstream_tls: Option<UpstreamTls>,
    /// The id the line is found by, [`untraced`].
    pub request_id: String,
    /// Name under which the harness sent the request, see [`Ask::NAME`]; nothing in logs that do not keep it.
    pub sent_as: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

impl AccessLogEntry {
    /// Reads a line of alb-proxy's log. `None` for lines that are not access log entries.
    pub fn parse(line: &str) -> Option<Self> {
        let mut entry: Self = serde_json::from_str(line.trim()).ok()?;
        entry.request_id = untraced(&entry.request_id);
        (!entry.reason.is_empty() && entry.status != 0).then_some(entry)
    }

    /// Whether the gateway showed `client` to a pod that proved to be `server` over mutual TLS.
    pub fn is_mtls(&self, client: &str, server: &str) -> bool {
        self.upstream_tls.as_ref().is_some_and(|tls| {
            tls.mode == "mtls"
                && tls.client_identity.as_deref() == Some(client)
                && tls.server_identity.as_deref() == Some(server)
        })
    }
}

/// The access logs of all proxies of a gateway.
#[derive(Clone)]
pub struct ProxyLogs {
    client: Client,
    namespace: String,
    selector: String,
    format: LogFormat,
}

impl ProxyLogs {
    /// The logs of the proxies of Gateway `name`; nothing if this implementation keeps none.
    pub fn of(client: &Client, proxies: &Proxies, namespace: &str, name: &str) -> Option<Self> {
        Some(Self {
            client: client.clone(),
            namespace: about_gateway(&proxies.namespace, namespace, name),
            selector: about_gateway(&proxies.selector, namespace, name),
            format: proxies.access_log?,
        })
    }

    /// Names of the proxy pods.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn pods(&self) -> Result<Vec<String>, ProbeError> {
        let list = self.api().list(&ListParams::default().labels(&self.selector)).await.map_err(|error| {
            ProbeError::kubernetes(
                format!("listing proxy pods {} in {}", self.selector, self.namespace),
                error,
            )
        })?;
        Ok(list.items.iter().map(ResourceExt::name_any).collect())
    }

    /// The entry of one request, by its id or the name it was sent under, waiting up to `within` for it to be written. `since` bounds how far back
    /// to look. `None` when no proxy wrote one: the request never reached a proxy.
    ///
    /// # Errors
    /// When the pods cannot be listed.
    pub async fn find(
        &self,
        id: &str,
        since: Duration,
        within: Duration,
    ) -> Result<Option<AccessLogEntry>, ProbeError> {
        let pods = self.pods().await?;
        let mut following: FuturesUnordered<_> = pods.iter().map(|pod| self.follow(pod, id, since)).collect();
        let first = async {
            while let Some(found) = following.next().await {
                if found.is_some() {
                    return found;
                }
            }
            None
        };
        Ok(tokio::time::timeout(within, first).await.unwrap_or(None))
    }

    /// All entries of the last `since`, of all proxies, in the order of their times.
    ///
    /// # Errors
    /// When the pods cannot be listed. A proxy whose log cannot be read contributes nothing.
    pub async fn recent(&self, since: Duration) -> Result<Vec<AccessLogEntry>, ProbeError> {
        let mut entries = Vec::new();
        for pod in self.pods().await? {
            let parameters = LogParams { since_seconds: Some(seconds(since)), ..LogParams::default() };
            let text = self.api().logs(&pod, &parameters).await.unwrap_or_default();
            entries.extend(text.lines().filter_map(|line| self.format.parse(line)));
        }
        entries.sort_by(|a, b| a.time.cmp(&b.time));
        Ok(entries)
    }

    /// All entries of the last `since`, of those proxies that are Ready: nobody can ask one whose node is gone.
    ///
    /// # Errors
    /// When the pods cannot be listed, or one of them does not give its log.
    pub async fn of_the_living(&self, since: Duration) -> Result<Vec<AccessLogEntry>, ProbeError> {
        let doing = |what: &str| format!("{what} {} in {}", self.selector, self.namespace);
        let list = self.api().list(&ListParams::default().labels(&self.selector)).await;
        let list = list.map_err(|error| ProbeError::kubernetes(doing("listing proxy pods"), error))?;
        let parameters = LogParams { since_seconds: Some(seconds(since)), ..LogParams::default() };
        let api = self.api();
        let logs = list.items.iter().filter(|pod| is_ready(pod)).map(|pod| {
            let (api, parameters, name) = (&api, &parameters, pod.name_any());
            async move { api.logs(&name, parameters).await }
        });
        let texts = try_join_all(logs).await;
        let texts =
            texts.map_err(|error| ProbeError::kubernetes(doing("reading the logs of pods"), error))?;
        let lines = texts.iter().flat_map(|text| text.lines());
        Ok(lines.filter_map(|line| self.format.parse(line)).collect())
    }

    /// All entries of the last `since` by request id, waiting up to `within` until each of `ids` is there. Proxies write
    /// independently of each other: the last answer's line says nothing about the lines of the others.
    ///
    /// # Errors
    /// When the pods cannot be listed.
    pub async fn accounts(
        &self,
        ids: &[String],
        since: Duration,
        within: Duration,
    ) -> Result<BTreeMap<String, AccessLogEntry>, ProbeError> {
        let deadline = Instant::now() + within;
        loop {
            let recent = self.recent(since).await?.into_iter();
            let entries: BTreeMap<_, _> = recent.map(|entry| (entry.request_id.clone(), entry)).collect();
            let Some(missing) = ids.iter().find(|id| !entries.contains_key(*id)) else { return Ok(entries) };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.find(missing, since, left).await?.is_none() {
                return Ok(entries);
            }
        }
    }

    async fn follow(&self, pod: &str, id: &str, since: Duration) -> Option<AccessLogEntry> {
        let parameters =
            LogParams { follow: true, since_seconds: Some(seconds(since)), ..LogParams::default() };
        let mut lines = self.api().log_stream(pod, &parameters).await.ok()?.lines();
        while let Ok(Some(line)) = lines.try_next().await {
            if line.contains(constant(id))
                && let Some(entry) = self.format.parse(&line)
                && (entry.request_id == id || entry.sent_as.as_deref() == Some(id))
            {
                return Some(entry);
            }
        }
        None
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whole seconds, rounded up: the API takes no less than one.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000).max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = include_str!("../../../fixtures/recorded/access-log-200.json");

    #[test]
    fn an_entry_says_who_spoke_to_whom() {
        let entry = AccessLogEntry::parse(LINE).unwrap();
        assert_eq!((entry.status, entry.reason.as_str()), (200, "ok"));
        let client = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";
        let server = "spiffe://cluster.local/ns/isto-example-namespace/sa/default";
        assert!(entry.is_mtls(client, server));
        assert!(!entry.is_mtls(server, client));
        assert!(entry.rest.contains_key("duration_ms"));
    }

    #[test]
    fn other_lines_of_the_program_are_no_entries() {
        assert_eq!(AccessLogEntry::parse(r#"{"level":"INFO","message":"listening"}"#), None);
        assert_eq!(AccessLogEntry::parse("panic!"), None);
    }

    #[test]
    fn time_is_given_to_the_api_in_whole_seconds_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
        assert_eq!(seconds(Duration::ZERO), 1);
    }
}
