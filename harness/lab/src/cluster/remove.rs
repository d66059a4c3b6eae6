//! Removes a cluster and everything that was made for it, however far its making came.

use super::network::network_name;
use super::state::StateDir;
use super::{ClusterError, ENGINE_LOCK, docker, health, lock};
use crate::cache::Cache;
use crate::engine::{self, Engine, EngineError};
use crate::host;
use meshproof_model::progress::Progress;

/// What was there to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of containers.
    pub containers: Vec<String>,
    /// There were records, a kubeconfig, or a network.
    pub traces: bool,
    /// The private engine was stopped, since no cluster is left.
    pub engine: bool,
    /// Packages that were installed for clusters, and are left, since no cluster is.
    pub packages: Vec<String>,
}

impl Removed {
    /// Nothing was there.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes the cluster: containers, network, egress rules, kubeconfig and records; and the private engine once no
/// cluster needs it. Doing so twice is no error.
///
/// # Errors
/// [`ClusterError::Foreign`] if the containers of this name are not ours; otherwise what docker said.
pub async fn remove_cluster(name: &str, progress: &dyn Progress) -> Result<Removed, ClusterError> {
    let cache = Cache::open_default()?;
    let _lock = lock(&cache, name, progress).await?;
    let _engines = cache.lock(ENGINE_LOCK, || {}).await?;
    let state = StateDir::new(cache.root(), name);
    let mut removed = Removed { traces: state.path().exists(), ..Removed::default() };
    let last = StateDir::list(cache.root()).iter().all(|other| other == name);
    let engine = match engine::find(&cache).await {
        // Our containers may lie in a private engine that died; they would come back with the next one.
        Ok(None) if removed.traces => engine::ensure_to_remove(&cache, progress).await.ok(),
        // The nodes go with the engine, which nobody else needs.
        Err(EngineError::Silent { host, .. }) if last && host == engine::private_host(&cache) => None,
        found => found?,
    };
    if let Some(engine) = engine {
        let seen = docker::containers(&engine, name).await?;
        // Its nodes would run on, and nobody would know whose they are.
        if let (Some(other), true) =
            (health::elsewhere(&cache, state.read().as_ref(), &engine), seen.is_empty())
        {
            return Err(health::is_elsewhere(name, &other, engine.host()));
        }
        let network = network_name(name);
        // A cluster that others made with kind alone is none of our business.
        if let Some(stranger) = seen.iter().find(|node| !node.networks.contains(&network)) {
            return Err(ClusterError::Foreign(stranger.name.clone()));
        }
        removed.traces |= docker::has_network(&engine, name).await?;
        removed.containers = seen.into_iter().map(|node| node.name).collect();
        nodes_and_network(&engine, name).await?;
    }
    state.remove()?;
    if StateDir::list(cache.root()).is_empty() {
        super::inotify::restore(&cache.root().join("clusters"));
        // Also cleans up after an engine that died: its containers died with it.
        removed.engine = Engine::stop_private(&cache, progress).await?;
        let _ = std::fs::remove_dir(cache.root().join("clusters"));
        if removed.traces || removed.engine {
            removed.packages = host::installed(&cache);
        }
    }
    Ok(removed)
}

/// Removes containers, network and egress rules, whichever are there.
pub(super) async fn nodes_and_network(engine: &Engine, name: &str) -> Result<(), ClusterError> {
    let nodes = docker::containers(engine, name).await?;
    docker::remove_containers(engine, &nodes).await?;
    if docker::has_network(engine, name).await? {
        docker::remove_network(engine, name).await?;
    }
    engine::egress::sweep().await?;
    Ok(())
}
