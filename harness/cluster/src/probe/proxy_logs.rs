//! The access logs of the gateway's proxies: one line per request on stdout, found by its request id.

mod living;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{
    AsyncBufReadExt, Stream, StreamExt,
    future::{self, join_all},
    stream::{self, select_all},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use tokio::time::timeout;

pub use self::living::LivingLog;
use super::ProbeError;
use meshproof_model::implementation::{LogFormat, Proxies, about_gateway};
use meshproof_run::probe::AccessLogEntry;

/// The access logs of all proxies of a gateway.
#[derive(Clone)]
pub struct ProxyLogs {
    client: Client,
    namespace: String,
    selector: String,
    /// The container that writes it, where there are several.
    container: Option<String>,
    format: LogFormat,
}

impl ProxyLogs {
    /// The logs of the proxies of Gateway `name`; nothing if this implementation keeps none.
    pub fn of(client: &Client, proxies: &Proxies, namespace: &str, name: &str) -> Option<Self> {
        Some(Self {
            client: client.clone(),
            namespace: about_gateway(&proxies.namespace, namespace, name),
            selector: about_gateway(&proxies.selector, namespace, name),
            container: proxies.container.clone(),
            format: proxies.access_log.clone()?,
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

    /// All entries of the last `since`, of all proxies, in the order of their times.
    ///
    /// # Errors
    /// When the pods cannot be listed. A proxy whose log cannot be read contributes nothing.
    pub async fn recent(&self, since: Duration) -> Result<Vec<AccessLogEntry>, ProbeError> {
        let pods = self.pods().await?;
        let (api, parameters) = (&self.api(), &self.last(since));
        let logs = pods.iter().map(|pod| async move { api.logs(pod, parameters).await.unwrap_or_default() });
        let texts = join_all(logs).await;
        let lines = texts.iter().flat_map(|text| text.lines());
        let mut entries: Vec<_> = lines.filter_map(|line| AccessLogEntry::read(&self.format, line)).collect();
        entries.sort_by(|a, b| a.time.cmp(&b.time));
        Ok(entries)
    }

    /// The entries of these requests, by their ids or those of the traces they were sent under, waiting up to `within` for them to be
    /// written. `since` bounds how far back to look. All logs are followed at once: proxies write independently of each
    /// other, and the log of one whose node is gone never comes. What is missing was written by no proxy.
    ///
    /// # Errors
    /// When the pods cannot be listed.
    pub async fn accounts(
        &self,
        ids: &[String],
        since: Duration,
        within: Duration,
    ) -> Result<BTreeMap<String, AccessLogEntry>, ProbeError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let pods = self.pods().await?;
        let entries = select_all(pods.iter().map(|pod| self.follow(pod, since).boxed()));
        Ok(look_up(ids, entries, within).await)
    }

    /// What a proxy has written in the last `since`, and what it goes on to write.
    fn follow<'a>(&'a self, pod: &'a str, since: Duration) -> impl Stream<Item = AccessLogEntry> + 'a {
        let lines = async move {
            let parameters = LogParams { follow: true, ..self.last(since) };
            self.api().log_stream(pod, &parameters).await.ok().map(AsyncBufReadExt::lines)
        };
        stream::once(lines)
            .filter_map(future::ready)
            .flatten()
            .take_while(|line| future::ready(line.is_ok()))
            .filter_map(|line| {
                future::ready(line.ok().and_then(|line| AccessLogEntry::read(&self.format, &line)))
            })
    }

    fn parameters(&self) -> LogParams {
        LogParams { container: self.container.clone(), ..LogParams::default() }
    }

    /// The log of the last `since`.
    fn last(&self, since: Duration) -> LogParams {
        LogParams { since_seconds: Some(seconds(since)), ..self.parameters() }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// The entries of these ids among what comes until all of them are found or the time is up.
async fn look_up(
    ids: &[String],
    mut entries: impl Stream<Item = AccessLogEntry> + Unpin,
    within: Duration,
) -> BTreeMap<String, AccessLogEntry> {
    let mut missing: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let mut found = BTreeMap::new();
    let all = async {
        while !missing.is_empty()
            && let Some(entry) = entries.next().await
        {
            for id in [Some(&entry.request_id), entry.sent_as.as_ref()].into_iter().flatten() {
                if missing.remove(id.as_str()) {
                    found.insert(id.clone(), entry.clone());
                }
            }
        }
    };
    // Time running out is not an error: what was found so far is what there is.
    let _ = timeout(within, all).await;
    found
}

/// Whole seconds, rounded up: the API takes no less than one.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000).max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, sent_as: Option<&str>) -> AccessLogEntry {
        let sent_as = sent_as.map(str::to_owned);
        AccessLogEntry { request_id: id.into(), sent_as, ..AccessLogEntry::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn entries_are_found_by_id_or_name_in_whichever_log_they_are() {
        let wanted = ["id-1".to_owned(), "name-2".to_owned()];
        let one = stream::iter([entry("other", None), entry("id-1", Some("name-1"))]).boxed();
        let two = stream::iter([entry("id-2", Some("name-2"))]).boxed();
        // The log of a proxy whose node is gone.
        let never = stream::pending().boxed();
        let found = look_up(&wanted, select_all([never, one, two]), Duration::MAX).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["id-1", "name-2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_log_holds_in_time_is_missing() {
        let wanted = ["id-1".to_owned(), "id-2".to_owned()];
        let entries = stream::iter([entry("id-1", None)]).chain(stream::pending()).boxed();
        let found = look_up(&wanted, entries, Duration::from_secs(5)).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["id-1"]);
    }

    #[test]
    fn time_is_given_to_the_api_in_whole_seconds_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
        assert_eq!(seconds(Duration::ZERO), 1);
    }
}
