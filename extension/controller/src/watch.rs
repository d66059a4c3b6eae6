//! Watches: one task for each kind, all feeding one channel.

use crate::world::{Change, Scope, Watched};
use alb_api::names;
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Objects asked for at once during a list: the peak of memory, not the number of requests, is what counts.
const PAGE_SIZE: u32 = 100;

/// Starts a watch of every kind. The tasks end when the receiver is dropped, or with the returned set.
pub fn spawn(client: &kube::Client, changes: &mpsc::Sender<Change>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for kind in Watched::ALL {
        tasks.spawn(watch(kind, client.clone(), changes.clone()));
    }
    tasks
}

async fn watch(kind: Watched, client: kube::Client, changes: mpsc::Sender<Change>) {
    let resource = kind.resource();
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    let (api, config): (Api<DynamicObject>, _) = match kind.scope() {
        Scope::Cluster => (Api::all_with(client, &resource), config),
        Scope::DataPlane => (Api::namespaced_with(client, names::DATA_PLANE_NAMESPACE, &resource), config),
        Scope::One(namespace, name) => (
            Api::namespaced_with(client, namespace, &resource),
            config.fields(&format!("metadata.name={name}")),
        ),
    };
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if changes.send(Change { kind, event }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, resource = resource.plural, "watch interrupted; it will be resumed");
            }
        }
    }
}
