//! [`Objects`] over the real API server.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, future};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::cluster::{Provider, namespaces};
use crate::ports::{Applied, ObjectRef, Objects, PortError, PortFuture, Query};
use crate::scenario::kinds::Kind;

/// Field manager of everything the scenarios apply.
const MANAGER: &str = "meshproof";
/// How long an object is offered again to a server that says it is not ready for it: a webhook whose pod is coming up, a
/// kind that was defined a moment ago.
const PATIENCE: Duration = Duration::from_secs(15);

/// The API server's objects.
#[derive(Clone)]
pub struct KubeObjects {
    client: Client,
    provider: Provider,
}

impl KubeObjects {
    /// Over this client, of a cluster of this provider.
    pub fn new(client: Client, provider: Provider) -> Self {
        Self { client, provider }
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>, version: Option<&str>) -> Api<DynamicObject> {
        let version = version.unwrap_or(kind.version);
        let api_version =
            if kind.group.is_empty() { version.to_owned() } else { format!("{}/{version}", kind.group) };
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.kind.to_owned(),
            plural: kind.plural.to_owned(),
        };
        match namespace.filter(|_| kind.namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Whether there is such an object. There is none of a kind that is not defined.
    pub(crate) async fn exists(&self, id: &ObjectRef) -> kube::Result<bool> {
        Ok(self.of(id).get_metadata_opt(&id.name).await?.is_some())
    }

    fn of(&self, id: &ObjectRef) -> Api<DynamicObject> {
        self.api(id.kind, id.namespace.as_deref(), None)
    }
}

/// Whether the same request may do better in a moment.
fn transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429 || status.code == 404,
        _ => false,
    }
}

fn port_error(doing: &str, id: &ObjectRef, error: &kube::Error) -> PortError {
    match error {
        kube::Error::Api(status) => PortError::new(
            format!("{doing} {id}"),
            format!("{} ({} {})", status.message, status.code, status.reason),
        ),
        other => PortError::new(format!("{doing} {id}"), other),
    }
}

impl Objects for KubeObjects {
    fn apply<'a>(&'a self, id: &'a ObjectRef, object: &'a Value) -> PortFuture<'a, Applied> {
        async move {
            let version = object["apiVersion"].as_str().map(|v| v.rsplit('/').next().unwrap_or(v));
            let api = self.api(id.kind, id.namespace.as_deref(), version);
            let params = PatchParams::apply(MANAGER).force();
            let deadline = Instant::now() + PATIENCE;
            let mut pace = interval(Duration::from_millis(200));
            loop {
                pace.tick().await;
                let tried = async {
                    let before = api.get_metadata_opt(&id.name).await?;
                    api.patch(&id.name, &params, &Patch::Apply(object)).await?;
                    Ok::<_, kube::Error>(if before.is_some() {
                        Applied::Configured
                    } else {
                        Applied::Created
                    })
                };
                match tried.await {
                    Ok(applied) => return Ok(applied),
                    Err(error) if transient(&error) && Instant::now() < deadline => {
                        tracing::debug!(%id, %error, "offering the object again");
                    }
                    Err(error) => return Err(port_error("applying", id, &error)),
                }
            }
        }
        .boxed()
    }

    fn patch<'a>(&'a self, id: &'a ObjectRef, patch: &'a Value) -> PortFuture<'a, Value> {
        async move {
            let api = self.of(id);
            let before = api.get(&id.name).await.map_err(|error| port_error("reading", id, &error))?;
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            let patched = api.patch(&id.name, &params, &Patch::Merge(patch)).await;
            patched.map_err(|error| port_error("patching", id, &error))?;
            serde_json::to_value(before).map_err(|error| PortError::new(format!("reading {id}"), error))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, id: &'a ObjectRef) -> PortFuture<'a, bool> {
        async move {
            match self.of(id).delete(&id.name, &DeleteParams::background()).await {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
                Err(error) => Err(port_error("deleting", id, &error)),
            }
        }
        .boxed()
    }

    fn end_pods<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, ()> {
        async move {
            let ended = namespaces::end_pods(&self.client, namespace).await;
            ended.map_err(|error| PortError::new("removing a namespace", error))
        }
        .boxed()
    }

    fn finish<'a>(&'a self, namespaces: &'a [String]) -> PortFuture<'a, ()> {
        namespaces::finish(&self.client, self.provider, namespaces).map(Ok).boxed()
    }

    fn observe(&self, query: &Query) -> BoxStream<'static, Result<Vec<Value>, PortError>> {
        let api = self.api(query.kind, query.namespace.as_deref(), None);
        let config = match &query.name {
            Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
            None => watcher::Config::default(),
        };
        let doing = match &query.namespace {
            Some(namespace) => format!("watching {} in {namespace}", query.kind.plural),
            None => format!("watching {}", query.kind.plural),
        };
        let set = Set::default();
        watcher(api, config)
            .default_backoff()
            .scan(set, move |set, event| {
                let item = match event {
                    Ok(event) => set.take(event).map(Ok),
                    Err(error) => Some(Err(PortError::new(doing.clone(), error))),
                };
                future::ready(Some(item))
            })
            .filter_map(future::ready)
            .boxed()
    }
}

/// The objects of a watch, complete from the end of each list on.
#[derive(Default)]
struct Set {
    objects: BTreeMap<String, Value>,
    listing: bool,
}

impl Set {
    /// Takes an event; returns the complete set if it can be relied on.
    fn take(&mut self, event: watcher::Event<DynamicObject>) -> Option<Vec<Value>> {
        use watcher::Event;
        match event {
            Event::Init => {
                self.objects.clear();
                self.listing = true;
            }
            Event::InitDone => self.listing = false,
            Event::InitApply(object) | Event::Apply(object) => {
                if let Ok(value) = serde_json::to_value(&object) {
                    self.objects.insert(key(&object), value);
                }
            }
            Event::Delete(object) => {
                self.objects.remove(&key(&object));
            }
        }
        (!self.listing).then(|| self.objects.values().cloned().collect())
    }
}

fn key(object: &DynamicObject) -> String {
    let metadata = &object.metadata;
    format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use watcher::Event;

    fn object(name: &str) -> DynamicObject {
        let kind = Kind::by_word("pod").unwrap();
        let resource = ApiResource {
            group: kind.group.into(),
            version: kind.version.into(),
            api_version: kind.version.into(),
            kind: kind.kind.into(),
            plural: kind.plural.into(),
        };
        DynamicObject::new(name, &resource)
    }

    #[test]
    fn a_list_is_shown_only_when_it_is_complete() {
        let mut set = Set::default();
        assert!(set.take(Event::Init).is_none());
        assert!(set.take(Event::InitApply(object("a"))).is_none());
        assert_eq!(set.take(Event::InitDone).unwrap().len(), 1);
        assert_eq!(set.take(Event::Apply(object("b"))).unwrap().len(), 2);
        assert_eq!(set.take(Event::Delete(object("a"))).unwrap().len(), 1);
        assert!(set.take(Event::Init).is_none());
        assert_eq!(set.take(Event::InitDone).unwrap().len(), 0, "what a new list does not hold is gone");
    }
}
