//! Logs of every container of the pods concerned, init containers and previous instances included.

use futures::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use serde_json::Value;

use super::{QUESTION, folder::Folder, in_parallel};
use meshproof_run::diagnosis::{self, Facts};

/// Lines from the end of each log.
const LINES: i64 = 5_000;

/// Lines from the end of each log that the diagnosis looks at.
const DIAGNOSED: usize = 1_000;

/// One log to read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Log {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
}

impl Log {
    fn path(&self) -> String {
        let previous = if self.previous { ".previous" } else { "" };
        format!("logs/{}/{}/{}{previous}.log", self.namespace, self.pod, self.container)
    }

    /// Its last lines, for the diagnosis.
    fn end(&self, text: &str) -> diagnosis::Log {
        let mut lines: Vec<String> = text.lines().rev().take(DIAGNOSED).map(str::to_owned).collect();
        lines.reverse();
        diagnosis::Log {
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            container: self.container.clone(),
            lines,
        }
    }
}

/// Writes every log, and adds the end of each to the facts for the diagnosis: one by one, for time may run out.
pub(super) async fn collect(client: &Client, facts: &mut Facts, folder: &mut Folder) {
    let logs: Vec<Log> = facts.list("pods").iter().flat_map(logs_of).collect();
    let mut questions: Vec<BoxFuture<'_, (&Log, Result<String, String>)>> = Vec::new();
    for log in &logs {
        questions.push(async move { (log, read(client, log).await) }.boxed());
    }
    let mut reading = in_parallel(questions);
    while let Some((log, text)) = reading.next().await {
        match text {
            Ok(text) => {
                folder.write(&log.path(), &text);
                facts.logs.extend((!log.previous).then(|| log.end(&text)));
            }
            Err(reason) => folder.missing(format!("{}: {reason}", log.path())),
        }
    }
}

async fn read(client: &Client, log: &Log) -> Result<String, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &log.namespace);
    let parameters = LogParams {
        container: Some(log.container.clone()),
        previous: log.previous,
        tail_lines: Some(LINES),
        timestamps: true,
        ..LogParams::default()
    };
    match tokio::time::timeout(QUESTION, pods.logs(&log.pod, &parameters)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}

/// The logs a pod has: of containers that run or ran, and of their previous instances.
fn logs_of(pod: &Value) -> Vec<Log> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten();
    let mut logs = Vec::new();
    for status in statuses {
        let container = status["name"].as_str().unwrap_or_default().to_string();
        let log = |previous| Log {
            namespace: namespace.clone(),
            pod: name.clone(),
            container: container.clone(),
            previous,
        };
        // A container that still waits for its first start has written nothing.
        if status["state"]["waiting"].is_null() || status["restartCount"].as_u64().unwrap_or_default() > 0 {
            logs.push(log(false));
        }
        if !status["lastState"]["terminated"].is_null() {
            logs.push(log(true));
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_container_that_ran_has_a_log_and_restarted_ones_two() {
        let pod = json!({
            "metadata": {"namespace": "ns", "name": "p"},
            "status": {
                "initContainerStatuses": [{"name": "istio-init", "restartCount": 0, "state": {"terminated": {}}, "lastState": {}}],
                "containerStatuses": [
                    {"name": "app", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                     "lastState": {"terminated": {"exitCode": 1}}},
                    {"name": "late", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}, "lastState": {}}
                ]
            }
        });
        let paths: Vec<String> = logs_of(&pod).iter().map(Log::path).collect();
        assert_eq!(paths, ["logs/ns/p/istio-init.log", "logs/ns/p/app.log", "logs/ns/p/app.previous.log"]);
    }

    #[test]
    fn the_diagnosis_gets_the_end_of_a_log() {
        let log = Log { namespace: "ns".into(), pod: "p".into(), container: "c".into(), previous: false };
        let text: String = (0..DIAGNOSED + 2).map(|line| format!("{line}\n")).collect();
        let end = log.end(&text);
        assert_eq!((end.lines.len(), end.lines[0].as_str()), (DIAGNOSED, "2"));
    }

    #[test]
    fn a_pod_without_statuses_has_no_logs() {
        assert!(logs_of(&json!({"metadata": {"name": "p"}})).is_empty());
    }
}
