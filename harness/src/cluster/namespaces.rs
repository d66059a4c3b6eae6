//! Namespaces that the gateway under test lives in: emptied, or removed.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::discovery::{ApiResource, Discovery, Scope, verbs};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::api::{ApiError, request, wait};
use super::implementation::InstallError;

/// How long what is deleted may take to be gone.
const GONE: Duration = Duration::from_secs(120);
/// Requests under way at the same time.
const WIDTH: usize = 8;

/// Waits while a namespace is being removed, by a clean-up that was cut short say: nothing can be made in it.
pub(super) async fn outlast_removal(client: &Client, name: &str) -> Result<(), InstallError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let settled = |object: Option<&Namespace>| {
        object.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_none())
    };
    match wait(api, name, settled, GONE).await? {
        true => Ok(()),
        false => Err(remains(&format!("namespace {name}"))),
    }
}

/// Removes namespaces and waits until they are gone; returns those that were there.
pub(super) async fn remove(client: &Client, names: &[String]) -> Result<Vec<String>, InstallError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut removed = Vec::new();
    for name in names {
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => {
                hurry(client, name).await;
                removed.push(name.clone());
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => return Err(request(format!("removing namespace {name}"))(source).into()),
        }
    }
    for name in &removed {
        if !wait(api.clone(), name, |object: Option<&Namespace>| object.is_none(), GONE).await? {
            return Err(remains(&format!("namespace {name}")));
        }
    }
    Ok(removed)
}

/// Removes everything from namespaces but what the cluster itself keeps in each, and waits until it is gone. An empty
/// namespace is as good as none for whoever installs into it; a removed one takes Kubernetes five seconds before it even
/// begins.
pub(super) async fn empty(client: &Client, names: &[String]) -> Result<(), InstallError> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = discovery.map_err(request("asking for the kinds of objects"))?;
    let kinds: Vec<ApiResource> = discovery
        .groups()
        .flat_map(|group| group.recommended_resources())
        .filter(|(kind, can)| {
            can.scope == Scope::Namespaced
                && can.supports_operation(verbs::DELETE_COLLECTION)
                && kind.kind != "Event"
        })
        .map(|(kind, _)| kind)
        .collect();
    for name in names {
        let deadline = Instant::now() + GONE;
        let mut left = kinds.clone();
        // Until nothing is found: what controllers make while their objects go is met in the next round.
        while !left.is_empty() {
            if Instant::now() >= deadline {
                let kinds: Vec<_> = left.iter().map(|kind| kind.plural.as_str()).collect();
                return Err(remains(&format!("something of {} in {name}", kinds.join(", "))));
            }
            left = empty_of(client, name, left, deadline).await?;
        }
    }
    Ok(())
}

/// Deletes all objects of these kinds and waits until they are gone; returns the kinds there were objects of.
async fn empty_of(
    client: &Client,
    namespace: &str,
    kinds: Vec<ApiResource>,
    deadline: Instant,
) -> Result<Vec<ApiResource>, InstallError> {
    let deleted: Vec<_> = futures::stream::iter(kinds)
        .map(|kind| async move {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
            delete_all(&api, &kind, namespace).await.map(|objects| (kind, objects))
        })
        .buffer_unordered(WIDTH)
        .try_filter(|(_, objects)| futures::future::ready(!objects.is_empty()))
        .try_collect()
        .await?;
    for (kind, objects) in &deleted {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
        for (name, uid) in objects {
            let rest = deadline.saturating_duration_since(Instant::now());
            // Another one of that name is met in the next round.
            let gone = |object: Option<&DynamicObject>| object.is_none_or(|object| object.uid() != *uid);
            if !wait(api.clone(), name, gone, rest).await? {
                return Err(remains(&format!("{} {name} in {namespace}", kind.kind)));
            }
        }
    }
    Ok(deleted.into_iter().map(|(kind, _)| kind).collect())
}

/// Deletes all objects of a kind but those that are kept; returns names and uids of those that do not come back.
async fn delete_all(
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    namespace: &str,
) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let which = match kept(&kind.kind) {
        [] => ListParams::default(),
        kept => {
            let others: Vec<_> = kept.iter().map(|name| format!("metadata.name!={name}")).collect();
            ListParams::default().fields(&others.join(","))
        }
    };
    match api.delete_collection(&DeleteParams::background().grace_period(0), &which).await {
        Ok(deleted) => {
            let deleted = deleted.left();
            let objects = deleted.iter().flat_map(|list| &list.items);
            let objects = objects.filter(|object| !ISTIOS.contains(&object.name_any().as_str()));
            Ok(objects.map(|object| (object.name_any(), object.uid())).collect())
        }
        // Neither the namespace nor the kind has to be there: for a kind that has just gone the API server has no more than
        // the number to say.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(source) => Err(request(format!("removing every {} from {namespace}", kind.kind))(source)),
    }
}

/// What Istio puts into every namespace at once. Only one that is made anew is sure to be of the Istio that is there now.
const ISTIOS: [&str; 2] = ["istio-ca-root-cert", "istio-ca-crl"];

/// What Kubernetes puts into every namespace, and would put there again.
fn kept(kind: &str) -> &'static [&'static str] {
    match kind {
        "ConfigMap" => &["kube-root-ca.crt"],
        "ServiceAccount" => &["default"],
        _ => &[],
    }
}

/// Ends the pods of a namespace that goes away: nobody waits for their grace period. Trouble shows in the waiting.
async fn hurry(client: &Client, namespace: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let at_once = DeleteParams::default().grace_period(0);
    if let Err(error) = pods.delete_collection(&at_once, &ListParams::default()).await {
        tracing::debug!(namespace, %error, "its pods take their time");
    }
}

fn remains(what: &str) -> InstallError {
    InstallError::Remains(what.to_owned(), GONE.as_secs())
}
