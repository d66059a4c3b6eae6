//! Whose an object is.
//!
//! Everything that a run makes bears the label [`LABEL`] with the run's id, and only what bears it is ever deleted, by its uid:
//! what somebody else made under the same name, before or meanwhile, is another object. What `meshproof up` installs belongs to
//! the cluster and bears [`UP`] instead.

pub mod releases;

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::ApiResource;

pub use meshproof_model::scenario::object::{LABEL, labelled};

use super::api::{ApiError, kinds, request};

/// Value of [`LABEL`] for what `meshproof up` makes: it belongs to the cluster, and no clean-up after a run removes it.
pub const UP: &str = "up";
/// Field manager of everything that scenarios apply.
pub const MANAGER: &str = "meshproof";
/// Requests under way at the same time.
const WIDTH: usize = 8;

/// The run that made an object; nothing if none did.
pub fn run_of(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get(LABEL).map(String::as_str)
}

/// Programs of Kubernetes and Istio that write into everybody's namespaces.
const CLUSTERS_OWN: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "cloud-controller-manager",
    "cluster-policy-controller",
    "pilot-discovery",
    "istiod",
];

/// What Kubernetes and Istio put into every namespace, by kind and name; not all of it says who wrote it.
const EVERYWHERE: &[(&str, &str)] = &[
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ConfigMap", "istio-ca-crl"),
    ("ServiceAccount", "default"),
];

/// An object in a namespace, as far as it must be known to tell whose it is.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    kind: String,
    metadata: ObjectMeta,
}

/// What is somebody else's in a namespace that a run made: `configmap/notes`, say. What bears a run's label is not, what
/// belongs to another object goes with that, and what Kubernetes, Istio or the gateway under test (whoever writes the status of
/// our own objects) wrote there and nobody else did has no owner to be missed by.
pub async fn strangers(client: &Client, namespace: &str) -> Result<Vec<String>, ApiError> {
    Ok(foreign(&inside(client, namespace).await?))
}

/// What people have put into a namespace that was made for the gateway under test, whose own controllers may write anything
/// there: what a tool of theirs wrote, or what belongs to a release of theirs.
pub(crate) async fn people(client: &Client, namespace: &str) -> Result<Vec<String>, ApiError> {
    let theirs = releases::all_foreign(client).await?;
    let seen = inside(client, namespace).await?;
    let mut people: Vec<_> =
        seen.iter().filter(|object| is_peoples(object, &theirs)).map(Seen::name).collect();
    people.sort();
    people.dedup();
    Ok(people)
}

/// Tools with which people, or what works for them, write objects.
const TOOLS: &[&str] = &[
    "kubectl",
    "argocd",
    "flux",
    "kustomize",
    "terraform",
    "Terraform",
    "pulumi",
    "k9s",
    "Lens",
    "Mozilla",
    "node-fetch",
    "HashiCorp",
    "python",
    "OpenAPI-Generator",
    "curl",
    "rancher",
];

fn is_peoples(object: &Seen, releases: &BTreeSet<(String, String)>) -> bool {
    let metadata = &object.metadata;
    if !is_foreign(object, &[]) {
        return false;
    }
    if let Some((namespace, name)) = releases::of_release(metadata) {
        return releases.contains(&(namespace.to_owned(), name.to_owned()));
    }
    let mut writers = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    writers.any(|writer| TOOLS.iter().any(|tool| writer.starts_with(tool)))
}

/// Objects of a definition that no run has made, and that would go with it.
pub(crate) async fn of_definition(client: &Client, name: &str) -> Result<Vec<String>, ApiError> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = definitions.get_opt(name).await.map_err(request(format!("reading the definition {name}")))?;
    let Some(spec) = found.map(|definition| definition.spec) else { return Ok(Vec::new()) };
    let Some(version) = spec.versions.iter().find(|version| version.served) else { return Ok(Vec::new()) };
    let kind = ApiResource {
        api_version: format!("{}/{}", spec.group, version.name),
        group: spec.group,
        version: version.name.clone(),
        kind: spec.names.kind,
        plural: spec.names.plural,
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let list = match api.list_metadata(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
        list => list.map_err(request(format!("looking for {}", kind.plural)))?,
    };
    let objects =
        list.items.into_iter().map(|item| Seen { kind: kind.kind.clone(), metadata: item.metadata });
    Ok(objects.filter(|object| is_foreign(object, &[])).map(|object| object.name()).collect())
}

async fn inside(client: &Client, namespace: &str) -> Result<Vec<Seen>, ApiError> {
    let kinds = kinds(client).await?;
    let lists = futures::stream::iter(kinds).map(|kind| list(client, namespace, kind));
    let seen: Vec<Vec<Seen>> = lists.buffer_unordered(WIDTH).try_collect().await?;
    Ok(seen.into_iter().flatten().collect())
}

async fn list(client: &Client, namespace: &str, kind: ApiResource) -> Result<Vec<Seen>, ApiError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    match api.list_metadata(&ListParams::default()).await {
        Ok(list) => {
            let items = list.items.into_iter();
            Ok(items.map(|item| Seen { kind: kind.kind.clone(), metadata: item.metadata }).collect())
        }
        // A kind that has just gone.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(source) => Err(request(format!("looking for {} in {namespace}", kind.plural))(source)),
    }
}

fn foreign(seen: &[Seen]) -> Vec<String> {
    let ours = seen.iter().filter(|object| run_of(&object.metadata).is_some());
    let entries = ours.flat_map(|object| object.metadata.managed_fields.iter().flatten());
    // A person with kubectl may write a status, too.
    let statuses = entries.filter(|entry| entry.subresource.as_deref() == Some("status"));
    let managers = statuses.filter_map(|entry| entry.manager.as_deref());
    let controllers: Vec<&str> = managers.filter(|name| !name.starts_with("kubectl")).collect();
    let mut foreign: Vec<_> =
        seen.iter().filter(|object| is_foreign(object, &controllers)).map(Seen::name).collect();
    foreign.sort();
    // Some kinds are served by two groups (Event).
    foreign.dedup();
    foreign
}

fn is_foreign(object: &Seen, controllers: &[&str]) -> bool {
    let metadata = &object.metadata;
    if run_of(metadata).is_some() || metadata.deletion_timestamp.is_some() {
        return false;
    }
    if metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()) {
        return false;
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    // Kubernetes makes Endpoints of Services, and Events are nobody's.
    if matches!(object.kind.as_str(), "Event" | "Endpoints")
        || EVERYWHERE.contains(&(object.kind.as_str(), name))
    {
        return false;
    }
    let mut writers =
        metadata.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref()).peekable();
    let by_programs = writers.peek().is_some();
    !(by_programs && writers.all(|name| CLUSTERS_OWN.contains(&name) || controllers.contains(&name)))
}

impl Seen {
    fn name(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), self.metadata.name.as_deref().unwrap_or_default())
    }
}

/// Why a namespace stays where it is.
pub fn holds(namespace: &str, strangers: &[String]) -> String {
    format!(
        "namespace/{namespace} is left alone: it holds what meshproof did not make ({}); move or delete that, then \
         `kubectl delete namespace {namespace}`",
        strangers.join(", ")
    )
}

#[cfg(test)]
mod tests;
