//! Watches: one task for each kind, all feeding one channel.

use crate::request::is_refusal;
use crate::world::{Change, Scope, Watched};
use alb_api::names;
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, Status};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Objects asked for at once during a list: the peak of memory, not the number of requests, is what counts.
pub(crate) const PAGE_SIZE: u32 = 100;
/// When to look again for a kind that the cluster does not have.
const MISSING: Duration = Duration::from_secs(10);

/// Starts a watch of every kind but those of which only single objects are looked at. The tasks end when the receiver is dropped, or with the returned set.
pub fn spawn(client: &kube::Client, changes: &mpsc::Sender<Change>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for kind in Watched::ALL.into_iter().filter(|kind| kind.scope() != Scope::Referenced) {
        tasks.spawn(watch(kind, client.clone(), changes.clone()));
    }
    tasks
}

/// Watches a kind under the first of its resources that the cluster serves.
async fn watch(kind: Watched, client: kube::Client, changes: mpsc::Sender<Change>) {
    let resources = kind.resources();
    loop {
        for resource in &resources {
            if !watch_resource(kind, resource, client.clone(), &changes).await {
                return;
            }
        }
        // It may be installed later; what need not be there need not be waited for.
        if kind.is_optional() {
            for event in [Event::Init, Event::InitDone] {
                if changes.send(Change { kind, event }).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(MISSING).await;
    }
}

/// Returns whether to go on, because the cluster does not serve this resource.
async fn watch_resource(
    kind: Watched,
    resource: &ApiResource,
    client: kube::Client,
    changes: &mpsc::Sender<Change>,
) -> bool {
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    let (api, config): (Api<DynamicObject>, _) = match kind.scope() {
        Scope::Cluster | Scope::Referenced => (Api::all_with(client, resource), config),
        Scope::DataPlane => (Api::namespaced_with(client, names::DATA_PLANE_NAMESPACE, resource), config),
        Scope::One(namespace, name) => (
            Api::namespaced_with(client, namespace, resource),
            config.fields(&format!("metadata.name={name}")),
        ),
    };
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if changes.send(Change { kind, event }).await.is_err() {
                    return false;
                }
            }
            Err(error) => {
                if refusal(&error).is_some_and(|status| status.code == 404) {
                    let ApiResource { api_version, plural, .. } = resource;
                    tracing::debug!(api_version, plural, "the cluster does not serve this");
                    return true;
                }
                tracing::warn!(%error, resource = resource.plural, "watch interrupted; it will be resumed");
            }
        }
    }
    false
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
