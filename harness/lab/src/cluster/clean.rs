//! `meshproof clean`: removes what runs that were killed, or that kept something, have left in a cluster: what bears a run's
//! label, and what helm made for a release that does. Nothing else, and what is left alone is told with the reason.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::discovery::{ApiResource, Discovery, Scope, verbs};
use tokio::time::Instant;

use super::api::{self, ApiError, request};
use super::owner::{self, releases};
use super::{InstallError, lease, namespaces};
use meshproof_model::provider::Provider;

/// For what is deleted to be gone.
const GONE: std::time::Duration = std::time::Duration::from_secs(120);
/// Requests under way at the same time.
const WIDTH: usize = 8;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// What is gone.
    pub removed: Vec<String>,
    /// What is left alone, and why.
    pub left: Vec<String>,
}

/// An object that may be a run's.
#[derive(Debug, Clone)]
struct Thing {
    kind: ApiResource,
    metadata: ObjectMeta,
}

impl Thing {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.kind == kind
    }

    fn is_record(&self) -> bool {
        let owner = self.metadata.labels.as_ref().and_then(|labels| labels.get("owner"));
        self.is("Secret") && owner.is_some_and(|owner| owner == "helm")
    }
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.kind.to_lowercase(), self.name())?;
        match &self.metadata.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// What a run left, in the order in which it goes.
#[derive(Debug, Default)]
struct Leftovers {
    /// What scenarios applied, and pods of the harness: those who look after it are still there.
    applied: Vec<Thing>,
    /// What helm made, and helm's own records.
    installed: Vec<Thing>,
    /// Namespaces.
    namespaces: Vec<Thing>,
    /// Definitions that charts brought.
    definitions: Vec<Thing>,
    /// What a run has changed and did not make, or what is the cluster's.
    others: Vec<String>,
}

/// Removes what runs have left. The caller holds the cluster's Lease, so that every run is over.
///
/// # Errors
/// The API server refuses, or something does not go away.
pub async fn clean(client: &Client, provider: Provider) -> Result<Cleaned, InstallError> {
    remove_all(client, provider, sort(everything(client).await?, provider)).await
}

/// Removes what one run has made but for what it has installed: that is still wanted. Objects that others have put beside it
/// stay, and so do their namespaces.
///
/// # Errors
/// The API server refuses, or something does not go away.
pub async fn clean_after(client: &Client, provider: Provider, run: &str) -> Result<Cleaned, InstallError> {
    let mut all = everything(client).await?;
    all.retain(|thing| is_made_by(thing, run));
    remove_all(client, provider, sort(all, provider)).await
}

/// Whether a run has made it, other than by installing a gateway.
fn is_made_by(thing: &Thing, run: &str) -> bool {
    owner::run_of(&thing.metadata) == Some(run)
        && !thing.is_record()
        && !thing.is("CustomResourceDefinition")
        && releases::of_release(&thing.metadata).is_none()
        && !releases::is_for_releases(&thing.metadata)
}

async fn remove_all(
    client: &Client,
    provider: Provider,
    leftovers: Leftovers,
) -> Result<Cleaned, InstallError> {
    let mut cleaned = Cleaned { left: leftovers.others, ..Cleaned::default() };
    for things in [leftovers.applied, leftovers.installed] {
        remove(client, things, &mut cleaned).await?;
    }
    for namespace in leftovers.namespaces {
        let name = namespace.name().to_owned();
        if releases::is_for_releases(&namespace.metadata) {
            // What the gateway itself has made there goes; what people have put there does not.
            namespaces::empty(client, std::slice::from_ref(&name)).await?;
        }
        let strangers = match releases::is_for_releases(&namespace.metadata) {
            true => owner::people(client, &name).await?,
            false => owner::strangers(client, &name).await?,
        };
        match strangers.as_slice() {
            [] => {
                let uid = namespace.metadata.uid.clone();
                if namespaces::remove_one(client, provider, &name, uid.as_deref()).await? {
                    cleaned.removed.push(namespace.to_string());
                }
            }
            strangers => cleaned.left.push(owner::holds(&name, strangers)),
        }
    }
    for definition in leftovers.definitions {
        match owner::of_definition(client, definition.name()).await?.as_slice() {
            [] => remove(client, vec![definition], &mut cleaned).await?,
            others => cleaned
                .left
                .push(format!("{definition} is left alone: with it would go {}", others.join(", "))),
        }
    }
    Ok(cleaned)
}

/// Every object of the cluster whose kind can be listed and deleted.
async fn everything(client: &Client) -> Result<Vec<Thing>, ApiError> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = discovery.map_err(request("asking for the kinds of objects"))?;
    let kinds = discovery.groups().flat_map(|group| group.recommended_resources());
    let kinds = kinds.filter(|(_, can)| {
        can.supports_operation(verbs::LIST)
            && can.supports_operation(verbs::DELETE)
            && matches!(can.scope, Scope::Namespaced | Scope::Cluster)
    });
    let kinds: Vec<_> = kinds.map(|(kind, _)| kind).filter(|kind| kind.kind != "Event").collect();
    let lists = futures::stream::iter(kinds).map(|kind| async move {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        match api.list_metadata(&ListParams::default()).await {
            Ok(list) => Ok(list
                .items
                .into_iter()
                .map(|item| Thing { kind: kind.clone(), metadata: item.metadata })
                .collect::<Vec<_>>()),
            // A kind that has just gone, or that its own server does not list.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => Ok(Vec::new()),
            Err(source) => Err(request(format!("looking for {}", kind.plural))(source)),
        }
    });
    let all: Vec<Vec<Thing>> = lists.buffer_unordered(WIDTH).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// Takes the leftovers out of all there is.
fn sort(all: Vec<Thing>, provider: Provider) -> Leftovers {
    let left_by_run = |thing: &Thing| owner::run_of(&thing.metadata).is_some_and(|run| run != owner::UP);
    let released: BTreeSet<(String, String)> = all
        .iter()
        .filter(|thing| thing.is_record() && left_by_run(thing))
        .filter_map(|record| {
            let release = record.metadata.labels.as_ref()?.get("name")?;
            Some((record.metadata.namespace.clone()?, release.clone()))
        })
        .collect();
    let of_ours = |thing: &Thing| {
        let release = releases::of_release(&thing.metadata);
        release.is_some_and(|(namespace, name)| released.contains(&(namespace.to_owned(), name.to_owned())))
    };
    let mut leftovers = Leftovers::default();
    for thing in all {
        let installed = of_ours(&thing) || thing.is_record();
        if !left_by_run(&thing) && !of_ours(&thing) {
            leftovers.others.extend(told(&thing, provider));
            continue;
        }
        let place = match thing.kind.kind.as_str() {
            "Namespace" => &mut leftovers.namespaces,
            "CustomResourceDefinition" => &mut leftovers.definitions,
            _ if installed => &mut leftovers.installed,
            _ => &mut leftovers.applied,
        };
        place.push(thing);
    }
    leftovers
}

/// Why something that meshproof has to do with stays.
fn told(thing: &Thing, provider: Provider) -> Option<String> {
    let metadata = &thing.metadata;
    if owner::run_of(metadata) == Some(owner::UP) {
        return thing
            .is("Namespace")
            .then(|| format!("{thing} is left alone: `meshproof up` made it, and it goes with the cluster"));
    }
    // Our own clusters' objects are written by the same hand.
    let is_lease = thing.is("Lease") && thing.name() == lease::NAME;
    if provider == Provider::Kind || is_lease || owner::run_of(metadata).is_some() {
        return None;
    }
    let mut writers = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    writers.any(|writer| writer == owner::MANAGER).then(|| {
        format!(
            "{thing} is left alone: a run has changed it and did not make it; `kubectl get -o yaml --show-managed-fields` says \
             which fields are of the manager {}",
            owner::MANAGER
        )
    })
}

/// Deletes objects by uid, side by side, and waits until they are gone.
async fn remove(client: &Client, things: Vec<Thing>, cleaned: &mut Cleaned) -> Result<(), InstallError> {
    let deadline = Instant::now() + GONE;
    let api = |thing: &Thing| -> Api<DynamicObject> {
        match &thing.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &thing.kind),
            None => Api::all_with(client.clone(), &thing.kind),
        }
    };
    for thing in &things {
        let same = Preconditions { uid: thing.metadata.uid.clone(), resource_version: None };
        match api(thing).delete(thing.name(), &DeleteParams::background().preconditions(same)).await {
            Ok(_) => {}
            // Gone with something else, or another one by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => return Err(request(format!("deleting {thing}"))(source).into()),
        }
    }
    for thing in things {
        let uid = thing.metadata.uid.clone();
        let gone = |object: Option<&DynamicObject>| object.is_none_or(|object| object.metadata.uid != uid);
        let rest = deadline.saturating_duration_since(Instant::now());
        if !api::wait(api(&thing), thing.name(), gone, rest).await? {
            return Err(InstallError::Remains(thing.to_string(), GONE.as_secs()));
        }
        cleaned.removed.push(thing.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
