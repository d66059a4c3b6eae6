//! A cluster that somebody else made: looked at first, refused if anything speaks against it, and left as it was found.

pub(crate) mod facts;
mod images;
pub mod refusal;

use kube::config::Kubeconfig;
use tokio_util::sync::CancellationToken;

use super::api::{self, ApiError};
use super::implementation::Implementation;
use super::lease::{self, Held};
use super::state::{StateDir, StateError};
use super::target::{Provider, Target};
use super::{ClusterError, InstallError};
use crate::evidence::Keeping;
use crate::progress::{Phase, Progress};
use crate::scenario::Scenario;
use crate::supply::cache::Cache;
use crate::supply::{self, ImageSource};
use refusal::{Plan, reasons};

/// Folder of the kubeconfigs and helm homes, below the cache. Not the one of the clusters that `down --all` removes.
const FOLDER: &str = "existing";

/// Which cluster, and how it gets images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingSpec {
    /// Name of the context in the user's kubeconfig (`KUBECONFIG`, else `~/.kube/config`).
    pub context: String,
    /// Where its nodes pull the images of this workspace from: what stands before `/<name>:<tag>`.
    pub images_from: Option<String>,
    /// Id of the run.
    pub run: String,
    /// Where kubectl and helm come from.
    pub image_source: ImageSource,
}

/// Makes sure that the scenarios can be run on an existing cluster: it has what they need and nothing they would overwrite,
/// and its nodes have the images, or know where to pull them. Nothing in it is changed, but for the Lease that says that this run
/// works with it (which is `lost` if it can no longer be held) and images that are loaded into the nodes of a kind cluster.
///
/// # Errors
/// [`ClusterError::Refused`] lists everything that speaks against it; others when it cannot be asked. Nothing of it is kept then.
pub async fn attach(
    spec: &ExistingSpec,
    implementation: &Implementation,
    scenarios: &[Scenario],
    lost: CancellationToken,
    progress: &dyn Progress,
) -> Result<(Target, Held), ClusterError> {
    let cache = Cache::open_default()?;
    let state = StateDir::new(&cache.root().join(FOLDER), &folder_name(&spec.context));
    let attached = async {
        let (config, server) = one_context(&spec.context)?;
        state.create()?;
        let kubeconfig = state.write_file("kubeconfig", config.as_bytes())?;
        let client = api::client(&kubeconfig).await?;
        let held = lease::hold(&client, &spec.run, lost).await?;
        let looked =
            look(spec, implementation, scenarios, &cache, &state, (&client, &server), progress).await;
        match looked {
            Ok(target) => Ok((target, held)),
            Err(error) => {
                // Whoever comes next need not wait for it to run out.
                let _ = held.release().await;
                Err(error)
            }
        }
    };
    let attached = attached.await;
    if attached.is_err() {
        // Credentials are in it.
        state.remove()?;
    }
    attached
}

/// A client for a context of the user's kubeconfig, and whoever made the cluster it leads to. Nothing of it is written where it
/// would stay.
///
/// # Errors
/// There is no such context, or it cannot be used.
pub async fn reach(context: &str) -> Result<kube::Client, ClusterError> {
    let (config, _) = one_context(context)?;
    let failed = |source| StateError { doing: "writing", path: std::env::temp_dir(), source };
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    std::io::Write::write_all(&mut file, config.as_bytes()).map_err(failed)?;
    Ok(api::client(file.path()).await?)
}

/// Removes what this program has kept about an existing cluster.
///
/// # Errors
/// The file system refuses.
pub fn forget(context: &str) -> Result<(), ClusterError> {
    let cache = Cache::open_default()?;
    Ok(StateDir::new(&cache.root().join(FOLDER), &folder_name(context)).remove()?)
}

async fn look(
    spec: &ExistingSpec,
    implementation: &Implementation,
    scenarios: &[Scenario],
    cache: &Cache,
    state: &StateDir,
    (client, server): (&kube::Client, &str),
    progress: &dyn Progress,
) -> Result<Target, ClusterError> {
    let phase = Phase::start(progress, format!("look at {}", spec.context), None);
    let plan = Plan::new(scenarios, implementation);
    let found = facts::found(client, &plan).await?;
    let refused = |reasons: Vec<String>| ClusterError::Refused { context: spec.context.clone(), reasons };
    let against = reasons(&plan, &found);
    if !against.is_empty() {
        phase.fail("it is refused");
        return Err(refused(against));
    }
    let (kubernetes, nodes) = facts::kubernetes(client).await?;
    let istio = facts::istio(client).await?;
    let definitions = facts::new_definitions(client, implementation).await?;
    phase.done();

    let kind = images::kind_nodes(cache, &spec.context, server).await?;
    let programs = supply::clients(cache, spec.image_source, progress).await?;
    let built = supply::workspace::images(cache, &supply::workspace::root()?, progress).await?;
    let needed = images::needed(implementation, built)?;
    let images = match (&spec.images_from, &kind) {
        (Some(prefix), _) => images::from(prefix, needed),
        (None, Some(kind)) => {
            let phase = Phase::start(progress, "images into the nodes", None);
            kind.load(&needed).await?;
            phase.done();
            needed
        }
        (None, None) => return Err(refused(images::advice(&needed))),
    };
    Ok(Target {
        name: spec.context.clone(),
        provider: Provider::Existing,
        kubeconfig: state.kubeconfig(),
        kubernetes,
        istio,
        nodes,
        kubectl: programs.kubectl,
        helm: programs.helm,
        images,
        local: kind.is_some(),
        keeping: Keeping::Own,
        run: spec.run.clone(),
        definitions,
        state: state.clone(),
        own: None,
    })
}

/// A context's name as the name of a folder: contexts are called by addresses and resource names, too.
pub(crate) fn folder_name(context: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    context.chars().map(plain).take(100).collect()
}

/// The user's kubeconfig with this context alone in it, and its server.
fn one_context(name: &str) -> Result<(String, String), ClusterError> {
    let path = || std::env::var("KUBECONFIG").unwrap_or_else(|_| "~/.kube/config".to_owned());
    let broken = |reason: String| ApiError::Kubeconfig { path: path(), reason };
    let mut config = Kubeconfig::read().map_err(|error| broken(error.to_string()))?;
    let known = || config.contexts.iter().map(|context| context.name.clone()).collect::<Vec<_>>().join(", ");
    let context = config.contexts.iter().find(|context| context.name == name).and_then(|c| c.context.clone());
    let Some(context) = context else {
        return Err(ClusterError::NoContext { name: name.to_owned(), path: path(), known: known() });
    };
    config.contexts.retain(|known| known.name == name);
    config.clusters.retain(|known| known.name == context.cluster);
    config.auth_infos.retain(|known| Some(&known.name) == context.user.as_ref());
    config.current_context = Some(name.to_owned());
    let cluster = config.clusters.first().and_then(|named| named.cluster.as_ref());
    let server = cluster.and_then(|cluster| cluster.server.clone()).unwrap_or_default();
    let text = serde_json::to_string_pretty(&config).map_err(|error| broken(error.to_string()))?;
    Ok((text, server))
}

impl From<images::NoImage> for ClusterError {
    fn from(error: images::NoImage) -> Self {
        InstallError::ImageMissing(error.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_called_by_an_address_is_still_a_folder() {
        assert_eq!(folder_name("admin@https://10.0.0.1:6443"), "admin_https___10_0_0_1_6443");
        assert_eq!(folder_name("kind-other"), "kind-other");
    }
}
