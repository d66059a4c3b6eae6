//! What there is of Istio in a cluster, as far as witnesses depend on it: where its control plane is, what identities it
//! gives, and what its sidecars write down. Another mesh has other settings; none of them is the gateway's fault.

pub mod access_log;
mod config;
mod entry;
pub mod injection;
pub mod log_form;
pub mod proxies;
pub mod selector;
pub mod whole;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

pub use access_log::AccessLog;
use config::Config;
pub use entry::SidecarEntry;
pub use injection::Injector;
pub use log_form::LogForm;
pub use proxies::PastSidecars;
use selector::Selector;
pub use whole::Policy;

use meshproof_model::implementation::LogFormat;
use meshproof_model::istio::version;
use meshproof_run::probe::AccessLogEntry;

/// What Istio calls the container it injects.
pub const SIDECAR: &str = "istio-proxy";
/// Istio's trust domain unless `meshConfig.trustDomain` says otherwise.
const TRUST_DOMAIN: &str = "cluster.local";
/// Istio's name for the control plane that has no revision.
const DEFAULT_REVISION: &str = "default";
/// Secret of an authority that a platform's people plugged in.
const PLUGGED_IN: &str = "cacerts";
/// Variable of istiod that names a second ConfigMap, in which users of a managed mesh have their say.
const SHARED_CONFIG: &str = "SHARED_MESH_CONFIG";

/// One control plane and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Namespace of its istiod.
    pub namespace: String,
    /// Its revision; `default` without one.
    pub revision: String,
    /// Version of its istiod: the tag of the image.
    pub version: String,
    /// Where policies for the whole mesh are (`meshConfig.rootNamespace`).
    pub root_namespace: String,
    /// First part of every identity (`meshConfig.trustDomain`).
    pub trust_domain: String,
    /// What its sidecars write down (`meshConfig.accessLogFile`, or the Telemetry API).
    pub access_log: AccessLog,
    /// Whether its authority was plugged in.
    pub plugged_in: bool,
    /// How long sidecars go on with connections whose configuration has changed
    /// (`meshConfig.defaultConfig.drainDuration`), if the mesh says.
    pub drain: Option<Duration>,
    /// Which namespaces it looks at (`meshConfig.discoverySelectors`); all if there is none.
    pub discovery: Vec<Selector>,
    /// Settings by which what comes to pods passes their sidecars by.
    pub past_sidecars: Vec<PastSidecars>,
    /// Whether sidecars lead nowhere but to what the mesh knows (`meshConfig.outboundTrafficPolicy.mode: REGISTRY_ONLY`).
    pub registry_only: bool,
}

impl Mesh {
    /// The identity of a service account.
    pub fn spiffe_id(&self, namespace: &str, service_account: &str) -> String {
        format!("spiffe://{}/ns/{namespace}/sa/{service_account}", self.trust_domain)
    }

    /// Whether the access log of a gateway can be read, where that is the one that the mesh's proxies keep.
    pub fn log_can_be_read(&self, format: &LogFormat) -> bool {
        AccessLogEntry::fields(format).iter().all(|field| self.access_log.form.has_field(*field))
    }

    /// Whether its istiod looks at a namespace with these labels.
    pub(crate) fn discovers(&self, labels: &selector::Labels) -> bool {
        self.discovery.is_empty() || self.discovery.iter().any(|selector| selector.selects(labels))
    }

    fn new(istiod: &Deployment, config: &Config, telemetries: &[Value]) -> Result<Self, String> {
        let namespace = istiod.namespace().unwrap_or_default();
        Ok(Self {
            revision: revision(istiod.labels()),
            version: discovery(istiod)
                .and_then(|container| container.image.as_deref())
                .map(|image| version(image).to_owned())
                .unwrap_or_default(),
            root_namespace: root_namespace(config, &namespace),
            trust_domain: config.text("trustDomain").unwrap_or(TRUST_DOMAIN).to_owned(),
            access_log: AccessLog::of(config, telemetries)?,
            plugged_in: false,
            drain: config.drain()?,
            discovery: config.discovery_selectors(),
            past_sidecars: Vec::new(),
            registry_only: config.registry_only(),
            namespace,
        })
    }
}

fn root_namespace(config: &Config, own: &str) -> String {
    config.text("rootNamespace").unwrap_or(own).to_owned()
}

/// istiod's own container.
fn discovery(istiod: &Deployment) -> Option<&k8s_openapi::api::core::v1::Container> {
    let pod = istiod.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.iter().find(|container| container.name == "discovery")
}

/// The ConfigMaps of a control plane's MeshConfig; later ones are put over earlier ones.
fn config_maps(istiod: &Deployment) -> Vec<String> {
    let variables = discovery(istiod).and_then(|container| container.env.as_ref());
    let shared = variables.into_iter().flatten().find(|variable| variable.name == SHARED_CONFIG);
    let shared = shared.and_then(|variable| variable.value.clone()).filter(|name| !name.is_empty());
    shared.into_iter().chain([config_map(&revision(istiod.labels()))]).collect()
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
        let fields = fields.map(|(field, operator)| (field.to_owned(), Value::from(format!("%{operator}%"))));
        Self {
            namespace: "istio-system".into(),
            revision: DEFAULT_REVISION.into(),
            version: "1.31.0".into(),
            root_namespace: "istio-system".into(),
            trust_domain: TRUST_DOMAIN.into(),
            access_log: AccessLog {
                form: LogForm::labels(&Value::Object(fields.into_iter().collect())),
                by: "meshConfig.accessLogFile".into(),
                form_by: "meshConfig.accessLogFormat".into(),
            },
            plugged_in: false,
            drain: None,
            discovery: Vec::new(),
            past_sidecars: Vec::new(),
            registry_only: false,
        }
    }

    /// The same with another access log.
    pub(crate) fn with_log(form: LogForm) -> Self {
        let mut mesh = Self::sample();
        mesh.access_log.form = form;
        mesh
    }
}

fn revision(labels: &BTreeMap<String, String>) -> String {
    labels.get("istio.io/rev").cloned().unwrap_or_else(|| DEFAULT_REVISION.to_owned())
}

/// Name of the ConfigMap with a revision's MeshConfig.
fn config_map(revision: &str) -> String {
    if revision == DEFAULT_REVISION { "istio".to_owned() } else { format!("istio-{revision}") }
}

/// Name of the ConfigMap by which a revision injects.
fn injector_map(revision: &str) -> String {
    let name = "istio-sidecar-injector";
    if revision == DEFAULT_REVISION { name.to_owned() } else { format!("{name}-{revision}") }
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
        meshes.push(of_istiod(client, &istiod).await?);
    }
    Ok(meshes)
}

async fn of_istiod(client: &Client, istiod: &Deployment) -> Result<Mesh, MeshError> {
    let namespace = istiod.namespace().unwrap_or_default();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let names = config_maps(istiod);
    let unreadable = |why| MeshError::Config { namespace: namespace.clone(), name: names.join(" and "), why };
    let mut texts = Vec::new();
    for name in &names {
        let map =
            maps.get_opt(name).await.map_err(asking(format!("reading ConfigMap {namespace}/{name}")))?;
        texts.extend(map.and_then(|map| map.data?.remove("mesh")));
    }
    let config = Config::read(texts.iter().map(String::as_str)).map_err(unreadable)?;
    let root = root_namespace(&config, &namespace);
    let telemetries = whole::objects(client, &root, "telemetry.istio.io", &["Telemetry"]).await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let plugged = match secrets.get_metadata_opt(PLUGGED_IN).await {
        Ok(plugged) => plugged,
        // Whose authority it is changes nothing that is looked at: the roots are handed out by istiod.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => return Err(asking(format!("looking for Secret {namespace}/{PLUGGED_IN}"))(error)),
    };
    let mesh = Mesh::new(istiod, &config, &telemetries).map_err(unreadable)?;
    let name = injector_map(&mesh.revision);
    let map = maps.get_opt(&name).await.map_err(asking(format!("reading ConfigMap {namespace}/{name}")))?;
    let data = map.and_then(|map| map.data).unwrap_or_default();
    let text = |key: &str| data.get(key).map(String::as_str).unwrap_or_default();
    let past_sidecars = proxies::past_sidecars(text("values"), text("config"));
    Ok(Mesh { plugged_in: plugged.is_some(), past_sidecars, ..mesh })
}

/// The control plane that is responsible for a namespace, if there is one.
///
/// # Errors
/// See [`all`].
pub async fn of_namespace(client: &Client, namespace: &str) -> Result<Option<Mesh>, MeshError> {
    let meshes = all(client).await?;
    let injectors = injection::all(client).await?.unwrap_or_default();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get_metadata_opt(namespace).await;
    let found = found.map_err(asking(format!("reading namespace {namespace}")))?;
    let labels = found.map(|found| found.labels().clone()).unwrap_or_default();
    let labels = injection::labels_of_namespace(namespace, &labels);
    Ok(responsible(&meshes, &injectors, &labels).cloned())
}

/// Of several, the one that injects into a namespace with these labels; where that is not known, the one whose revision the
/// namespace names, `istio-injection` meaning the one without. One that is alone is responsible for everything.
pub(crate) fn responsible<'a>(
    meshes: &'a [Mesh],
    injectors: &[Injector],
    labels: &BTreeMap<String, String>,
) -> Option<&'a Mesh> {
    let injector = injectors.iter().find(|injector| injector.takes(labels, &BTreeMap::new()));
    let injects = |mesh: &&Mesh| {
        injector.is_some_and(|injector| {
            let there = injector.namespace.as_ref().is_none_or(|namespace| *namespace == mesh.namespace);
            there && injector.revision == mesh.revision
        })
    };
    let wanted =
        if labels.contains_key("istio-injection") { DEFAULT_REVISION.to_owned() } else { revision(labels) };
    let named = || meshes.iter().find(|mesh| mesh.revision == wanted);
    meshes.iter().find(injects).or_else(named).or_else(|| meshes.first())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::injection::tests::{injector, labels};
    use super::*;

    fn istiod(revision: Option<&str>, variables: &Value) -> Deployment {
        let labels = json!({"app": "istiod", "istio.io/rev": revision.unwrap_or("default")});
        let discovery =
            json!({"name": "discovery", "image": "h.example:5000/pilot:1.30.1", "env": variables});
        let spec = json!({"selector": {}, "template": {"spec": {"containers": [discovery]}}});
        let metadata = json!({"name": "istiod", "namespace": "mesh-system", "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn mesh(revision: Option<&str>, config: &str) -> Mesh {
        Mesh::new(&istiod(revision, &json!([])), &Config::read([config]).unwrap(), &[]).unwrap()
    }

    #[test]
    fn what_is_not_set_is_as_istio_has_it() {
        let mesh = mesh(None, "defaultConfig: {discoveryAddress: istiod.mesh-system.svc:15012}\n");
        assert_eq!(
            (mesh.trust_domain.as_str(), mesh.root_namespace.as_str(), mesh.version.as_str()),
            ("cluster.local", "mesh-system", "1.30.1")
        );
        assert_eq!((mesh.access_log.form.clone(), mesh.drain), (LogForm::Off, None));
        assert_eq!(mesh.spiffe_id("shop", "default"), "spiffe://cluster.local/ns/shop/sa/default");
        assert!(mesh.discovers(&labels(&[])));
    }

    #[test]
    fn what_is_set_is_taken() {
        let mesh = mesh(
            Some("stable"),
            "trustDomain: mesh.example\nrootNamespace: policies\naccessLogFile: /dev/stdout\n\
             discoverySelectors: [{matchLabels: {team: shop}}]\ntrustDomainAliases: [old.example]\n",
        );
        assert_eq!((mesh.trust_domain.as_str(), mesh.root_namespace.as_str()), ("mesh.example", "policies"));
        assert_eq!(mesh.access_log.form, LogForm::new("/dev/stdout", "", "").unwrap());
        assert_eq!((mesh.revision.as_str(), config_map(&mesh.revision)), ("stable", "istio-stable".into()));
        assert!(mesh.discovers(&labels(&[("team", "shop")])) && !mesh.discovers(&labels(&[])));
    }

    #[test]
    fn a_gateways_log_is_read_only_where_its_fields_are_known() {
        let values: Value =
            meshproof_model::yaml::documents(include_str!("../../../kind-config/istio/values.yaml"))
                .unwrap()
                .remove(0);
        let config = values["spec"]["meshConfig"].to_string();
        assert!(mesh(None, &config).log_can_be_read(&LogFormat::Istio));
        for other in
            ["", "accessLogFile: /dev/stdout\n", "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\n"]
        {
            assert!(!mesh(None, other).log_can_be_read(&LogFormat::Istio), "{other}");
            assert!(mesh(None, other).log_can_be_read(&LogFormat::Alb), "it keeps a log of its own");
        }
    }

    #[test]
    fn users_of_a_managed_mesh_have_their_say_first() {
        let shared = json!([{"name": "REVISION", "value": "asm"}, {"name": SHARED_CONFIG, "value": "istio-shared-asm"}]);
        assert_eq!(config_maps(&istiod(Some("asm"), &shared)), ["istio-shared-asm", "istio-asm"]);
        assert_eq!(config_maps(&istiod(None, &json!([{"name": SHARED_CONFIG, "value": ""}]))), ["istio"]);
    }

    #[test]
    fn a_namespace_says_whose_it_is() {
        let meshes = [mesh(Some("canary"), ""), mesh(None, "")];
        let of = |of: &[(&str, &str)]| responsible(&meshes, &[], &labels(of)).unwrap().revision.clone();
        assert_eq!(of(&[("istio.io/rev", "canary")]), "canary");
        assert_eq!(of(&[("istio-injection", "enabled")]), "default");
        assert_eq!(of(&[]), "default");
        assert_eq!(responsible(&[], &[], &BTreeMap::new()), None);
        let alone = [mesh(Some("canary"), "")];
        assert_eq!(responsible(&alone, &[], &labels(&[])).unwrap().revision, "canary", "there is but one");
    }

    #[test]
    fn whose_webhook_takes_a_namespace_is_responsible_for_it() {
        let meshes = [mesh(None, ""), mesh(Some("canary"), ""), mesh(Some("stable"), "")];
        let injectors = [
            injector("canary", "default", "mesh-system"),
            injector("stable", "prod", "mesh-system"),
            injector("canary", "canary", "mesh-system"),
        ];
        let of =
            |of: &[(&str, &str)]| responsible(&meshes, &injectors, &labels(of)).unwrap().revision.clone();
        assert_eq!(of(&[("istio-injection", "enabled")]), "canary", "it is the default one by its tag");
        assert_eq!(of(&[("istio.io/rev", "prod")]), "stable", "a tag is not the revision's name");
        assert_eq!(of(&[("istio.io/rev", "canary")]), "canary");
        let elsewhere = [injector("canary", "default", "other")];
        let labels = labels(&[("istio-injection", "enabled")]);
        assert_eq!(responsible(&meshes, &elsewhere, &labels).unwrap().revision, "default");
    }
}
