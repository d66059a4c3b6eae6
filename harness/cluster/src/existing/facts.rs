//! What an existing cluster has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::refusal::{DEFINITIONS, Found, Plan};
use crate::mesh::{self, Injector, Mesh, MeshError, Policy};
use crate::objects::KubeObjects;
use meshproof_lab::cluster::api::ApiError;
use meshproof_lab::cluster::implementation::{Implementation, installed_in};
use meshproof_lab::cluster::{addons, owner};
use meshproof_model::provider::Provider;

fn asking(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> ApiError {
    let doing = doing.into();
    move |source| ApiError::Request { doing, source: Box::new(source) }
}

/// What of the plan is there already, and which definitions are not.
pub(super) async fn found(client: &Client, plan: &Plan) -> Result<Found, ApiError> {
    let objects = KubeObjects::new(client.clone(), Provider::Existing, "");
    let mut found = Found::default();
    for name in &plan.releases {
        // A release of that name is removed afterwards wherever it is.
        let foreign = owner::releases::foreign(client, name).await?;
        let namespaces = installed_in(client, name).await?;
        found.releases.extend(namespaces.into_iter().map(|namespace| {
            let left = !foreign.contains(&namespace);
            (namespace, name.clone(), left)
        }));
    }
    for id in plan.must_not_exist() {
        let metadata = objects.metadata(&id).await.map_err(asking(format!("looking for {id}")))?;
        if let Some(metadata) = metadata.filter(|metadata| !goes_with_release(metadata, &found.releases)) {
            let left = owner::run_of(&metadata).map(str::to_owned);
            found.objects.push((id, left));
        }
    }
    for name in DEFINITIONS {
        if !serves(client, name, VERSION).await? {
            found.missing_definitions.push(format!("{name} in version {VERSION}"));
        }
    }
    match meshes(client).await {
        Ok((meshes, injectors, policies)) => {
            (found.meshes, found.injectors, found.policies) = (meshes, injectors, policies);
        }
        Err(MeshError::Request { doing, source }) => return Err(ApiError::Request { doing, source }),
        // Whatever cannot be read there cannot be relied on either.
        Err(error @ MeshError::Config { .. }) => found.lacking.push(error.to_string()),
    }
    found.missing_versions = missing_versions(client, plan).await?;
    Ok(found)
}

/// Whether an object belongs to a release that a run has left: what removes that removes it, too.
fn goes_with_release(metadata: &ObjectMeta, releases: &[(String, String, bool)]) -> bool {
    let of = owner::releases::of_release(metadata);
    owner::run_of(metadata).is_none()
        && of.is_some_and(|(of, name)| {
            releases.iter().any(|(namespace, known, left)| *left && namespace == of && known == name)
        })
}

type Meshes = (Vec<Mesh>, Option<Vec<Injector>>, Vec<Policy>);

async fn meshes(client: &Client) -> Result<Meshes, MeshError> {
    let meshes = mesh::all(client).await?;
    let roots: BTreeSet<&str> = meshes.iter().map(|mesh| mesh.root_namespace.as_str()).collect();
    let mut policies = Vec::new();
    for root in roots {
        policies.extend(mesh::whole::policies(client, root).await?);
    }
    let injectors = mesh::injection::all(client).await?;
    Ok((meshes, injectors, policies))
}

/// What the manifests are written in and the cluster does not serve, a line each.
async fn missing_versions(client: &Client, plan: &Plan) -> Result<Vec<String>, ApiError> {
    let mut lines = Vec::new();
    let wanted: BTreeSet<&str> = plan.versions.iter().map(|(version, _, _)| version.as_str()).collect();
    for version in wanted.into_iter().filter(|version| is_defined_by_others(version)) {
        let served = match client.list_api_group_resources(version).await {
            Ok(list) => list.resources.into_iter().map(|resource| resource.kind).collect(),
            Err(kube::Error::Api(status)) if status.is_not_found() => BTreeSet::new(),
            Err(error) => return Err(asking(format!("asking for the kinds of {version}"))(error)),
        };
        lines.extend(unserved(plan, version, &served));
    }
    Ok(lines)
}

/// Whether kinds of this version come with the Gateway API or Istio: what the implementation's own charts bring is there when
/// it is needed.
fn is_defined_by_others(version: &str) -> bool {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    ["gateway.networking.k8s.io", "gateway.networking.x-k8s.io"].contains(&group)
        || group.ends_with(".istio.io")
}

/// The kinds of a version that the scenarios' manifests name and that are not served, each with the scenarios.
fn unserved(plan: &Plan, version: &str, served: &BTreeSet<String>) -> Vec<String> {
    let mut by_kind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let of_version = plan.versions.iter().filter(|(known, _, _)| known == version);
    for (_, kind, scenario) in of_version.filter(|(_, kind, _)| !served.contains(kind)) {
        by_kind.entry(kind).or_default().push(scenario);
    }
    let line = |(kind, scenarios): (&str, Vec<&str>)| {
        format!(
            "the definition of {kind} is missing in version {version}, in which {} is written: install definitions that serve \
             it",
            scenarios.join(", ")
        )
    };
    by_kind.into_iter().map(line).collect()
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

/// Istio's version, if there is an istiod in any namespace: that of the default one, if there is a choice.
pub(super) fn istio(found: &Found) -> Option<String> {
    let enabled = [("istio-injection".to_owned(), "enabled".to_owned())].into();
    let injectors = found.injectors.as_deref().unwrap_or_default();
    mesh::responsible(&found.meshes, injectors, &enabled).map(|mesh| mesh.version.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_another_version_are_named_with_who_needs_them() {
        let wanted = |version: &str, kind: &str, scenario: &str| {
            (version.to_owned(), kind.to_owned(), scenario.to_owned())
        };
        let policy = "gateway.networking.k8s.io/v1";
        let versions = [
            wanted(policy, "Gateway", "one"),
            wanted(policy, "BackendTLSPolicy", "one"),
            wanted(policy, "BackendTLSPolicy", "two"),
            wanted("v1", "Service", "one"),
        ];
        let plan = Plan { versions: versions.into(), ..Plan::default() };
        assert_eq!(
            unserved(&plan, policy, &["Gateway".to_owned()].into()),
            [
                "the definition of BackendTLSPolicy is missing in version gateway.networking.k8s.io/v1, in which one, two is \
              written: install definitions that serve it"
            ]
        );
        assert!(is_defined_by_others("security.istio.io/v1") && is_defined_by_others(policy));
        assert!(!is_defined_by_others("v1") && !is_defined_by_others("networking.k8s.io/v1"));
    }

    #[test]
    fn what_goes_with_a_release_that_was_left_is_told_with_it() {
        let of = |namespace: &str| -> ObjectMeta {
            let of = [("name", "a"), ("namespace", namespace)];
            let annotations =
                of.map(|(key, value)| (format!("meta.helm.sh/release-{key}"), value.to_owned()));
            ObjectMeta { annotations: Some(annotations.into()), ..ObjectMeta::default() }
        };
        let releases = |left| vec![("gateways".to_owned(), "a".to_owned(), left)];
        assert!(goes_with_release(&of("gateways"), &releases(true)));
        assert!(!goes_with_release(&of("gateways"), &releases(false)), "it is somebody else's");
        assert!(!goes_with_release(&of("other"), &releases(true)));
        assert!(!goes_with_release(&ObjectMeta::default(), &releases(true)));
    }

    #[test]
    fn of_several_istios_the_default_one_counts() {
        let mesh = |revision: &str, version: &str| Mesh {
            revision: revision.to_owned(),
            version: version.to_owned(),
            ..Mesh::sample()
        };
        let meshes = vec![mesh("canary", "1.31.0"), mesh("default", "1.30.0")];
        let mut found = Found { meshes, ..Found::default() };
        assert_eq!(istio(&found).as_deref(), Some("1.30.0"));
        found.meshes.pop();
        assert_eq!(istio(&found).as_deref(), Some("1.31.0"));
        assert_eq!(istio(&Found::default()), None);
    }
}
