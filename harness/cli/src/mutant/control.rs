//! Controls: what shows that a mutation is active, so that a mutant which never acted is not taken for one that nobody
//! noticed, nor for one that was caught.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::time::timeout;

use meshproof_model::scenario::kinds::Kind;
use meshproof_run::matching::differences;
use meshproof_run::ports::{Objects, Query};

/// How long the cluster is asked about one control.
const LIMIT: Duration = Duration::from_secs(10);

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// Pods with these labels say this in a log of theirs, also in that of a container that has ended since.
    Log {
        /// Their namespace.
        namespace: String,
        /// Their labels.
        selector: String,
        /// The text.
        says: String,
    },
    /// An object holds these fields.
    Object {
        /// Its kind.
        kind: &'static Kind,
        /// Its namespace, unless it has none.
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// What it must hold: see [`meshproof_run::matching`].
        holds: Value,
    },
    /// There is no such object.
    Absent {
        /// Its kind.
        kind: &'static Kind,
        /// Its namespace, unless it has none.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
}

/// Asks the cluster about all of these; why the first that does not hold does not.
///
/// # Errors
/// What was looked for, and what was seen.
pub async fn check(controls: &[Control], client: &Client, objects: &dyn Objects) -> Result<(), String> {
    for control in controls {
        let asked = timeout(LIMIT, ask(control, client, objects)).await;
        asked.unwrap_or_else(|_| {
            Err(format!("the cluster did not say within {LIMIT:?} whether it is active"))
        })?;
    }
    Ok(())
}

async fn ask(control: &Control, client: &Client, objects: &dyn Objects) -> Result<(), String> {
    match control {
        Control::Log { namespace, selector, says } => log(client, namespace, selector, says).await,
        Control::Object { kind, namespace, name, holds } => {
            let Some(object) = object(objects, kind, namespace.as_ref(), name).await? else {
                return Err(format!("there is no {}/{name}", kind.word));
            };
            let differences = differences(holds, &object);
            match differences.is_empty() {
                true => Ok(()),
                false => Err(format!("in {}/{name}, {}", kind.word, differences.join("; "))),
            }
        }
        Control::Absent { kind, namespace, name } => {
            match object(objects, kind, namespace.as_ref(), name).await? {
                None => Ok(()),
                Some(_) => Err(format!("there is a {}/{name}", kind.word)),
            }
        }
    }
}

async fn object(
    objects: &dyn Objects,
    kind: &'static Kind,
    namespace: Option<&String>,
    name: &str,
) -> Result<Option<Value>, String> {
    let query = Query { kind, namespace: namespace.cloned(), name: Some(name.to_owned()) };
    match objects.observe(&query).next().await {
        Some(Ok(all)) => Ok(all.into_iter().next()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("nothing was said about {}/{name}", kind.word)),
    }
}

async fn log(client: &Client, namespace: &str, selector: &str, says: &str) -> Result<(), String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default().labels(selector)).await;
    let list = list.map_err(|error| format!("listing the pods {selector} in {namespace}: {error}"))?;
    let mut read = 0;
    for pod in &list {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        for status in statuses {
            // A program that ended on purpose has said so before.
            for previous in [false, true].into_iter().filter(|previous| !previous || status.restart_count > 0)
            {
                let parameters =
                    LogParams { container: Some(status.name.clone()), previous, ..LogParams::default() };
                let Ok(text) = pods.logs(&pod.name_any(), &parameters).await else { continue };
                read += 1;
                if text.contains(says) {
                    return Ok(());
                }
            }
        }
    }
    Err(format!("no log of the pods {selector} in {namespace} says `{says}` ({read} read)"))
}
