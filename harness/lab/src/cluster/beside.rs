//! What a gateway has beside its helm releases: plain manifests, and objects of its file. They are applied after the releases and
//! removed before them, bear the label of whoever made them, and nobody else's object of the same name is touched.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{GroupVersionKind, ObjectMeta};
use kube::discovery::{Scope, oneshot};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::time::Instant;

use super::api::{self, ApiError, deployment_shortfall, request, wait};
use super::implementation::class_is_accepted;
use super::{InstallError, owner};
use meshproof_model::implementation::{Implementation, Occasion};
use meshproof_model::scenario::placeholder::{Values, substitute_by};

/// For the API server to serve the kinds of a definition that was just made.
const SERVED: Duration = Duration::from_secs(20);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(200);
/// For what is deleted to be gone.
const GONE: Duration = Duration::from_secs(120);

/// An object that is to be there.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    object: DynamicObject,
    /// Its namespace, unless its kind has none.
    namespace: String,
}

impl Wanted {
    fn new(value: Value, namespace: &str) -> Result<Self, ApiError> {
        let broken = |reason: String| ApiError::Manifest {
            name: "an object of the implementation".to_owned(),
            reason,
        };
        let object: DynamicObject =
            serde_json::from_value(value).map_err(|error| broken(error.to_string()))?;
        match (&object.types, &object.metadata.name) {
            (Some(_), Some(_)) => Ok(Self { object, namespace: namespace.to_owned() }),
            _ => Err(broken("it has no `apiVersion`, no `kind`, or no `metadata.name`".to_owned())),
        }
    }

    fn kind(&self) -> &str {
        self.object.types.as_ref().map(|types| types.kind.as_str()).unwrap_or_default()
    }

    /// Its API, and it as it is told; nothing while the API server knows no such kind.
    async fn api(&self, client: &Client) -> Result<Option<(Api<DynamicObject>, String)>, ApiError> {
        let name = self.object.name_any();
        let told = format!("{}/{name}", self.kind().to_lowercase());
        let Some(types) = &self.object.types else { return Ok(None) };
        let gvk = GroupVersionKind::try_from(types)
            .map_err(|error| ApiError::Manifest { name: told.clone(), reason: error.to_string() })?;
        let (resource, can) = match oneshot::pinned_kind(client, &gvk).await {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(kube::Error::Discovery(_)) => return Ok(None),
            Err(error) => return Err(request(format!("asking for the kind {}", types.kind))(error)),
        };
        Ok(Some(match can.scope {
            Scope::Cluster => (Api::all_with(client.clone(), &resource), told),
            Scope::Namespaced => {
                let own = self.object.metadata.namespace.as_deref();
                let namespace = own.unwrap_or(&self.namespace);
                let api = Api::namespaced_with(client.clone(), namespace, &resource);
                (api, format!("{told} in {namespace}"))
            }
        }))
    }
}

/// Everything beside the releases, in the order in which it is applied; `image` has the values of the images' placeholders.
pub(super) fn wanted(of: &Implementation, image: Values<'_>) -> Result<Vec<Wanted>, InstallError> {
    let missing = |placeholder: String| {
        InstallError::ImageMissing(super::implementation::image_name(&placeholder).to_owned())
    };
    let mut all = Vec::new();
    for manifests in &of.manifests {
        let unreadable = |source| InstallError::Manifests { implementation: of.name.clone(), source };
        for path in manifests.paths().map_err(unreadable)? {
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            for object in api::objects(&path.display().to_string(), &text)? {
                let value = serde_json::to_value(&object).unwrap_or_default();
                let value = substitute_by(&value, image).map_err(missing)?;
                all.push(Wanted::new(value, manifests.namespace.as_deref().unwrap_or("default"))?);
            }
        }
    }
    let objects = of.objects_of(Occasion::Gateway).map_err(Box::new)?;
    for object in objects {
        all.push(Wanted::new(substitute_by(&object, image).map_err(missing)?, "default")?);
    }
    Ok(all)
}

/// Applies everything beside the releases; says what was made. What is there and nobody here made is refused.
pub(super) async fn apply(client: &Client, all: Vec<Wanted>, run: &str) -> Result<Vec<String>, InstallError> {
    let mut made = Vec::new();
    for wanted in all {
        let deadline = Instant::now() + SERVED;
        let (api, told) = loop {
            match wanted.api(client).await? {
                Some(found) => break found,
                None if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                None => {
                    let doing =
                        format!("applying {}/{}", wanted.kind().to_lowercase(), wanted.object.name_any());
                    let seen = "the API server knows no such kind".to_owned();
                    return Err(ApiError::Late { doing, limit: SERVED, seen }.into());
                }
            }
        };
        let name = wanted.object.name_any();
        let there = metadata(&api, &name, &told).await?;
        let whose = match &there {
            None => run,
            // What `up` made stays the cluster's, whoever applies it again.
            Some(metadata) => owner::run_of(metadata).ok_or_else(|| InstallError::NotOurs(told.clone()))?,
        };
        let object = serde_json::to_value(&wanted.object).unwrap_or_default();
        let object = owner::labelled(&object, whose);
        let params = PatchParams::apply(owner::MANAGER).force();
        let patched = api.patch(&name, &params, &Patch::Apply(&object)).await;
        patched.map_err(request(format!("applying {told}")))?;
        if there.is_none() {
            made.push(told);
        }
    }
    Ok(made)
}

/// Removes everything beside the releases that bears a label of ours, last first, and waits until it is gone; says what was
/// there.
pub(super) async fn remove(client: &Client, of: &Implementation) -> Result<Vec<String>, InstallError> {
    let mut gone = Vec::new();
    // Which image it has is nothing to its removal.
    let all = wanted(of, &|_| Some(String::new()))?;
    for wanted in all.into_iter().rev() {
        let Some((api, told)) = wanted.api(client).await? else { continue };
        let name = wanted.object.name_any();
        let Some(found) = metadata(&api, &name, &told).await? else { continue };
        if owner::run_of(&found).is_none() {
            continue;
        }
        if wanted.kind() == "CustomResourceDefinition" {
            let others = owner::of_definition(client, &name).await?;
            if !others.is_empty() {
                let with = others.join(", ");
                return Err(InstallError::Left(format!(
                    "the definition {name} is left alone: with it would go {with}"
                )));
            }
        }
        let same = Preconditions { uid: found.uid.clone(), resource_version: None };
        match api.delete(&name, &DeleteParams::default().preconditions(same)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => continue,
            Err(source) => return Err(request(format!("removing {told}"))(source).into()),
        }
        let uid = found.uid;
        let is_gone = |object: Option<&DynamicObject>| object.is_none_or(|object| object.uid() != uid);
        if !wait(api, &name, is_gone, GONE).await? {
            return Err(InstallError::Remains(told, GONE.as_secs()));
        }
        gone.push(told);
    }
    Ok(gone)
}

/// What of it is in the way on a cluster that is somebody else's: it exists, and is not ours. A line each.
///
/// # Errors
/// The API server refuses.
pub async fn in_the_way(client: &Client, of: &Implementation) -> Result<Vec<String>, InstallError> {
    let mut lines = Vec::new();
    let all = wanted(of, &|_| Some(String::new()))?;
    for wanted in all {
        let Some((api, told)) = wanted.api(client).await? else { continue };
        let Some(found) = metadata(&api, &wanted.object.name_any(), &told).await? else { continue };
        lines.push(match owner::run_of(&found) {
            None => format!("{told} exists and would be overwritten and removed"),
            Some(run) => format!(
                "{told} was left by run {run}, which is over: `meshproof clean --context NAME` removes it"
            ),
        });
    }
    Ok(lines)
}

/// What is missing of a gateway that is said to be installed: a line each, none for one that is not said to be.
///
/// # Errors
/// The API server refuses.
pub async fn lacks(client: &Client, of: &Implementation) -> Result<Vec<String>, ApiError> {
    let Some(installed) = &of.installed else { return Ok(Vec::new()) };
    let mut lacks = Vec::new();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in &installed.namespaces {
        if namespaces
            .get_metadata_opt(name)
            .await
            .map_err(request(format!("looking for namespace {name}")))?
            .is_none()
        {
            lacks.push(format!("namespace {name} is not there"));
        }
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in &installed.definitions {
        let found = definitions.get_metadata_opt(name).await;
        if found.map_err(request(format!("looking for the definition {name}")))?.is_none() {
            lacks.push(format!("the definition {name} is not there"));
        }
    }
    for (namespace, name) in &installed.deployments {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let found = deployments.get_opt(name).await;
        match found.map_err(request(format!("looking for deployment {name} in {namespace}")))? {
            None => lacks.push(format!("deployment {name} in {namespace} is not there")),
            Some(deployment) => lacks.extend(
                deployment_shortfall(&deployment)
                    .map(|why| format!("deployment {name} in {namespace} is not ready: {why}")),
            ),
        }
    }
    // One that its own objects bring is made later.
    if !brings_class(of) && !class_is_accepted(client, of).await? {
        let (class, controller) = (&of.gateway_class, &of.controller);
        lacks.push(format!("GatewayClass {class} of {controller} is not there, or not accepted"));
    }
    let told = |line| format!("{} is said to be installed (`installed: true`): {line}", of.name);
    Ok(lacks.into_iter().map(told).collect())
}

/// Whether its GatewayClass is there, and accepted.
///
/// # Errors
/// The API server refuses.
pub async fn has_class(client: &Client, of: &Implementation) -> Result<bool, ApiError> {
    class_is_accepted(client, of).await
}

/// Whether its GatewayClass is among the objects that are applied for it.
pub fn brings_class(of: &Implementation) -> bool {
    of.objects.values().any(|object| object.get("kind").is_some_and(|kind| kind.text() == Ok("GatewayClass")))
}

async fn metadata(api: &Api<DynamicObject>, name: &str, told: &str) -> Result<Option<ObjectMeta>, ApiError> {
    let found = api.get_metadata_opt(name).await.map_err(request(format!("looking for {told}")))?;
    Ok(found.map(|found| found.metadata))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn implementation(more: &str) -> Implementation {
        let text = format!(
            "name: g\ngateway-class: c\ncontroller: example/c\naddress: {{type: IPAddress, value: '*', resolve: itself}}\n\
             proxies: {{namespace: p, selector: a=b, access-log: none}}\nidentity: none\n{more}"
        );
        Implementation::parse(Path::new("g.yaml"), text).unwrap()
    }

    #[test]
    fn objects_are_applied_with_the_images_that_were_made() {
        let of = implementation(
            "objects:\n  class: {apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: \
             '${implementation.class}'}, spec: {controllerName: '${implementation.controller}'}}\n  \
             proxy: {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {image: '${images.traefik}'}}\n",
        );
        assert!(brings_class(&of));
        let image = |name: &str| (name == "images.traefik").then(|| "localhost/traefik:1".to_owned());
        let all = wanted(&of, &image).unwrap();
        let told: Vec<_> = all.iter().map(|wanted| (wanted.kind(), wanted.object.name_any())).collect();
        assert_eq!(told, [("GatewayClass", "c".to_owned()), ("Pod", "p".to_owned())]);
        assert_eq!(all[1].object.data["spec"]["image"], "localhost/traefik:1");
        let missing = wanted(&of, &|_| None).unwrap_err().to_string();
        assert!(missing.contains("traefik"), "{missing}");
    }

    /// An API server that has these objects, by the end of their paths, and no others.
    fn server(there: Vec<(&'static str, serde_json::Value)>) -> Client {
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let path = request.uri().path().to_owned();
            assert_eq!(request.method(), http::Method::GET, "nothing of it is touched: {path}");
            let found = there.iter().find(|(end, _)| path.ends_with(end)).map(|(_, object)| object.clone());
            let missing = serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "not found", "reason": "NotFound", "code": 404});
            let code = if found.is_some() { 200 } else { 404 };
            let body = serde_json::to_vec(&found.unwrap_or(missing)).unwrap();
            let answer = http::Response::builder().status(code).body(kube::client::Body::from(body)).unwrap();
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        Client::new(service, "default")
    }

    const THERE: &str = "installed: true\nrequires:\n  namespaces: [gateways]\n  deployments: [gateways/controller]\n  \
                         definitions: [proxies.example.com]\n";

    #[tokio::test]
    async fn everything_that_is_missing_of_an_installed_gateway_is_told() {
        let lines = lacks(&server(Vec::new()), &implementation(THERE)).await.unwrap();
        let told = |line: &str| format!("g is said to be installed (`installed: true`): {line}");
        let wanted = [
            "namespace gateways is not there",
            "the definition proxies.example.com is not there",
            "deployment controller in gateways is not there",
            "GatewayClass c of example/c is not there, or not accepted",
        ];
        assert_eq!(lines, wanted.map(told));
        let nobody_said_so = lacks(&server(Vec::new()), &implementation("")).await.unwrap();
        assert!(nobody_said_so.is_empty());
    }

    #[tokio::test]
    async fn an_installed_gateway_that_is_ready_lacks_nothing() {
        let deployment = |ready: u32| {
            serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "controller", "namespace": "gateways", "generation": 1},
                "spec": {"replicas": 1, "selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready,
                    "availableReplicas": ready}})
        };
        let metadata = |name: &str| serde_json::json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name}});
        let class = serde_json::json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": "c"}, "spec": {"controllerName": "example/c"}, "status": {"conditions": [{
                "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let all = |ready: u32| {
            server(vec![
                ("/namespaces/gateways", metadata("gateways")),
                ("/customresourcedefinitions/proxies.example.com", metadata("proxies.example.com")),
                ("/deployments/controller", deployment(ready)),
                ("/gatewayclasses/c", class.clone()),
            ])
        };
        let lines = lacks(&all(1), &implementation(THERE)).await.unwrap();
        assert!(lines.is_empty(), "{lines:?}");
        let lines = lacks(&all(0), &implementation(THERE)).await.unwrap();
        assert!(lines[0].contains("deployment controller in gateways is not ready"), "{lines:?}");
    }
}
