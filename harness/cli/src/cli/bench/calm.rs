//! The calm in which a measurement begins: nothing is left over from its preparation that would take the processors from
//! whichever gateway happens to be measured then.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use meshproof_lab::cluster::api::{ApiError, get, pod_is_ready, request};

/// All pods started or gone.
const SETTLED: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Waits until every pod of the cluster is ready and none is being removed, and has the API server collect its garbage, which
/// takes both processors of a small machine for half a second.
///
/// # Errors
/// A pod is neither ready nor gone in time, or the API server refuses.
pub(super) async fn wait(client: &Client) -> Result<(), ApiError> {
    let api: Api<Pod> = Api::all(client.clone());
    let since = Instant::now();
    loop {
        let pods = api.list(&ListParams::default()).await.map_err(request("listing pods"))?;
        let Some(seen) = pods.iter().find_map(unsettled) else { break };
        if since.elapsed() > SETTLED {
            let doing = "waiting until no pod is starting or stopping".to_owned();
            return Err(ApiError::Late { doing, limit: SETTLED, seen });
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    get(client, "/debug/pprof/heap?gc=1&debug=1").await
}

/// Which pod is starting or stopping, if this one is.
fn unsettled(pod: &Pod) -> Option<String> {
    let name = || format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(format!("{} is being removed", name()));
    }
    let is_over = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
    (!is_over && !pod_is_ready(pod)).then(|| format!("{} is not ready", name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(change: &serde_json::Value) -> Option<String> {
        let mut pod = json!({
            "metadata": {"namespace": "ns", "name": "pod"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (path, value) in change.as_object().unwrap() {
            pod[path.split('.').next().unwrap()][path.split('.').nth(1).unwrap()] = value.clone();
        }
        unsettled(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_that_runs_or_has_done_its_work_is_no_reason_to_wait() {
        assert_eq!(seen(&json!({})), None);
        assert_eq!(seen(&json!({"status.phase": "Succeeded", "status.conditions": []})), None);
    }

    #[test]
    fn a_pod_that_starts_or_stops_is() {
        let starting = json!({"status.conditions": [{"type": "Ready", "status": "False"}]});
        assert_eq!(seen(&starting).unwrap(), "ns/pod is not ready");
        assert_eq!(seen(&json!({"status.conditions": []})).unwrap(), "ns/pod is not ready");
        let stopping = json!({"metadata.deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(seen(&stopping).unwrap(), "ns/pod is being removed");
    }
}
