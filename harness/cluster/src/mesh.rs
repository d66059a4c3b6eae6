//! What there is of Istio in a cluster, as far as witnesses depend on it: where its control plane is, what identities it
//! gives, and what its sidecars write down. Another mesh has other settings; none of them is the gateway's fault.

mod entry;
pub mod log_form;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use meshproof_model::yaml;
use serde::Deserialize;

pub use entry::SidecarEntry;
pub use log_form::LogForm;

/// What Istio calls the container it injects.
pub const SIDECAR: &str = "istio-proxy";
/// Istio's trust domain unless `meshConfig.trustDomain` says otherwise.
const TRUST_DOMAIN: &str = "cluster.local";
/// Istio's name for the control plane that has no revision.
const DEFAULT_REVISION: &str = "default";
/// Secret of an authority that a platform's people plugged in.
const PLUGGED_IN: &str = "cacerts";

/// One control plane and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Namespace of its istiod.
    pub namespace: String,
    /// Its revision; `default` without one.
    pub revision: String,
    /// Where policies for the whole mesh are (`meshConfig.rootNamespace`).
    pub root_namespace: String,
    /// First part of every identity (`meshConfig.trustDomain`).
    pub trust_domain: String,
    /// What its sidecars write down (`meshConfig.accessLogFile`, `accessLogEncoding`, `accessLogFormat`).
    pub access_log: LogForm,
    /// Whether its authority was plugged in.
    pub plugged_in: bool,
}

/// As much of Istio's MeshConfig as matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    access_log_file: String,
    access_log_encoding: String,
    access_log_format: String,
    trust_domain: String,
    root_namespace: String,
}

impl Mesh {
    /// The identity of a service account.
    pub fn spiffe_id(&self, namespace: &str, service_account: &str) -> String {
        format!("spiffe://{}/ns/{namespace}/sa/{service_account}", self.trust_domain)
    }

    fn new(istiod: &Deployment, config: &str, plugged_in: bool) -> Result<Self, String> {
        let config: Config = match config.trim() {
            "" => Config::default(),
            text => yaml::from_str(text).map_err(|error| error.to_string())?,
        };
        let or = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
        let namespace = istiod.namespace().unwrap_or_default();
        let access_log =
            LogForm::new(&config.access_log_file, &config.access_log_encoding, &config.access_log_format)?;
        Ok(Self {
            revision: revision(istiod.labels()),
            root_namespace: or(config.root_namespace, &namespace),
            trust_domain: or(config.trust_domain, TRUST_DOMAIN),
            namespace,
            access_log,
            plugged_in,
        })
    }
}

#[cfg(test)]
impl Mesh {
    /// One as Istio is installed without any setting, but for an access log of the kind that clusters made here have.
    pub(crate) fn sample() -> Self {
        let fields = [
            ("time", "START_TIME"),
            ("path", "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)"),
            ("request_id", "REQ(X-REQUEST-ID)"),
            ("response_code", "RESPONSE_CODE"),
            ("response_flags", "RESPONSE_FLAGS"),
            ("filter_chain", "FILTER_CHAIN_NAME"),
            ("upstream_cluster", "UPSTREAM_CLUSTER"),
            ("upstream_local_address", "UPSTREAM_LOCAL_ADDRESS"),
            ("downstream_remote_address", "DOWNSTREAM_REMOTE_ADDRESS"),
            ("downstream_peer_uri_san", "DOWNSTREAM_PEER_URI_SAN"),
            ("downstream_peer_serial", "DOWNSTREAM_PEER_SERIAL"),
            ("downstream_tls_version", "DOWNSTREAM_TLS_VERSION"),
        ];
        Self {
            namespace: "istio-system".into(),
            revision: DEFAULT_REVISION.into(),
            root_namespace: "istio-system".into(),
            trust_domain: TRUST_DOMAIN.into(),
            access_log: LogForm::Json(fields.map(|(field, operator)| (field.into(), operator.into())).into()),
            plugged_in: false,
        }
    }
}

fn revision(labels: &BTreeMap<String, String>) -> String {
    labels.get("istio.io/rev").cloned().unwrap_or_else(|| DEFAULT_REVISION.to_owned())
}

/// Name of the ConfigMap with a revision's MeshConfig.
fn config_map(revision: &str) -> String {
    if revision == DEFAULT_REVISION { "istio".to_owned() } else { format!("istio-{revision}") }
}

/// Why what there is of Istio is not known.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The API server did not tell.
    #[error("{doing}")]
    Request {
        /// What was being done.
        doing: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A MeshConfig cannot be understood.
    #[error("the MeshConfig in ConfigMap {namespace}/{name} cannot be read: {why}")]
    Config {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

fn asking(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> MeshError {
    let doing = doing.into();
    move |source| MeshError::Request { doing, source: Box::new(source) }
}

/// Every control plane in the cluster, wherever it is.
///
/// # Errors
/// The API server refuses, or a MeshConfig cannot be read.
pub async fn all(client: &Client) -> Result<Vec<Mesh>, MeshError> {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let istiods = deployments.list(&ListParams::default().labels("app=istiod")).await;
    let mut meshes = Vec::new();
    for istiod in istiods.map_err(asking("looking for istiod in all namespaces"))?.items {
        let namespace = istiod.namespace().unwrap_or_default();
        let name = config_map(&revision(istiod.labels()));
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let map =
            maps.get_opt(&name).await.map_err(asking(format!("reading ConfigMap {namespace}/{name}")))?;
        let config = map.and_then(|map| map.data?.remove("mesh")).unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let plugged = secrets.get_metadata_opt(PLUGGED_IN).await;
        let plugged = plugged.map_err(asking(format!("looking for Secret {namespace}/{PLUGGED_IN}")))?;
        let mesh = Mesh::new(&istiod, &config, plugged.is_some());
        meshes.push(mesh.map_err(|why| MeshError::Config { namespace, name, why })?);
    }
    Ok(meshes)
}

/// The control plane that is responsible for a namespace, if there is one.
///
/// # Errors
/// See [`all`].
pub async fn of_namespace(client: &Client, namespace: &str) -> Result<Option<Mesh>, MeshError> {
    let meshes = all(client).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get_metadata_opt(namespace).await;
    let found = found.map_err(asking(format!("reading namespace {namespace}")))?;
    let labels = found.map(|found| found.labels().clone()).unwrap_or_default();
    Ok(responsible(meshes, &labels))
}

/// Of several, the one whose revision the namespace names; `istio-injection` means the one without.
fn responsible(meshes: Vec<Mesh>, labels: &BTreeMap<String, String>) -> Option<Mesh> {
    let wanted =
        if labels.contains_key("istio-injection") { DEFAULT_REVISION.to_owned() } else { revision(labels) };
    let at = meshes.iter().position(|mesh| mesh.revision == wanted);
    meshes.into_iter().nth(at.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mesh(revision: Option<&str>, config: &str) -> Mesh {
        let labels = json!({"app": "istiod", "istio.io/rev": revision.unwrap_or("default")});
        let istiod = json!({"metadata": {"name": "istiod", "namespace": "mesh-system", "labels": labels}});
        Mesh::new(&serde_json::from_value(istiod).unwrap(), config, false).unwrap()
    }

    #[test]
    fn what_is_not_set_is_as_istio_has_it() {
        let mesh = mesh(None, "defaultConfig: {discoveryAddress: istiod.mesh-system.svc:15012}\n");
        assert_eq!(
            (mesh.trust_domain.as_str(), mesh.root_namespace.as_str()),
            ("cluster.local", "mesh-system")
        );
        assert_eq!(mesh.access_log, LogForm::Off);
        assert_eq!(mesh.spiffe_id("shop", "default"), "spiffe://cluster.local/ns/shop/sa/default");
    }

    #[test]
    fn what_is_set_is_taken() {
        let mesh = mesh(
            Some("stable"),
            "trustDomain: mesh.example\nrootNamespace: policies\naccessLogFile: /dev/stdout\n",
        );
        assert_eq!((mesh.trust_domain.as_str(), mesh.root_namespace.as_str()), ("mesh.example", "policies"));
        assert_eq!(mesh.access_log, LogForm::new("/dev/stdout", "", "").unwrap());
        assert_eq!((mesh.revision.as_str(), config_map(&mesh.revision)), ("stable", "istio-stable".into()));
    }

    #[test]
    fn a_namespace_says_whose_it_is() {
        let meshes = || vec![mesh(Some("canary"), ""), mesh(None, "")];
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let of = |labels| responsible(meshes(), &labels).unwrap().revision;
        assert_eq!(of(labels("istio.io/rev", "canary")), "canary");
        assert_eq!(of(labels("istio-injection", "enabled")), "default");
        assert_eq!(of(BTreeMap::new()), "default");
        assert_eq!(responsible(vec![], &BTreeMap::new()), None);
        let alone = responsible(vec![mesh(Some("canary"), "")], &BTreeMap::new());
        assert_eq!(alone.unwrap().revision, "canary", "there is but one");
    }
}
