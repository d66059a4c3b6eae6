//! Watches: one task for each kind, all feeding one channel.

use crate::request::is_refusal;
use crate::world::{Change, Scope, Watched};
use alb_api::names;
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::core::Status;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Objects asked for at once during a list: the peak of memory, not the number of requests, is what counts.
const PAGE_SIZE: u32 = 100;

/// Starts a watch of every kind but those of which only single objects are looked at. The tasks end when the receiver is dropped, or with the returned set.
pub fn spawn(client: &kube::Client, changes: &mpsc::Sender<Change>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for kind in Watched::ALL.into_iter().filter(|kind| kind.scope() != Scope::Referenced) {
        tasks.spawn(watch(kind, client.clone(), changes.clone()));
    }
    tasks
}

async fn watch(kind: Watched, client: kube::Client, changes: mpsc::Sender<Change>) {
    let resource = kind.resource();
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    let (api, config): (Api<DynamicObject>, _) = match kind.scope() {
        Scope::Cluster | Scope::Referenced => (Api::all_with(client, &resource), config),
        Scope::DataPlane => (Api::namespaced_with(client, names::DATA_PLANE_NAMESPACE, &resource), config),
        Scope::One(namespace, name) => (
            Api::namespaced_with(client, namespace, &resource),
            config.fields(&format!("metadata.name={name}")),
        ),
    };
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let events = match event {
            Ok(event) => vec![event],
            Err(error) => {
                tracing::warn!(%error, resource = resource.plural, "watch interrupted; it will be resumed");
                // A kind that the cluster does not have: it may be installed later.
                match refusal(&error) {
                    Some(status) if status.code == 404 && kind.is_optional() => {
                        vec![Event::Init, Event::InitDone]
                    }
                    _ => continue,
                }
            }
        };
        for event in events {
            if changes.send(Change { kind, event }).await.is_err() {
                return;
            }
        }
    }
}

/// The API server's word, when it understood a request and will not serve it: trying again helps only after something
/// else has changed.
pub(crate) fn refusal(error: &watcher::Error) -> Option<&Status> {
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        _ => return None,
    };
    match error {
        kube::Error::Api(status) if is_refusal(status) => Some(status),
        _ => None,
    }
}
