//! The cluster's API server: reaching it before kind is done, applying our manifests, waiting for workloads.

use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::ApiResource;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Client, Config};
use serde_json::json;

use super::kind::STARTING;
use meshproof_model::yaml;

mod connect;
mod kinds;
pub mod proxy;
mod readiness;
pub mod trouble;

pub use kinds::{all as all_kinds, kinds};
use proxy::{Proxy, Unusable};
pub use readiness::{deployment_shortfall, node_is_ready, pod_is_ready, pod_troubles, pods_shortfall};

/// Our name as the owner of fields.
const FIELD_MANAGER: &str = "meshproof";
/// To an API server near or far; what takes longer is not there.
const CONNECTED: Duration = Duration::from_secs(5);
/// Objects applied at the same time.
const APPLY_WIDTH: usize = 6;

/// Something asked of the API server did not come true.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig {path} cannot be used: {reason}. Mend it, or name another one with KUBECONFIG")]
    Kubeconfig {
        /// Which one.
        path: String,
        /// Why.
        reason: String,
    },
    /// A request failed.
    #[error("{doing}: {}", trouble::why(source))]
    Request {
        /// What was being done.
        doing: String,
        /// What the API server or the connection said.
        source: Box<kube::Error>,
    },
    /// A manifest of ours is broken.
    #[error("reading the manifest {name}: {reason}")]
    Manifest {
        /// Which one.
        name: String,
        /// Why.
        reason: String,
    },
    /// A time limit passed.
    #[error("{doing}: not within {} s; last seen: {seen}", limit.as_secs())]
    Late {
        /// What was waited for.
        doing: String,
        /// How long.
        limit: Duration,
        /// What was there instead.
        seen: String,
    },
}

/// Says what was being done when a request failed.
pub fn request(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> ApiError {
    let doing = doing.into();
    move |source| ApiError::Request { doing, source: Box::new(source) }
}

/// A client for a kubeconfig file.
pub async fn client(kubeconfig: &Path) -> Result<Client, ApiError> {
    Ok(client_by_way(kubeconfig).await?.0)
}

/// The same, and the proxy by which it reaches the server.
pub async fn client_by_way(kubeconfig: &Path) -> Result<(Client, Option<Proxy>), ApiError> {
    let broken = |reason: String| ApiError::Kubeconfig { path: kubeconfig.display().to_string(), reason };
    let mut file = Kubeconfig::read_from(kubeconfig).map_err(|error| broken(trouble::of_chain(&error)))?;
    // kube refuses some values that need not be used at all.
    let clusters = file.clusters.iter_mut().filter_map(|named| named.cluster.as_mut());
    let own: Vec<_> = clusters.filter_map(|cluster| cluster.proxy_url.take()).collect();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.map_err(|error| broken(trouble::of_chain(&error)))?;
    let environment = |name: &str| std::env::var(name).ok();
    let proxy = proxy::for_server(&config.cluster_url, own.first().map(String::as_str), environment);
    let proxy = proxy.map_err(|Unusable(why)| broken(why))?;
    config.connect_timeout = Some(CONNECTED);
    let client = connect::connect(config, proxy.clone()).map_err(|error| broken(trouble::why(&error)))?;
    Ok((client, proxy))
}

/// Address of the API server that a kubeconfig file leads to, if it says so.
pub fn server_of(kubeconfig: &Path) -> Option<String> {
    let config = Kubeconfig::read_from(kubeconfig).ok()?;
    config.clusters.into_iter().find_map(|named| named.cluster?.server)
}

/// The node's own administrator kubeconfig, rewritten for use from the host. It works from the API server's first
/// moment, whereas kind writes its kubeconfig at the end.
pub(crate) fn reached_from_host(node_kubeconfig: &str, server: &str) -> Result<String, ApiError> {
    let broken =
        |reason: String| ApiError::Kubeconfig { path: "of the control-plane node".to_owned(), reason };
    let mut config = Kubeconfig::from_yaml(node_kubeconfig).map_err(|error| broken(error.to_string()))?;
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.server = Some(server.to_owned());
    }
    serde_json::to_string_pretty(&config).map_err(|error| broken(error.to_string()))
}

/// Waits until the API server answers requests at all; it may still be making what it needs itself.
pub(crate) async fn wait_until_answering(client: &Client, limit: Duration) -> Result<(), ApiError> {
    poll(client, "/version", limit).await
}

/// Waits until the API server calls itself ready.
pub(crate) async fn wait_until_serving(client: &Client, limit: Duration) -> Result<(), ApiError> {
    poll(client, "/readyz", limit).await
}

async fn poll(client: &Client, path: &str, limit: Duration) -> Result<(), ApiError> {
    let mut seen = String::new();
    let answered = async {
        loop {
            match get(client, path).await {
                Ok(()) => return,
                Err(error) => seen = error.to_string(),
            }
            // Nothing announces that a port is listened on.
            tokio::time::sleep(Duration::from_millis(75)).await;
        }
    };
    match tokio::time::timeout(limit, answered).await {
        Ok(()) => Ok(()),
        Err(_) => Err(ApiError::Late { doing: format!("waiting for the API server at {path}"), limit, seen }),
    }
}

/// Asks the API server once whether it is ready.
pub async fn readyz(client: &Client) -> Result<(), ApiError> {
    get(client, "/readyz").await
}

/// Asks the API server once for something that it need only answer.
pub async fn get(client: &Client, path: &str) -> Result<(), ApiError> {
    let doing = format!("asking the API server for {path}");
    let get = http::Request::get(path).body(Vec::new());
    let get = get.map_err(|error| request(doing.clone())(kube::Error::HttpError(error)))?;
    client.request_text(get).await.map_err(request(doing))?;
    Ok(())
}

/// Objects of a manifest text.
pub fn objects(name: &str, text: &str) -> Result<Vec<DynamicObject>, ApiError> {
    yaml::documents(text)
        .map_err(|error| ApiError::Manifest { name: name.to_owned(), reason: error.to_string() })
}

/// The same with values in the place of `${NAME}`.
pub(crate) fn filled(
    name: &str,
    text: &str,
    values: &[(&str, &str)],
) -> Result<Vec<DynamicObject>, ApiError> {
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(&format!("${{{name}}}"), value);
    objects(name, &values.iter().fold(text.to_owned(), fill))
}

/// Server-side applies objects: namespaces first, the rest side by side.
pub async fn apply(client: &Client, objects: Vec<DynamicObject>) -> Result<(), ApiError> {
    apply_as(client, FIELD_MANAGER, objects).await
}

/// The same in the name of another owner of fields, who will apply them again.
pub(crate) async fn apply_as(
    client: &Client,
    owner: &str,
    objects: Vec<DynamicObject>,
) -> Result<(), ApiError> {
    let is_namespace =
        |object: &DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == "Namespace");
    let (first, rest): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_namespace);
    for batch in [first, rest] {
        futures::stream::iter(batch.into_iter().map(|object| apply_one(client, owner, object)))
            .buffer_unordered(APPLY_WIDTH)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

async fn apply_one(client: &Client, owner: &str, object: DynamicObject) -> Result<(), ApiError> {
    let types =
        object.types.clone().unwrap_or_else(|| TypeMeta { api_version: String::new(), kind: String::new() });
    let name = object.metadata.name.clone().unwrap_or_default();
    let doing = format!("applying {} {name}", types.kind);
    let gvk = GroupVersionKind::try_from(&types)
        .map_err(|error| ApiError::Manifest { name: doing.clone(), reason: error.to_string() })?;
    // Our manifests hold built-in kinds only, whose plurals follow the rule.
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply(owner).force();
    api.patch(&name, &params, &Patch::Apply(&object)).await.map_err(request(doing))?;
    Ok(())
}

/// Waits until a Deployment has all its replicas updated and available; on failure says what its pods lack.
pub async fn wait_for_deployment(
    client: &Client,
    namespace: &str,
    name: &str,
    limit: Duration,
) -> Result<(), ApiError> {
    wait_for_replicas(client, namespace, name, deployment_shortfall, limit).await
}

/// Waits until a Deployment lacks nothing of what `shortfall` asks for; on failure says what its pods lack.
pub(crate) async fn wait_for_replicas(
    client: &Client,
    namespace: &str,
    name: &str,
    shortfall: fn(&Deployment) -> Option<String>,
    limit: Duration,
) -> Result<(), ApiError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let ready = |object: Option<&Deployment>| object.is_some_and(|d| shortfall(d).is_none());
    if wait(api.clone(), name, ready, limit).await? {
        return Ok(());
    }
    let mut seen = match api.get_opt(name).await.map_err(request("reading the deployment"))? {
        None => "it does not exist".to_owned(),
        Some(deployment) => shortfall(&deployment).unwrap_or_else(|| "ready, but too late".to_owned()),
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    if let Ok(pods) = pods.list(&ListParams::default()).await {
        for trouble in pods.items.iter().flat_map(pod_troubles) {
            seen += &format!("\n    {trouble}");
        }
    }
    Err(ApiError::Late { doing: format!("waiting for deployment {name} in {namespace}"), limit, seen })
}

/// Waits until a node is Ready.
pub(crate) async fn wait_for_node(client: &Client, name: &str, limit: Duration) -> Result<(), ApiError> {
    let api: Api<Node> = Api::all(client.clone());
    if wait(api, name, |node: Option<&Node>| node.is_some_and(node_is_ready), limit).await? {
        return Ok(());
    }
    let seen = "it is not Ready; `kubectl describe node` says why".to_owned();
    Err(ApiError::Late { doing: format!("waiting for node {name}"), limit, seen })
}

/// Lets pods onto a node that was made with [`STARTING`]; nothing is done to one that takes them.
pub(crate) async fn admit_pods(client: &Client, name: &str) -> Result<(), ApiError> {
    let api: Api<Node> = Api::all(client.clone());
    loop {
        let doing = format!("letting pods onto node {name}");
        let node = api.get(name).await.map_err(request(doing.clone()))?;
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        let rest: Vec<_> = taints.iter().filter(|taint| taint.key != STARTING).collect();
        if rest.len() == taints.len() {
            return Ok(());
        }
        // The list is replaced as a whole, and others change it: only what was read may be.
        let version = node.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": rest}});
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(request(doing)(error)),
        }
    }
}

/// Whether the condition holds within the limit. A watch, so that nothing is noticed late.
pub async fn wait<K>(
    api: Api<K>,
    name: &str,
    condition: impl Condition<K>,
    limit: Duration,
) -> Result<bool, ApiError>
where
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + kube::Resource + 'static,
{
    match tokio::time::timeout(limit, await_condition(api, name, condition)).await {
        Err(_) => Ok(false),
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => {
            Err(ApiError::Late { doing: format!("watching {name}"), limit, seen: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_kubeconfig_is_pointed_at_the_published_port() {
        let node = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                    clusters: [{name: k, cluster: {server: 'https://inside:6443', certificate-authority-data: QQ==}}]\n\
                    contexts: [{name: c, context: {cluster: k, user: u}}]\n\
                    users: [{name: u, user: {client-certificate-data: QQ==, client-key-data: QQ==}}]\n";
        let text = reached_from_host(node, "https://127.0.0.1:4711").unwrap();
        let config = Kubeconfig::from_yaml(&text).unwrap();
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:4711"));
        assert!(text.contains("client-key-data"));
    }

    #[test]
    fn plurals_of_our_kinds_follow_the_rule() {
        for (kind, plural) in [
            ("CustomResourceDefinition", "customresourcedefinitions"),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
            ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
            ("ClusterRoleBinding", "clusterrolebindings"),
            ("Namespace", "namespaces"),
        ] {
            assert_eq!(ApiResource::from_gvk(&GroupVersionKind::gvk("g", "v1", kind)).plural, plural);
        }
    }
}
