//! helm releases: helm keeps each as a Secret, whose labels say who installed it. What helm made for it names the release in
//! its annotations.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{MANAGER, UP, run_of};
use crate::cluster::api::{ApiError, request};
use meshproof_model::scenario::object::LABEL;

/// Label of namespaces that are made for releases: what is in them is the gateway's, but for what people put there.
const FOR: &str = "dev.meshproof/for";

/// Whether a namespace was made for a release.
pub(crate) fn is_for_releases(metadata: &ObjectMeta) -> bool {
    let labelled = metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(FOR));
    labelled || of_release(metadata).is_some()
}

/// Everything helm has made so far: uids of its records and of all namespaces.
#[derive(Debug, Clone, Default)]
pub struct Before {
    records: BTreeSet<String>,
    namespaces: BTreeSet<String>,
}

/// What there is before commands run that may install something.
pub async fn before(client: &Client) -> Result<Before, ApiError> {
    let records = records(client, None).await?.iter().filter_map(ResourceExt::uid).collect();
    let all: Api<Namespace> = Api::all(client.clone());
    let all = all.list_metadata(&ListParams::default()).await.map_err(request("listing namespaces"))?;
    let namespaces = all.items.iter().filter_map(ResourceExt::uid).collect();
    Ok(Before { records, namespaces })
}

/// Gives releases that were installed since a run's label, and the namespaces that helm made for them.
pub async fn adopt(client: &Client, before: &Before, run: &str) -> Result<(), ApiError> {
    let new = records(client, None).await?.into_iter().filter(|record| {
        record.uid().is_some_and(|uid| !before.records.contains(&uid)) && run_of(&record.metadata).is_none()
    });
    for record in new {
        let Some(namespace) = record.namespace() else { continue };
        // The release may be one revision further by now: all its records are of one run.
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        label(&secrets, &record.name_any(), record.uid(), run).await?;
        let release = record.labels().get("name").cloned().unwrap_or_default();
        label_namespaces(client, &release, &namespace, run).await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let found = namespaces.get_metadata_opt(&namespace).await;
        let found = found.map_err(request(format!("looking at namespace {namespace}")))?;
        let is_new = |uid: String| !before.namespaces.contains(&uid);
        if let Some(found) = found.filter(|found| found.uid().is_some_and(is_new)) {
            label(&namespaces, &namespace, found.uid(), run).await?;
            label_as(&namespaces, &namespace, found.uid(), &json!({FOR: "releases"})).await?;
        }
    }
    Ok(())
}

/// Gives a release that this program has installed, and its namespaces, the label that it lacks.
pub(crate) async fn claim(client: &Client, name: &str, namespace: &str) -> Result<(), ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for record in records(client, Some(name)).await? {
        if record.namespace().as_deref() == Some(namespace) && run_of(&record.metadata).is_none() {
            label(&secrets, &record.name_any(), record.uid(), UP).await?;
        }
    }
    claim_namespace(client, namespace).await?;
    label_namespaces(client, name, namespace, UP).await
}

/// The same of a namespace that helm has made for a release: it labels such a one with its own name.
pub(crate) async fn claim_namespace(client: &Client, name: &str) -> Result<(), ApiError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_metadata_opt(name).await.map_err(request(format!("looking at namespace {name}")))?;
    let Some(found) = found.filter(|found| run_of(&found.metadata).is_none()) else { return Ok(()) };
    if found.labels().get("name").is_some_and(|label| label == name) {
        label_as(&api, name, found.uid(), &json!({LABEL: UP, FOR: "releases"})).await?;
    }
    Ok(())
}

/// Gives the namespaces that a release's chart has made, and that outlive it perhaps, the label of whoever installed it.
pub(crate) async fn label_namespaces(
    client: &Client,
    release: &str,
    namespace: &str,
    run: &str,
) -> Result<(), ApiError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let managed = ListParams::default().labels("app.kubernetes.io/managed-by=Helm");
    let list =
        api.list_metadata(&managed).await.map_err(request("listing the namespaces that helm has made"))?;
    for found in list.items {
        if of_release(&found.metadata) == Some((namespace, release)) && run_of(&found.metadata).is_none() {
            label(&api, &found.name_any(), found.uid(), run).await?;
        }
    }
    Ok(())
}

/// Namespace and name of the release that an object was made for, as helm notes it on everything it makes.
pub fn of_release(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    let annotations = metadata.annotations.as_ref()?;
    let text = |name: &str| annotations.get(name).map(String::as_str);
    Some((text("meta.helm.sh/release-namespace")?, text("meta.helm.sh/release-name")?))
}

async fn label<K>(api: &Api<K>, name: &str, uid: Option<String>, run: &str) -> Result<(), ApiError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    label_as(api, name, uid, &json!({LABEL: run})).await
}

async fn label_as<K>(api: &Api<K>, name: &str, uid: Option<String>, labels: &Value) -> Result<(), ApiError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = json!({"metadata": {"uid": uid, "labels": labels}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(request(format!("labelling {name}"))(source)),
    }
}

/// helm's records, of one release or of all.
async fn records(
    client: &Client,
    release: Option<&str>,
) -> Result<Vec<kube::core::PartialObjectMeta<Secret>>, ApiError> {
    let name = release.map(|name| format!(",name={name}")).unwrap_or_default();
    let secrets: Api<Secret> = Api::all(client.clone());
    let list = secrets.list_metadata(&ListParams::default().labels(&format!("owner=helm{name}"))).await;
    Ok(list.map_err(request("looking for helm releases"))?.items)
}

/// Releases that somebody else has installed: namespace and name.
pub(crate) async fn all_foreign(client: &Client) -> Result<BTreeSet<(String, String)>, ApiError> {
    let records = records(client, None).await?;
    let foreign = records.iter().filter(|record| run_of(&record.metadata).is_none());
    Ok(foreign
        .filter_map(|record| Some((record.namespace()?, record.labels().get("name")?.clone())))
        .collect())
}

/// Definitions of kinds that a run's charts brought get its label: helm puts nothing on them that says whose they are.
pub(crate) async fn label_definitions(client: &Client, names: &[String], run: &str) -> Result<(), ApiError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in names {
        let found = api.get_metadata_opt(name).await;
        let found = found.map_err(request(format!("looking for the definition {name}")))?;
        if let Some(found) = found.filter(|found| run_of(&found.metadata).is_none()) {
            label(&api, name, found.uid(), run).await?;
        }
    }
    Ok(())
}

/// Namespaces in which somebody else has installed a release of this name.
pub async fn foreign(client: &Client, release: &str) -> Result<Vec<String>, ApiError> {
    let records = records(client, Some(release)).await?;
    let foreign = records.iter().filter(|record| run_of(&record.metadata).is_none());
    let namespaces: BTreeSet<String> = foreign.filter_map(ResourceExt::namespace).collect();
    Ok(namespaces.into_iter().collect())
}

/// Makes a release's namespace, as helm would, with the label of whoever installs it. One that is there is left as it is.
pub(crate) async fn make_namespace(client: &Client, name: &str, run: &str) -> Result<(), ApiError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"name": name, LABEL: run, FOR: "releases"}}}),
    );
    let namespace: Namespace = namespace.map_err(|error| ApiError::Manifest {
        name: format!("namespace {name}"),
        reason: error.to_string(),
    })?;
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, &namespace).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(source) => Err(request(format!("making namespace {name}"))(source)),
    }
}

/// Whether a run of meshproof, or `up`, has made this namespace; nothing if there is none.
pub(crate) async fn is_ours(client: &Client, namespace: &str) -> Result<Option<bool>, ApiError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_metadata_opt(namespace).await;
    let found = found.map_err(request(format!("looking at namespace {namespace}")))?;
    Ok(found.map(|namespace| run_of(&namespace.metadata).is_some()))
}
