//! The logs of the proxies that live, and how far back they reach: the container runtime begins a new file when the one
//! before is full, and the API server gives the last one only.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{ListParams, LogParams},
};

use super::ProxyLogs;
use crate::probe::ProbeError;
use meshproof_lab::cluster::api::pod_is_ready;
use meshproof_model::implementation::LogFormat;
use meshproof_run::probe::AccessLogEntry;

/// How long a proxy that starts may take until it writes its first line. Too short for a log to be full.
const FIRST_LINE: Duration = Duration::from_secs(10);

/// What a proxy that is Ready has written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LivingLog {
    /// Its pod.
    pub pod: String,
    /// Since when its container runs, in whole seconds.
    pub started: Option<Timestamp>,
    /// When the oldest line of any kind was written that can still be read.
    pub oldest: Option<Timestamp>,
    /// Its entries.
    pub entries: Vec<AccessLogEntry>,
}

impl LivingLog {
    /// Why this log does not hold everything that the proxy has written since `began`; nothing if it does. A proxy that
    /// was started anew in between has no more to tell than what it wrote since then.
    pub fn gap(&self, began: Timestamp) -> Option<String> {
        let Self { pod, started, oldest, .. } = self;
        let Some(started) = started else {
            return Some(format!("{pod} does not say since when its container runs"));
        };
        let Some(oldest) = oldest else {
            return Some(format!("{pod} has written nothing at all"));
        };
        let first_line = *started + SignedDuration::try_from(FIRST_LINE).unwrap_or_default();
        (*oldest > began.max(first_line)).then(|| {
            format!(
                "the log of {pod}, which runs since {started}, reaches back to {oldest} only, not to {began}"
            )
        })
    }

    /// Reads a log whose lines begin with the times at which they were written.
    fn read(pod: &Pod, text: &str, format: &LogFormat) -> Self {
        let lines = || text.lines().filter_map(|line| line.split_once(' '));
        let written = |(time, _): (&str, &str)| time.parse::<Timestamp>().ok();
        Self {
            pod: pod.name_any(),
            started: started(pod),
            oldest: lines().find_map(written),
            entries: lines().filter_map(|(_, line)| AccessLogEntry::read(format, line)).collect(),
        }
    }
}

impl ProxyLogs {
    /// The logs of those proxies that are Ready: nobody can ask one whose node is gone.
    ///
    /// # Errors
    /// When the pods cannot be listed, or one of them does not give its log.
    pub async fn of_the_living(&self) -> Result<Vec<LivingLog>, ProbeError> {
        let doing = |what: &str| format!("{what} {} in {}", self.selector, self.namespace);
        let list = self.api().list(&ListParams::default().labels(&self.selector)).await;
        let list = list.map_err(|error| ProbeError::kubernetes(doing("listing proxy pods"), error))?;
        let (api, parameters) = (&self.api(), &LogParams { timestamps: true, ..self.parameters() });
        let logs = list.items.iter().filter(|pod| pod_is_ready(pod)).map(|pod| async move {
            let text = api.logs(&pod.name_any(), parameters).await?;
            Ok(LivingLog::read(pod, &text, &self.format))
        });
        let logs = try_join_all(logs).await;
        logs.map_err(|error| ProbeError::kubernetes(doing("reading the logs of pods"), error))
    }
}

/// When the youngest of a pod's containers was started.
fn started(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let running =
        containers.filter_map(|container| container.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    running.filter_map(|time| Timestamp::from_second(time.0.as_second()).ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = include_str!("../../../../../fixtures/recorded/access-log-200.json");

    fn at(time: &str) -> Timestamp {
        format!("2026-11-23T{time}Z").parse().unwrap()
    }

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "alb-proxy-x"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "proxy", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                    "state": {"running": {"startedAt": "2026-11-23T12:00:00Z"}}
                }]
            }
        }))
        .unwrap()
    }

    fn log(started: &str, oldest: &str) -> LivingLog {
        let (started, oldest) = (Some(at(started)), Some(at(oldest)));
        LivingLog { pod: "alb-proxy-x".into(), started, oldest, entries: Vec::new() }
    }

    #[test]
    fn a_log_tells_when_its_lines_were_written() {
        let text = format!(
            "2026-11-23T12:00:01.25Z {{\"level\":\"INFO\"}}\n2026-11-23T12:00:09.5Z {}\n",
            LINE.trim()
        );
        let log = LivingLog::read(&pod(), &text, &LogFormat::Alb);
        assert_eq!((log.started, log.oldest), (Some(at("12:00:00")), Some(at("12:00:01.25"))));
        assert_eq!(log.entries.iter().map(|entry| entry.status).collect::<Vec<_>>(), [200]);
        assert!(pod_is_ready(&pod()));
        assert_eq!(log.gap(at("12:00:05")), None);
    }

    #[test]
    fn a_log_whose_beginning_is_gone_has_a_gap() {
        assert_eq!(log("11:00:00", "11:59:00").gap(at("12:00:00")), None);
        let gap = log("11:00:00", "12:00:30").gap(at("12:00:00")).unwrap();
        assert!(
            gap.contains("reaches back to 2026-11-23T12:00:30Z only, not to 2026-11-23T12:00:00Z"),
            "{gap}"
        );
    }

    #[test]
    fn a_proxy_that_was_started_anew_has_a_log_from_then_on() {
        assert_eq!(log("12:00:20", "12:00:21.5").gap(at("12:00:00")), None);
        assert!(
            log("12:00:20", "12:01:00").gap(at("12:00:00")).is_some(),
            "its first lines are gone as well"
        );
    }

    #[test]
    fn a_proxy_of_which_nothing_is_known_has_told_nothing() {
        let nothing = LivingLog { started: Some(at("11:00:00")), ..LivingLog::default() };
        assert!(nothing.gap(at("12:00:00")).is_some());
        let ageless = LivingLog { started: None, ..log("11:00:00", "11:00:00") };
        assert!(ageless.gap(at("12:00:00")).is_some());
    }
}
