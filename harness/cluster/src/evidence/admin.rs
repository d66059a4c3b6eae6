//! What the implementation's own programs say of themselves: world, configuration, metrics, readiness.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use kube::Client;
use serde_json::Value;

use super::{folder::Folder, in_parallel};
use meshproof_run::diagnosis::Facts;

/// Port of every program's admin interface.
const PORT: u16 = 8081;

/// A program that has not answered by then hangs, which is told.
const PATIENCE: Duration = Duration::from_secs(3);

/// Questions every program answers, or answers with 404.
const QUESTIONS: &[(&str, &str)] = &[
    ("debug/world", "world.json"),
    ("debug/config", "config.json"),
    ("readyz", "readyz.txt"),
    ("metrics", "metrics.txt"),
];

/// A page; nothing if the program has none of that name; or why it cannot be had.
type Answer = Result<Option<String>, String>;

pub(super) async fn collect(client: &Client, namespaces: &[String], facts: &Facts, folder: &mut Folder) {
    let pods = running(facts, namespaces);
    let mut questions: Vec<BoxFuture<'_, (String, Answer)>> = Vec::new();
    for (namespace, pod) in &pods {
        for (question, file) in QUESTIONS {
            let path = format!("admin/{pod}/{file}");
            questions.push(async move { (path, ask(client, namespace, pod, question).await) }.boxed());
        }
    }
    let mut asking = in_parallel(questions);
    while let Some((path, answer)) = asking.next().await {
        match answer {
            Ok(Some(text)) => folder.write(&path, &text),
            Ok(None) => {}
            Err(reason) => folder.missing(format!("{path}: {reason}")),
        }
    }
}

/// Asks through the API server's proxy; `None` when the program has no such page.
async fn ask(client: &Client, namespace: &str, pod: &str, question: &str) -> Answer {
    let uri = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{PORT}/proxy/{question}");
    let request = http::Request::get(uri).body(Vec::new()).map_err(|error| error.to_string())?;
    match tokio::time::timeout(PATIENCE, client.request_text(request)).await {
        Ok(Ok(text)) => Ok(Some(text)),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
        // A program that is not ready answers 503, with its blockers as text.
        Ok(Err(kube::Error::Api(status))) if question == "readyz" => Ok(Some(status.message)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}

/// Namespace and name of the running pods of these namespaces.
fn running(facts: &Facts, namespaces: &[String]) -> Vec<(String, String)> {
    facts
        .list("pods")
        .iter()
        .filter(|pod: &&Value| pod["status"]["phase"] == "Running")
        .filter_map(|pod| {
            let namespace = pod["metadata"]["namespace"].as_str()?;
            let name = pod["metadata"]["name"].as_str()?;
            namespaces.iter().any(|own| own == namespace).then(|| (namespace.to_string(), name.to_string()))
        })
        .collect()
}
