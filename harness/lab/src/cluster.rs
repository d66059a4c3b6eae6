//! The cluster under the tests: an outside resource that is made once, found again, and replaced when it is not what it
//! should be.
//!
//! [`ensure_cluster`] is idempotent. A lock of the cache guards each name; the record in `<cache>/clusters/<name>/` says
//! what the cluster is made of. A cluster whose making was interrupted, and one that is proved to have died with its engine or
//! machine, are removed and made again, as is one with another definition; but none in which anything was seen that meshproof had
//! not made, unless somebody agrees. A cluster that is merely silent is waited for, then told of, and never touched.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

use crate::cache::{Cache, CacheError, Lock};
use crate::engine::{self, Engine};
use crate::supply::{self, Artifacts, SupplyOptions};
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::provider::Provider;

pub mod addons;
pub mod api;
mod audit;
pub mod beside;
pub mod clean;
pub(crate) mod consent;
mod create;
pub mod definition;
pub(crate) mod dns;
pub mod docker;
pub mod error;
pub mod exec;
mod foreign;
mod found;
mod health;
pub mod holdings;
mod host;
pub mod implementation;
mod inotify;
pub(crate) mod installed;
pub mod istio;
pub mod kind;
pub mod lease;
mod machines;
mod mesh;
pub mod namespaces;
pub mod network;
pub mod node;
pub mod owner;
pub mod phases;
pub mod plain;
mod remove;
mod root;
mod spec;
pub mod state;
pub mod target;
pub mod usage;

pub use crate::cluster::error::InstallError;
pub use api::ApiError;
pub use error::ClusterError;
pub use found::found;
pub use implementation::{Implementation, InstallOptions};
pub use remove::{Removed, remove_cluster};
pub use spec::{ClusterSpec, DEFAULT_NAME, IstioChoice, default_name};
pub use target::{Keeping, Target};

use create::Creation;
use definition::{Definition, fingerprint};
use holdings::Holdings;
use network::{Pool, Subnet};
use state::{Because, Record, Stage, StateDir, Verdict, assess};

/// Lock that a run holds on a cluster of this name (or of a context that is a folder of this name).
pub fn run_lock(name: &str) -> String {
    format!("scenarios-{name}")
}
/// Lock that guards starting and stopping of the engine.
const ENGINE_LOCK: &str = "clusters";

/// A cluster that is there and answers.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Kubeconfig with this cluster alone in it.
    pub kubeconfig: PathBuf,
    /// Its context.
    pub context: String,
    /// Kubernetes' version, e.g. `v1.34.4`.
    pub kubernetes: String,
    /// Istio's version, if installed.
    pub istio: Option<String>,
    /// Number of nodes.
    pub nodes: u8,
    /// What it was made from.
    pub artifacts: Artifacts,
    /// The engine its nodes run in.
    pub engine: Engine,
    /// Why its pods are not kept on this host, if they are not.
    pub open: Option<String>,
    /// Why it was made or made again in this run; nothing if it was found as it should be.
    pub made: Option<String>,
    state: StateDir,
}

impl Cluster {
    /// An address of its load balancer that nobody has unless all others are taken: they are handed out from the first on.
    #[must_use]
    pub fn spare_address(&self) -> Option<Ipv4Addr> {
        self.state.read()?.pool.map(|pool| pool.last)
    }
}

/// Makes sure that the cluster is there and answers: Kubernetes, Istio, DNS with the gateways' zone, load-balancer
/// addresses, Gateway API. Not the implementation.
///
/// # Errors
/// See [`ClusterError`]. Whatever was made by then stays for a look; the next call or [`remove_cluster`] removes it.
pub async fn ensure_cluster(spec: &ClusterSpec, progress: &dyn Progress) -> Result<Cluster, ClusterError> {
    ensure(spec, None, progress).await
}

/// The same, and a gateway with it; `images` are those of it that are not of this workspace. Where helm releases are all there
/// is of it and the cluster has to be made, they are installed while the rest still comes up.
///
/// # Errors
/// See [`ensure_cluster`], and what keeps the gateway from being installed.
pub async fn ensure_cluster_with(
    spec: &ClusterSpec,
    implementation: &Implementation,
    images: &[supply::LoadImage],
    progress: &dyn Progress,
) -> Result<Cluster, ClusterError> {
    let meanwhile = images.is_empty() && is_releases_alone(implementation);
    let cluster = ensure(spec, meanwhile.then_some(implementation), progress).await?;
    if !meanwhile || cluster.made.is_none() {
        cluster.load_missing(images, progress).await?;
        let mut target = cluster.target();
        target.images.extend_from_slice(images);
        target.install(implementation, &cluster.options(), progress).await?;
    }
    Ok(cluster)
}

/// Whether helm releases are all there is of a gateway.
fn is_releases_alone(of: &Implementation) -> bool {
    of.installed.is_none() && !of.releases.is_empty() && of.manifests.is_empty() && of.objects.is_empty()
}

/// Number of nodes of the cluster of this name; nothing if there is none, as far as is written down.
pub fn nodes_of(name: &str) -> Option<u8> {
    let cache = Cache::open_default().ok()?;
    StateDir::new(cache.root(), name).read().map(|record| record.definition.nodes)
}

/// Fills the caches and starts the engine for a cluster, without making it.
///
/// # Errors
/// No engine, or something could not be built.
pub async fn prepare(
    spec: &ClusterSpec,
    progress: &dyn Progress,
) -> Result<(Engine, Artifacts), ClusterError> {
    let cache = Cache::open_default()?;
    prepare_in(&cache, &StateDir::new(cache.root(), &spec.name), spec, progress).await
}

async fn prepare_in(
    cache: &Cache,
    state: &StateDir,
    spec: &ClusterSpec,
    progress: &dyn Progress,
) -> Result<(Engine, Artifacts), ClusterError> {
    if let IstioChoice::Version(version) = &spec.istio {
        supply::istio::refuse_too_old(version)?;
    }
    if !spec.images.is_empty() {
        // What cannot be had is said before an engine is started.
        supply::workspace::root()?;
    }
    let engine = {
        let _engine = cache.lock(ENGINE_LOCK, || {}).await?;
        // From here on `down` of another cluster leaves the engine running.
        state.create()?;
        engine::ensure_engine(cache, progress).await?
    };
    let supply = SupplyOptions { source: spec.image_source, images: spec.images.clone() };
    let artifacts = supply::prepare(cache, &engine, &supply, progress).await?;
    let IstioChoice::Version(asked) = &spec.istio else { return Ok((engine, artifacts)) };
    let matrix = supply::istio::matrix(artifacts.source).await?;
    let version = matrix.choose(asked)?;
    if version == artifacts.istio.version {
        return Ok((engine, artifacts));
    }
    let build = supply::istio::build(cache, &engine, &artifacts, version, progress).await?;
    Ok((engine, artifacts.with_istio(build)))
}

async fn ensure(
    spec: &ClusterSpec,
    implementation: Option<&Implementation>,
    progress: &dyn Progress,
) -> Result<Cluster, ClusterError> {
    let cache = Cache::open_default()?;
    let state = StateDir::new(cache.root(), &spec.name);
    let _lock = lock(&cache, &spec.name, progress).await?;
    let (engine, artifacts) = prepare_in(&cache, &state, spec, progress).await?;
    let options = kind::KindOptions {
        nodes: spec.nodes.max(1),
        without_sys_resource: artifacts.shim_needed,
        cgroup_v1: docker::cgroup_v1(&engine).await?,
        super_admin: kind::has_super_admin(&artifacts.kubernetes_version),
    };
    let kind_config = kind::config(options, &state.path());
    let definition = define(spec, &artifacts, &kind_config);
    let seen = docker::containers(&engine, &spec.name)
        .await
        .map_err(|error| health::silent_engine(&spec.name, &engine, &error))?;
    let recorded = state.recorded();
    let elsewhere = health::elsewhere(&cache, recorded.known(), &engine);
    let network = network::network_name(&spec.name);
    let mut verdict = assess(&recorded, &seen, &definition, &network, elsewhere.as_deref());
    if spec.recreate && !matches!(verdict, Verdict::Create | Verdict::Foreign(_) | Verdict::Elsewhere(_)) {
        verdict = Verdict::Replace(Because::Asked, "it was asked for".to_owned());
    }
    let mut cluster = Cluster {
        name: spec.name.clone(),
        kubeconfig: state.kubeconfig(),
        context: format!("kind-{}", spec.name),
        kubernetes: artifacts.kubernetes_version.clone(),
        istio: (spec.istio != IstioChoice::None).then(|| artifacts.istio.version.clone()),
        nodes: options.nodes,
        artifacts,
        engine,
        open: None,
        made: None,
        state,
    };
    let clusters = cache.dir("clusters")?;
    let others = StateDir::list(cache.root()).len() > 1;
    // One that is there has the limits it needs.
    let new_nodes = if matches!(verdict, Verdict::Use) { 1 } else { options.nodes };
    let others_matter = others && !matches!(verdict, Verdict::Use);
    let means = host::means(&cluster.engine, &spec.name, &clusters, new_nodes, others_matter).await?;
    cluster.open.clone_from(&means.open);
    let stopped = match verdict {
        Verdict::Use => Some(Vec::new()),
        Verdict::Start(nodes) => Some(nodes),
        Verdict::Create => {
            cluster.made = Some("there was none".to_owned());
            None
        }
        Verdict::Replace(because, reason) => {
            cluster.may_be_replaced(spec, because, &reason, progress).await?;
            let removal = format!("remove cluster {}, to make it again: {reason}", spec.name);
            let phase = Phase::start(progress, removal, None);
            remove::nodes_and_network(&cluster.engine, &spec.name).await?;
            phase.done();
            cluster.made = Some(reason);
            None
        }
        Verdict::Foreign(container) => return Err(ClusterError::Foreign(container)),
        Verdict::Paused(nodes) => return Err(health::paused(&spec.name, &nodes)),
        Verdict::Elsewhere(engine) => {
            return Err(health::is_elsewhere(&spec.name, &engine, cluster.engine.host()));
        }
    };
    if let Some(stopped) = stopped {
        let client = cluster.answering(progress).await?;
        for node in stopped {
            let phase = Phase::start(progress, format!("start node {node}, which had stopped"), None);
            cluster.start_node(&node).await?;
            phase.done();
        }
        Holdings::look(&client, &cluster.state).await?;
        cluster.refresh(cluster.state.read(), progress).await?;
        cluster.have_istio(!spec.without_istio, progress).await?;
        return Ok(cluster);
    }
    // What an interrupted removal left, say a network.
    remove::nodes_and_network(&cluster.engine, &spec.name).await?;
    // On the heap: whoever holds this future would hold the 100 kB of making a cluster, and tests have small stacks.
    if means.may_raise
        && let Some(note) = inotify::raise(&clusters, cluster.nodes, others)
    {
        progress.note("cluster", &note);
    }
    Box::pin(cluster.create(&cache, definition, &kind_config, implementation, progress)).await?;
    cluster.have_istio(!spec.without_istio, progress).await?;
    Ok(cluster)
}

async fn lock(cache: &Cache, name: &str, progress: &dyn Progress) -> Result<Lock, CacheError> {
    let note =
        || progress.note("cluster", &format!("another meshproof works on cluster {name}; waiting for it"));
    cache.lock(&format!("cluster-{name}"), note).await
}

fn define(spec: &ClusterSpec, artifacts: &Artifacts, kind_config: &str) -> Definition {
    let istio = match spec.istio {
        IstioChoice::None => "none".to_owned(),
        _ => istio::describe(&artifacts.istio),
    };
    let patches = serde_json::json!(kind::static_pod_patches()).to_string();
    Definition {
        nodes: spec.nodes.max(1),
        kubernetes: artifacts.kubernetes_version.clone(),
        node_image: artifacts.node_image.clone(),
        istio,
        kind_config: fingerprint([kind_config, &patches, audit::POLICY]),
        manifests: fingerprint([dns::COREDNS, addons::LOAD_BALANCER, istio::VALUES, istio::UPSTREAM_ENVOY]),
    }
}

/// Tries to leave the host from a pod of each node, all at once.
async fn check_egress(engine: &Engine, name: &str) -> Result<(), ClusterError> {
    let (doing, script) = ("checking that pods stay in", node::egress_script());
    let nodes = docker::containers(engine, name).await?;
    let checks = nodes.iter().map(|node| async {
        match node::script(engine, doing, &node.name, &script).await?.trim() {
            "open" => Err(ClusterError::Open(node.name.clone())),
            _ => Ok(()),
        }
    });
    futures::future::try_join_all(checks).await?;
    Ok(())
}

impl Cluster {
    /// A client with the administrator's rights.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, ApiError> {
        api::client(&self.kubeconfig).await
    }

    /// The cluster as scenarios need it.
    pub fn target(&self) -> Target {
        Target {
            name: self.name.clone(),
            provider: Provider::Kind,
            kubeconfig: self.kubeconfig.clone(),
            kubernetes: self.kubernetes.clone(),
            istio: self.istio.clone(),
            nodes: usize::from(self.nodes),
            kubectl: self.artifacts.kubectl.clone(),
            helm: self.artifacts.helm.clone(),
            images: self.artifacts.images.clone(),
            proxy: self.artifacts.istio.proxy(),
            local: true,
            keeping: Keeping::All,
            run: owner::UP.to_owned(),
            definitions: Vec::new(),
            state: self.state.clone(),
            own: Some(Box::new(self.clone())),
        }
    }

    /// The id of the image its nodes are made of.
    ///
    /// # Errors
    /// The engine does not know it.
    pub async fn node_image_id(&self) -> Result<String, ClusterError> {
        let inspect = ["image", "inspect", "--format", "{{.Id}}", self.artifacts.node_image.as_str()];
        let id =
            docker::docker(&self.engine, "asking for the id of the node's image", &inspect).run().await?;
        Ok(id.trim().to_owned())
    }

    /// Puts images into every node. The cluster remembers them.
    ///
    /// # Errors
    /// containerd refused one.
    pub async fn load_images(&self, images: &[supply::LoadImage]) -> Result<(), ClusterError> {
        let images: Vec<&supply::LoadImage> = images.iter().collect();
        let nodes = docker::containers(&self.engine, &self.name).await?;
        let loads = nodes.iter().map(|node| node::import_all(&self.engine, &node.name, &images));
        futures::future::try_join_all(loads).await?;
        Ok(())
    }

    /// Puts those of the images into every node that are not there.
    pub async fn load_missing(
        &self,
        images: &[supply::LoadImage],
        progress: &dyn Progress,
    ) -> Result<(), ClusterError> {
        let Some(mut record) = self.state.read() else { return self.load_images(images).await };
        let missing: Vec<_> =
            images.iter().filter(|image| !record.images.contains(&image.reference)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let phase = Phase::start(progress, "images into the nodes", None);
        self.load_images(&missing).await?;
        phase.done();
        record.images.extend(missing.into_iter().map(|image| image.reference));
        self.state.write(&record)?;
        Ok(())
    }

    /// Whether a pod's attempt to leave the host is refused on every node that has pods.
    ///
    /// # Errors
    /// [`ClusterError::Open`] names a node from which packets get out.
    pub async fn check_egress(&self) -> Result<(), ClusterError> {
        check_egress(&self.engine, &self.name).await
    }

    /// Options for installing on this cluster: without Istio, no extension.
    fn options(&self) -> InstallOptions {
        InstallOptions { without_extension: self.istio.is_none(), ..InstallOptions::default() }
    }

    /// Brings a cluster that is in use up to date: egress, images of the workspace, the load balancer.
    async fn refresh(&self, record: Option<Record>, progress: &dyn Progress) -> Result<(), ClusterError> {
        if self.open.is_none() {
            engine::egress::block(&self.engine, &network::network_name(&self.name)).await?;
        }
        let Some(mut record) = record else { return Ok(()) };
        if record.engine.as_deref() != Some(self.engine.host()) {
            record.engine = Some(self.engine.host().to_owned());
            self.state.write(&record)?;
        }
        let missing: Vec<supply::LoadImage> = self
            .artifacts
            .images
            .iter()
            .filter(|image| !record.images.contains(&image.reference))
            .cloned()
            .collect();
        if !missing.is_empty() {
            let phase = Phase::start(progress, "images into the nodes", None);
            self.load_images(&missing).await?;
            phase.done();
            if let (Some(balancer), Some(pool)) = (addons::image(&missing, "load-balancer"), record.pool) {
                let client = self.client().await?;
                api::apply(&client, addons::load_balancer(&balancer.reference, pool)?).await?;
                api::wait_for_deployment(
                    &client,
                    "meshproof-system",
                    "load-balancer",
                    Duration::from_secs(60),
                )
                .await?;
            }
            record.images.extend(missing.into_iter().map(|image| image.reference));
            self.state.write(&record)?;
        }
        Ok(())
    }

    async fn create(
        &self,
        cache: &Cache,
        definition: Definition,
        kind_config: &str,
        implementation: Option<&Implementation>,
        progress: &dyn Progress,
    ) -> Result<(), ClusterError> {
        let istio = self.istio.clone();
        let mut record = Record {
            stage: Stage::Creating,
            definition,
            nodes: vec![],
            pool: None,
            images: vec![],
            istio,
            istio_out: false,
            engine: Some(self.engine.host().to_owned()),
        };
        self.state.write(&record)?;
        Holdings::forget(&self.state)?;
        let subnet = docker::ensure_network(&self.engine, &self.name).await?;
        let pool: Pool = subnet.parse::<Subnet>()?.pool()?;
        let creation = Creation {
            name: &self.name,
            cache,
            engine: &self.engine,
            artifacts: &self.artifacts,
            state: &self.state,
            progress,
            nodes: self.nodes,
            istio: self.istio.is_some(),
            kind_config,
            keep_in: self.open.is_none(),
            pool,
            implementation,
        };
        Box::pin(creation.run()).await?;
        record.stage = Stage::Ready;
        record.nodes = docker::containers(&self.engine, &self.name).await?;
        record.pool = Some(pool);
        record.images = self.artifacts.images.iter().map(|image| image.reference.clone()).collect();
        self.state.write(&record)?;
        Ok(())
    }
}
