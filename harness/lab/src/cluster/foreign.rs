//! A mesh as somebody else would have set it up, in a cluster of ours: installed with their settings, and without anything that
//! would tell it from a stranger's.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Resource, ResourceExt, discovery};
use serde::de::DeserializeOwned;

use super::api::{self, ApiError, request};
use super::root::new_authority;
use super::{Cluster, ClusterError, addons, istio};
use meshproof_model::foreign::{ForeignMesh, Holdings};

/// For a namespace to be gone with all that is in it.
const GONE: Duration = Duration::from_secs(120);
/// For istiod to have taken back what it leads by, and its webhooks to trust it.
const SETTLED: Duration = Duration::from_secs(60);
/// What a revision that is the default one is tagged by.
const DEFAULT_TAG: &str = "istio.io/tag=default";

impl Cluster {
    /// Sets the mesh up.
    ///
    /// # Errors
    /// istioctl or the API server refuses, or something does not become ready.
    pub async fn make_foreign(&self, mesh: &ForeignMesh) -> Result<(), ClusterError> {
        let client = self.client().await?;
        let namespace = serde_json::json!({"metadata": {"name": mesh.namespace}});
        let namespace: Namespace = serde_json::from_value(namespace).map_err(|error| broken(mesh, &error))?;
        create(&Api::all(client.clone()), &namespace).await?;
        if mesh.plugged_in {
            let authority = new_authority(SystemTime::now()).map_err(ClusterError::Authority)?;
            let mut secret = Secret { data: Some(authority), ..Secret::default() };
            secret.metadata.name = Some("cacerts".to_owned());
            create(&Api::namespaced(client.clone(), &mesh.namespace), &secret).await?;
        }
        let operator = mesh.operator().map_err(|error| broken(mesh, &error))?;
        let (namespace, revision) = (mesh.namespace.as_str(), mesh.revision.as_deref());
        istio::install_foreign(
            &self.artifacts,
            &self.state,
            &self.kubeconfig,
            &operator,
            namespace,
            revision,
        )
        .await?;
        if !mesh.is_default {
            let tags: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
            let tagged = tags.list_metadata(&ListParams::default().labels(DEFAULT_TAG)).await;
            for tag in tagged.map_err(request("looking for the tag `default`"))?.items {
                let name = tag.name_any();
                let deleted = tags.delete(&name, &DeleteParams::default()).await;
                deleted.map_err(request(format!("removing the webhook {name}")))?;
            }
        }
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for name in &mesh.lacks {
            match definitions.delete(name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => return Err(request(format!("removing the definition {name}"))(error).into()),
            }
            let gone = |object: Option<&CustomResourceDefinition>| object.is_none();
            if !api::wait(definitions.clone(), name, gone, GONE).await? {
                let doing = format!("removing the definition {name}");
                let seen = "it is still there".to_owned();
                return Err(ApiError::Late { doing, limit: GONE, seen }.into());
            }
        }
        self.apply_foreign(&client, mesh).await
    }

    /// The mesh's own objects: a webhook of Istio's looks at them, which may not be trusted in the first moment.
    async fn apply_foreign(&self, client: &Client, mesh: &ForeignMesh) -> Result<(), ClusterError> {
        let since = tokio::time::Instant::now();
        for object in &mesh.objects {
            let object: DynamicObject =
                serde_json::from_value(object.clone()).map_err(|error| broken(mesh, &error))?;
            loop {
                match api::apply(client, vec![object.clone()]).await {
                    Ok(()) => break,
                    Err(error) if since.elapsed() > SETTLED => return Err(error.into()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                }
            }
        }
        Ok(())
    }

    /// Takes the mesh out again, with its namespace and the authority in it.
    ///
    /// # Errors
    /// istioctl or the API server refuses, or something does not go.
    pub async fn remove_foreign(&self, mesh: &ForeignMesh) -> Result<(), ClusterError> {
        let client = self.client().await?;
        for object in &mesh.objects {
            remove(&client, mesh, object).await?;
        }
        if !mesh.lacks.is_empty() {
            api::apply(&client, addons::gateway_api(&self.artifacts.gateway_api_crds)?).await?;
        }
        istio::uninstall(&self.artifacts, &self.kubeconfig).await?;
        let namespaces: Api<Namespace> = Api::all(client);
        match namespaces.delete(&mesh.namespace, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            Err(error) => return Err(request(format!("removing namespace {}", mesh.namespace))(error).into()),
        }
        let gone = |object: Option<&Namespace>| object.is_none();
        match api::wait(namespaces, &mesh.namespace, gone, GONE).await? {
            true => Ok(()),
            false => Err(ApiError::Late {
                doing: format!("removing namespace {}", mesh.namespace),
                limit: GONE,
                seen: "it is still there".to_owned(),
            }
            .into()),
        }
    }

    /// What of the cluster a run could leave behind or take away.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn holdings(&self) -> Result<Holdings, ClusterError> {
        let client = self.client().await?;
        let mut all = BTreeSet::new();
        all.extend(names::<Namespace>(&client).await?);
        all.extend(names::<CustomResourceDefinition>(&client).await?);
        all.extend(names::<MutatingWebhookConfiguration>(&client).await?);
        all.extend(names::<k8s_openapi::api::rbac::v1::ClusterRole>(&client).await?);
        all.extend(names::<k8s_openapi::api::rbac::v1::ClusterRoleBinding>(&client).await?);
        let leases: Api<Lease> = Api::namespaced(client, "default");
        let leases = leases.list_metadata(&ListParams::default()).await;
        let leases = leases.map_err(request("listing Leases in default"))?;
        all.extend(leases.items.iter().map(|lease| format!("Lease default/{}", lease.name_any())));
        Ok(all)
    }
}

fn broken(mesh: &ForeignMesh, error: &dyn std::fmt::Display) -> ClusterError {
    ApiError::Manifest { name: format!("mesh {}", mesh.id), reason: error.to_string() }.into()
}

async fn create<K>(api: &Api<K>, object: &K) -> Result<(), ClusterError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(request(format!("making {} {}", K::kind(&()), object.name_any()))(error).into()),
    }
}

async fn remove(client: &Client, mesh: &ForeignMesh, object: &serde_json::Value) -> Result<(), ClusterError> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (name, namespace) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let wanted = GroupVersionKind::gvk(group, version, &kind);
    let Ok((resource, _)) = discovery::pinned_kind(client, &wanted).await else { return Ok(()) };
    let api: Api<DynamicObject> = match namespace.is_empty() {
        true => Api::all_with(client.clone(), &resource),
        false => Api::namespaced_with(client.clone(), &namespace, &resource),
    };
    match api.delete(&name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(request(format!("removing {kind} {name} of mesh {}", mesh.id))(error).into()),
    }
}

async fn names<K>(client: &Client) -> Result<Vec<String>, ApiError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let kind = K::kind(&());
    let list = api.list_metadata(&ListParams::default()).await;
    let list = list.map_err(request(format!("listing {kind}s")))?;
    Ok(list.items.iter().map(|object| format!("{kind} {}", object.name_any())).collect())
}
