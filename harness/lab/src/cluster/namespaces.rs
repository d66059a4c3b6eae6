//! Namespaces: emptied, or removed without Kubernetes' pause.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, NamespaceSpec, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams, Preconditions};
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::api::{ApiError, kinds, request, wait};
use super::owner;
use crate::cluster::error::InstallError;
use meshproof_model::provider::Provider;

/// How long what is deleted may take to be gone.
const GONE: Duration = Duration::from_secs(120);
/// How long what is in a namespace of ours may take to be gone before the namespace is left to Kubernetes.
const FINISHED: Duration = Duration::from_secs(10);
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

/// Removes the namespace of this uid and waits until it is gone; says whether it was there.
pub(super) async fn remove_one(
    client: &Client,
    provider: Provider,
    name: &str,
    uid: Option<&str>,
) -> Result<bool, InstallError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let same = Preconditions { uid: uid.map(str::to_owned), resource_version: None };
    match api.delete(name, &DeleteParams::default().preconditions(same)).await {
        Ok(_) => {}
        // Another one of that name is not meant.
        Err(kube::Error::Api(status))
            if matches!(status.code, 404 | 409) && !is_going(&api, name, uid).await? =>
        {
            return Ok(false);
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(source) => return Err(request(format!("removing namespace {name}"))(source).into()),
    }
    // Trouble shows in the waiting.
    if let Err(error) = end_pods(client, name).await {
        tracing::debug!(%error, "its pods take their time");
    }
    finish(client, provider, std::slice::from_ref(&name.to_owned())).await;
    let gone = |object: Option<&Namespace>| object.is_none_or(|object| object.uid().as_deref() != uid);
    match wait(api, name, gone, GONE).await? {
        true => Ok(true),
        false => Err(remains(&format!("namespace {name}"))),
    }
}

/// Whether the namespace of this uid is being removed already.
async fn is_going(api: &Api<Namespace>, name: &str, uid: Option<&str>) -> Result<bool, ApiError> {
    let found = api.get_metadata_opt(name).await.map_err(request(format!("looking at namespace {name}")))?;
    Ok(found
        .is_some_and(|found| found.uid().as_deref() == uid && found.metadata.deletion_timestamp.is_some()))
}

/// Removes a namespace that a run of meshproof, or `up`, has made for the gateway, with all the gateway has left in it; says
/// whether it was there.
///
/// # Errors
/// It holds what people have put there: that is not removed, nor is the namespace.
pub(super) async fn remove_ours(
    client: &Client,
    provider: Provider,
    name: &str,
) -> Result<bool, InstallError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_metadata_opt(name).await.map_err(request(format!("looking at namespace {name}")))?;
    let Some(found) = found.filter(|found| owner::run_of(&found.metadata).is_some()) else {
        return Ok(false);
    };
    let people = owner::people(client, name).await?;
    if !people.is_empty() {
        return Err(InstallError::Left(owner::holds(name, &people)));
    }
    remove_one(client, provider, name, found.uid().as_deref()).await
}

/// Does what is left to do for namespaces that were deleted, until they are gone.
///
/// Kubernetes begins with it five seconds after the deletion, so that every API server of a highly available control plane
/// has heard of it and lets nothing new in. A cluster of ours has one, which knows; any other is left to itself, as is a
/// namespace in which something stays: whoever waits for it will see why.
pub async fn finish(client: &Client, provider: Provider, names: &[String]) {
    if names.is_empty() || provider != Provider::Kind {
        return;
    }
    let finished = async {
        let kinds = kinds(client).await?;
        let deadline = Instant::now() + FINISHED;
        let each = names.iter().map(|name| async {
            clear(client, name, kinds.clone(), Keeping::Nothing, deadline).await?;
            release(client, name).await
        });
        futures::future::try_join_all(each).await
    };
    if let Err(error) = finished.await {
        tracing::debug!(?names, %error, "left to Kubernetes");
    }
}

/// Takes Kubernetes' own finalizer from a namespace that is being removed and holds nothing any more.
async fn release(client: &Client, name: &str) -> Result<(), InstallError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let failed = || request(format!("ending namespace {name}"));
    let Some(mut namespace) = api.get_opt(name).await.map_err(failed())? else { return Ok(()) };
    // One that is not being removed would lose its protection.
    if namespace.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    namespace.spec = Some(NamespaceSpec { finalizers: Some(Vec::new()) });
    match api.replace_subresource("finalize", name, &PostParams::default(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        released => Ok(released.map(drop).map_err(failed())?),
    }
}

/// Removes everything from namespaces but what the cluster itself keeps in each and what people have put there, and waits until
/// it is gone. An empty namespace is as good as none for whoever installs into it, and in any cluster sooner had than a new one.
pub(super) async fn empty(client: &Client, names: &[String]) -> Result<(), InstallError> {
    let kinds = kinds(client).await?;
    for name in names {
        let people = owner::people(client, name).await?;
        let deadline = Instant::now() + GONE;
        clear(client, name, kinds.clone(), Keeping::TheClusters(&people), deadline).await?;
    }
    Ok(())
}

/// What stays when a namespace is cleared.
#[derive(Clone, Copy, PartialEq)]
enum Keeping<'a> {
    /// What Kubernetes and Istio put into every namespace, events, and these objects (`configmap/notes`).
    TheClusters(&'a [String]),
    /// Nothing.
    Nothing,
}

/// Removes everything from a namespace, until nothing is found: what controllers make while their objects go is met in the
/// next round.
async fn clear(
    client: &Client,
    name: &str,
    mut left: Vec<ApiResource>,
    keeping: Keeping<'_>,
    deadline: Instant,
) -> Result<(), InstallError> {
    left.retain(|kind| keeping == Keeping::Nothing || kind.kind != "Event");
    while !left.is_empty() {
        if Instant::now() >= deadline {
            let kinds: Vec<_> = left.iter().map(|kind| kind.plural.as_str()).collect();
            return Err(remains(&format!("something of {} in {name}", kinds.join(", "))));
        }
        left = empty_of(client, name, left, keeping, deadline).await?;
    }
    Ok(())
}

/// Deletes all objects of these kinds and waits until they are gone; returns the kinds there were objects of.
async fn empty_of(
    client: &Client,
    namespace: &str,
    kinds: Vec<ApiResource>,
    keeping: Keeping<'_>,
    deadline: Instant,
) -> Result<Vec<ApiResource>, InstallError> {
    let deleted: Vec<_> = futures::stream::iter(kinds)
        .map(|kind| async move {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
            delete_all(&api, &kind, namespace, keeping).await.map(|objects| (kind, objects))
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
    keeping: Keeping<'_>,
) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let which = match kept(&kind.kind, keeping).as_slice() {
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
            let stays = |name: &str| matches!(keeping, Keeping::TheClusters(_)) && ISTIOS.contains(&name);
            let objects = objects.filter(|object| !stays(&object.name_any()));
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

/// Names that stay of a kind: what Kubernetes puts into every namespace, and would put there again, and what people have put
/// there.
fn kept<'a>(kind: &str, keeping: Keeping<'a>) -> Vec<&'a str> {
    let Keeping::TheClusters(people) = keeping else { return Vec::new() };
    let word = kind.to_lowercase();
    let of_people = people.iter().filter_map(|object| object.split_once('/'));
    let of_people = of_people.filter(|(kind, _)| *kind == word).map(|(_, name)| name);
    let everywhere = match kind {
        "ConfigMap" => Some("kube-root-ca.crt"),
        "ServiceAccount" => Some("default"),
        _ => None,
    };
    everywhere.into_iter().chain(of_people).collect()
}

/// Ends the pods of a namespace that goes away: nobody waits for their grace period.
///
/// # Errors
/// The API server refuses.
pub async fn end_pods(client: &Client, namespace: &str) -> Result<(), ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let at_once = DeleteParams::default().grace_period(0);
    let ended = pods.delete_collection(&at_once, &ListParams::default()).await;
    ended.map(drop).map_err(request(format!("ending the pods of {namespace}")))
}

fn remains(what: &str) -> InstallError {
    InstallError::Remains(what.to_owned(), GONE.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What was asked of an API server that knows config maps, of which there is one until it is deleted, and a namespace.
    async fn asked(provider: Provider, namespace: Value) -> Vec<String> {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let asked = log.clone();
        let server = tower::service_fn(move |request: Request<Body>| {
            let (log, namespace) = (asked.clone(), namespace.clone());
            async move {
                let (path, method) = (request.uri().path().to_owned(), request.method().clone());
                let body = request.into_body().collect_bytes().await?;
                let body = String::from_utf8_lossy(&body).into_owned();
                let mut log = log.lock().unwrap();
                let first = !log.iter().any(|line| line.starts_with("DELETE"));
                log.push(format!("{method} {path} {body}"));
                let maps = match first && method == Method::DELETE {
                    true => json!([{"metadata": {"name": "kube-root-ca.crt", "uid": "1"}}]),
                    false => json!([]),
                };
                let answer = match path.as_str() {
                    "/api" => discovered(),
                    "/apis" => json!({"metadata": {}, "items": []}),
                    path if path.ends_with("/configmaps") => {
                        json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}, "items": maps})
                    }
                    _ => namespace,
                };
                Ok::<_, tower::BoxError>(Response::new(Body::from(answer.to_string().into_bytes())))
            }
        });
        finish(&Client::new(server, "default"), provider, &["a".into()]).await;
        let log = log.lock().unwrap();
        log.iter().filter(|line| !line.starts_with("GET")).cloned().collect()
    }

    fn discovered() -> Value {
        json!({"metadata": {}, "items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [{
            "resource": "configmaps", "singularResource": "configmap", "scope": "Namespaced",
            "responseKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "verbs": ["list", "deletecollection"],
        }]}]}]})
    }

    fn namespace(deleted: Value) -> Value {
        json!({"metadata": {"name": "a", "deletionTimestamp": deleted}, "spec": {"finalizers": ["kubernetes"]}})
    }

    #[tokio::test]
    async fn a_namespace_is_released_when_nothing_is_found_in_it_any_more() {
        let asked = asked(Provider::Kind, namespace(json!("2026-01-01T00:00:00Z"))).await;
        let [first, second, release] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(first.starts_with("DELETE /api/v1/namespaces/a/configmaps"), "{first}");
        assert!(second.starts_with("DELETE /api/v1/namespaces/a/configmaps"), "{second}");
        assert!(release.starts_with("PUT /api/v1/namespaces/a/finalize"), "{release}");
        assert!(release.contains(r#""finalizers":[]"#), "{release}");
    }

    #[test]
    fn what_people_have_put_into_a_namespace_stays_when_it_is_emptied() {
        let people = ["configmap/notes".to_owned(), "secret/theirs".to_owned()];
        assert_eq!(kept("ConfigMap", Keeping::TheClusters(&people)), ["kube-root-ca.crt", "notes"]);
        assert_eq!(kept("Secret", Keeping::TheClusters(&people)), ["theirs"]);
        assert_eq!(kept("Pod", Keeping::TheClusters(&people)), [""; 0]);
        assert_eq!(kept("ConfigMap", Keeping::Nothing), [""; 0]);
    }

    #[tokio::test]
    async fn a_namespace_that_nobody_deleted_keeps_its_finalizer() {
        let asked = asked(Provider::Kind, namespace(Value::Null)).await;
        assert!(!asked.iter().any(|line| line.starts_with("PUT")), "{asked:?}");
    }

    #[tokio::test]
    async fn a_cluster_of_somebody_else_is_left_to_itself() {
        assert!(asked(Provider::Existing, namespace(json!("2026-01-01T00:00:00Z"))).await.is_empty());
    }
}
