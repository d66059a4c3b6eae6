//! [`Objects`] over the real API server.

mod kinds;
mod offer;
mod refusal;

use std::collections::BTreeMap;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, future};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

use meshproof_lab::cluster::{namespaces, owner};
use meshproof_model::provider::Provider;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::object::ObjectRef;
use meshproof_run::ports::{Applied, Deleted, Objects, PortError, PortFuture, Query, Whose};

/// The API server's objects.
#[derive(Clone)]
pub struct KubeObjects {
    client: Client,
    provider: Provider,
    run: String,
    told: kinds::Told,
}

impl KubeObjects {
    /// Over this client, of a cluster of this provider, for the run of this id.
    pub fn new(client: Client, provider: Provider, run: &str) -> Self {
        Self { client, provider, run: run.to_owned(), told: kinds::Told::default() }
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>, version: Option<&str>) -> Api<DynamicObject> {
        let resource = self.told.resource(kind, version);
        match namespace.filter(|_| kind.namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// What there is of such an object. There is none of a kind that is not defined.
    pub(crate) async fn metadata(&self, id: &ObjectRef) -> kube::Result<Option<ObjectMeta>> {
        if self.told.ask(&self.client, id.kind).await.is_err()
            && self.told.is_unknown(&self.client, id.kind).await
        {
            return Ok(None);
        }
        match self.of(id).get_metadata(&id.name).await {
            Ok(found) => Ok(Some(found.metadata)),
            // Of the object, or of its kind: then the answer is no status that could be read, but for its code.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the object is in a namespace that a run of meshproof, or `up`, has made.
    async fn is_within(&self, id: &ObjectRef) -> kube::Result<bool> {
        let Some(namespace) = &id.namespace else { return Ok(false) };
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_metadata_opt(namespace).await?;
        Ok(found.is_some_and(|namespace| owner::run_of(&namespace.metadata).is_some()))
    }

    /// Why an object is not the one that is meant; nothing if it is.
    async fn other(
        &self,
        id: &ObjectRef,
        found: &ObjectMeta,
        whose: Whose<'_>,
    ) -> kube::Result<Option<String>> {
        let run = owner::run_of(found);
        let left = |why: &str| Ok(Some(format!("{id} is left alone: {why}")));
        match whose {
            Whose::Made(uid) if found.uid.as_deref() != Some(uid) => {
                left("it is another one than this run made, of the same name")
            }
            Whose::Made(_) if run != Some(self.run.as_str()) => {
                left(&format!("somebody has taken the label {} from it, and made it theirs", owner::LABEL))
            }
            Whose::Marked if run.is_none() => {
                left(&format!("it has no label {}, so no run of meshproof made it", owner::LABEL))
            }
            Whose::Within if run.is_none() && !self.is_within(id).await? => {
                left("neither it nor its namespace was made by meshproof")
            }
            _ => Ok(None),
        }
    }

    /// Deletes what was found, and nothing else that may have taken its place.
    async fn delete_found(&self, id: &ObjectRef, uid: &str) -> Result<Deleted, PortError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(preconditions);
        match self.of(id).delete(&id.name, &params).await {
            Ok(_) => Ok(Deleted::Going(uid.to_owned())),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Deleted::NotThere),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Ok(Deleted::Left(format!("{id} is left alone: it was replaced a moment ago")))
            }
            Err(error) => Err(port_error("deleting", id, &error)),
        }
    }

    fn of(&self, id: &ObjectRef) -> Api<DynamicObject> {
        self.api(id.kind, id.namespace.as_deref(), None)
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
        self.offer(id, object).boxed()
    }

    fn patch<'a>(&'a self, id: &'a ObjectRef, patch: &'a Value) -> PortFuture<'a, Value> {
        async move {
            self.told.ask(&self.client, id.kind).await?;
            let api = self.of(id);
            let before = api.get(&id.name).await.map_err(|error| port_error("reading", id, &error))?;
            if self.provider == Provider::Existing {
                let other = self.other(id, &before.metadata, Whose::Within).await;
                if let Some(why) = other.map_err(|error| port_error("reading", id, &error))? {
                    return Err(PortError::new(format!("patching {id}"), why).next(
                        "nothing of somebody else's is changed on a cluster that is not meshproof's own",
                    ));
                }
            }
            let params = PatchParams { field_manager: Some(owner::MANAGER.into()), ..PatchParams::default() };
            let patched = api.patch(&id.name, &params, &Patch::Merge(patch)).await;
            patched.map_err(|error| port_error("patching", id, &error))?;
            serde_json::to_value(before).map_err(|error| PortError::new(format!("reading {id}"), error))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, id: &'a ObjectRef, whose: Whose<'a>) -> PortFuture<'a, Deleted> {
        async move {
            let reading = |error| port_error("reading", id, &error);
            if self.told.is_unknown(&self.client, id.kind).await {
                return Ok(Deleted::NotThere);
            }
            self.told.ask(&self.client, id.kind).await?;
            let Some(found) = self.metadata(id).await.map_err(reading)? else { return Ok(Deleted::NotThere) };
            let reading = |error| port_error("reading", id, &error);
            if let Some(why) = self.other(id, &found, whose).await.map_err(reading)? {
                return Ok(Deleted::Left(why));
            }
            if id.kind.word == "namespace" && found.deletion_timestamp.is_none() {
                let strangers = owner::strangers(&self.client, &id.name).await;
                let strangers = strangers.map_err(|error| PortError::new(format!("deleting {id}"), error))?;
                if !strangers.is_empty() {
                    return Ok(Deleted::Left(owner::holds(&id.name, &strangers)));
                }
            }
            self.delete_found(id, &found.uid.unwrap_or_default()).await
        }
        .boxed()
    }

    fn adopt<'a>(&'a self, id: &'a ObjectRef) -> PortFuture<'a, Option<String>> {
        async move {
            let failed = |error| port_error("labelling", id, &error);
            let Some(found) = self.metadata(id).await.map_err(failed)? else { return Ok(None) };
            let (uid, run) = (found.uid.clone().unwrap_or_default(), owner::run_of(&found));
            if let Some(run) = run {
                return Ok((run == self.run).then_some(uid));
            }
            // Only the one that was found: a patch of another uid is refused.
            let patch = json!({"metadata": {"uid": uid, "labels": {owner::LABEL: self.run}}});
            let params = PatchParams { field_manager: Some(owner::MANAGER.into()), ..PatchParams::default() };
            let failed = |error| port_error("labelling", id, &error);
            match self.of(id).patch_metadata(&id.name, &params, &Patch::Merge(patch)).await {
                Ok(_) => Ok(Some(uid)),
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(None),
                Err(error) => Err(failed(error)),
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
        if query.kind.assumed && !self.told.has(query.kind) {
            return self.once_told(query.clone());
        }
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
mod sets;
#[cfg(test)]
mod tests;
