//! What an existing cluster has.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::refusal::{DEFINITIONS, Found, Plan};
use crate::mesh::{self, MeshError};
use crate::objects::KubeObjects;
use meshproof_lab::cluster::api::ApiError;
use meshproof_lab::cluster::implementation::{Implementation, installed_in};
use meshproof_lab::cluster::{addons, owner};
use meshproof_model::istio;
use meshproof_model::provider::Provider;

fn asking(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> ApiError {
    let doing = doing.into();
    move |source| ApiError::Request { doing, source: Box::new(source) }
}

/// What of the plan is there already, and which definitions are not.
pub(super) async fn found(client: &Client, plan: &Plan) -> Result<Found, ApiError> {
    let objects = KubeObjects::new(client.clone(), Provider::Existing, "");
    let mut found = Found::default();
    for id in plan.must_not_exist() {
        let metadata = objects.metadata(&id).await.map_err(asking(format!("looking for {id}")))?;
        if let Some(metadata) = metadata {
            let left = owner::run_of(&metadata).map(str::to_owned);
            found.objects.push((id, left));
        }
    }
    for name in &plan.releases {
        // A release of that name is removed afterwards wherever it is.
        let foreign = owner::releases::foreign(client, name).await?;
        let namespaces = installed_in(client, name).await?;
        found.releases.extend(namespaces.into_iter().map(|namespace| {
            let left = !foreign.contains(&namespace);
            (namespace, name.clone(), left)
        }));
    }
    for name in DEFINITIONS {
        if !serves(client, name, VERSION).await? {
            found.missing_definitions.push(format!("{name} in version {VERSION}"));
        }
    }
    match mesh::all(client).await {
        Ok(meshes) => found.meshes = meshes,
        Err(MeshError::Request { doing, source }) => return Err(ApiError::Request { doing, source }),
        // Whatever cannot be read there cannot be relied on either.
        Err(error @ MeshError::Config { .. }) => found.lacking.push(error.to_string()),
    }
    Ok(found)
}

/// The version of the Gateway API that the scenarios' manifests and claims are written in.
const VERSION: &str = "v1";

/// Whether there is this definition and its objects are served in this version.
async fn serves(client: &Client, name: &str, version: &str) -> Result<bool, ApiError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = api.get_opt(name).await.map_err(asking(format!("looking for the definition {name}")))?;
    Ok(found
        .is_some_and(|found| found.spec.versions.iter().any(|known| known.name == version && known.served)))
}

async fn has_definition(client: &Client, name: &str) -> Result<bool, ApiError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    Ok(api
        .get_metadata_opt(name)
        .await
        .map_err(asking(format!("looking for the definition {name}")))?
        .is_some())
}

/// Kubernetes' version, and the number of nodes.
pub(super) async fn kubernetes(client: &Client) -> Result<(String, usize), ApiError> {
    let version = client.apiserver_version().await.map_err(asking("asking for Kubernetes' version"))?;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list_metadata(&ListParams::default()).await.map_err(asking("counting the nodes"))?;
    Ok((version.git_version, nodes.items.len()))
}

/// Istio's version, if there is an istiod in any namespace: the tag of its image.
pub(super) async fn istio(client: &Client) -> Result<Option<String>, ApiError> {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let list = deployments
        .list(&ListParams::default().labels("app=istiod"))
        .await
        .map_err(asking("looking for istiod in all namespaces"))?;
    Ok(list.items.iter().find_map(istiod_image).map(|image| istio::version(&image).to_owned()))
}

fn istiod_image(istiod: &Deployment) -> Option<String> {
    let pod = istiod.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.iter().find(|container| container.name == "discovery")?.image.clone()
}

/// Definitions that the implementation's charts bring and the cluster does not have. helm leaves them behind.
pub(super) async fn new_definitions(
    client: &Client,
    implementation: &Implementation,
) -> Result<Vec<String>, ApiError> {
    let mut new = Vec::new();
    for release in &implementation.releases {
        let folder = Path::new(&release.chart).join("crds");
        if !folder.is_dir() {
            continue;
        }
        for definition in addons::gateway_api(&folder)? {
            let name = definition.name_any();
            if !has_definition(client, &name).await? {
                new.push(name);
            }
        }
    }
    Ok(new)
}
