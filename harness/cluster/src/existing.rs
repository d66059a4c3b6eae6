//! A cluster that somebody else made: looked at first, refused if anything speaks against it, and left as it was found.

pub(crate) mod facts;
mod images;
pub mod refusal;

use std::time::Duration;

use kube::config::Kubeconfig;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::mesh;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::api::proxy::Proxy;
use meshproof_lab::cluster::api::{self, ApiError, trouble};
use meshproof_lab::cluster::error::Unreachable;
use meshproof_lab::cluster::implementation::Implementation;
use meshproof_lab::cluster::lease::{self, Held};
use meshproof_lab::cluster::state::{StateDir, StateError};
use meshproof_lab::cluster::target::Target;
use meshproof_lab::cluster::{ClusterError, InstallError, Keeping, beside};
use meshproof_lab::supply::{self, ImageSource, LoadImage, Wanted};
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::provider::Provider;
use refusal::{Plan, reasons};

/// Folder of the kubeconfigs and helm homes, below the cache. Not the one of the clusters that `down --all` removes.
const FOLDER: &str = "existing";

/// For an API server to say its version; one far away and busy takes seconds.
const ANSWERS: Duration = Duration::from_secs(30);
/// What to do about one that does not.
const REACH: &str =
    "See that the cluster runs and that this host reaches it: `kubectl --context NAME version` must answer";

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
    /// Images beside those of this workspace that the implementation needs.
    pub images: Vec<LoadImage>,
}

/// Makes sure that what is planned can be done on an existing cluster: it has what that needs and nothing it would overwrite,
/// and its nodes have the images, or know where to pull them. Nothing in it is changed, but for the Lease that says that this run
/// works with it (which is `lost` if it can no longer be held) and images that are loaded into the nodes of a kind cluster.
///
/// # Errors
/// [`ClusterError::Refused`] lists everything that speaks against it; others when it cannot be asked. Nothing of it is kept then.
pub async fn attach(
    spec: &ExistingSpec,
    implementation: &Implementation,
    plan: &Plan,
    lost: CancellationToken,
    progress: &dyn Progress,
) -> Result<(Target, Held), ClusterError> {
    let cache = Cache::open_default()?;
    let state = StateDir::new(&cache.root().join(FOLDER), &folder_name(&spec.context));
    let attached = async {
        let (config, server) = one_context(&spec.context)?;
        state.create()?;
        let kubeconfig = state.write_file("kubeconfig", config.as_bytes())?;
        let (client, proxy) =
            api::client_by_way(&kubeconfig).await.map_err(|error| as_users(error, &spec.context))?;
        must_answer(&client, proxy.as_ref(), &spec.context, &server).await?;
        let held = lease::hold(&client, &spec.run, lost).await?;
        let looked = look(spec, implementation, plan, &cache, &state, (&client, &server), progress).await;
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
    let (config, server) = one_context(context)?;
    let failed = |source| StateError { doing: "writing", path: std::env::temp_dir(), source };
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    std::io::Write::write_all(&mut file, config.as_bytes()).map_err(failed)?;
    let (client, proxy) = api::client_by_way(file.path()).await.map_err(|error| as_users(error, context))?;
    must_answer(&client, proxy.as_ref(), context, &server).await?;
    Ok(client)
}

/// The mesh behind a context, as far as it can be told: the one that `istio-injection: enabled` means.
pub async fn mesh_of(context: &str) -> Option<mesh::Mesh> {
    let client = reach(context).await.ok()?;
    let meshes = mesh::all(&client).await.ok()?;
    let injectors = mesh::injection::all(&client).await.ok()?.unwrap_or_default();
    let enabled = [("istio-injection".to_owned(), "enabled".to_owned())].into();
    mesh::responsible(&meshes, &injectors, &enabled).cloned()
}

/// Loads images into the nodes behind a context, if they are those of a kind cluster in the engine of this host. Others pull what
/// is public.
///
/// # Errors
/// The engine or a node refuses.
pub async fn load(context: &str, images: &[LoadImage]) -> Result<(), ClusterError> {
    let (_, server) = one_context(context)?;
    if let Some(kind) = images::kind_nodes(&Cache::open_default()?, context, &server).await? {
        kind.load(images).await?;
    }
    Ok(())
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
    plan: &Plan,
    cache: &Cache,
    state: &StateDir,
    (client, server): (&kube::Client, &str),
    progress: &dyn Progress,
) -> Result<Target, ClusterError> {
    let phase = Phase::start(progress, format!("look at {}", spec.context), None);
    let found = facts::found(client, plan).await?;
    let refused = |reasons: Vec<String>| ClusterError::Refused { context: spec.context.clone(), reasons };
    let named = |why: String| why.replace("--context NAME", &format!("--context {}", spec.context));
    let mut against = reasons(plan, &found);
    against.extend(beside::lacks(client, implementation).await?);
    against.extend(beside::in_the_way(client, implementation).await?);
    let against: Vec<_> = against.into_iter().map(named).collect();
    if !against.is_empty() {
        phase.fail("it is refused");
        return Err(refused(against));
    }
    let (kubernetes, nodes) = facts::kubernetes(client).await?;
    let istio = facts::istio(&found);
    let definitions = facts::new_definitions(client, implementation).await?;
    phase.done();

    let kind = images::kind_nodes(cache, &spec.context, server).await?;
    let programs = supply::clients(cache, spec.image_source, progress).await?;
    let mut built = supply::workspace::images(cache, &Wanted::on_existing(implementation), progress).await?;
    built.extend(spec.images.iter().cloned());
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
        // Which image its sidecars have, the mesh's owner knows.
        proxy: None,
        local: kind.is_some(),
        keeping: Keeping::Own,
        run: spec.run.clone(),
        definitions,
        state: state.clone(),
        own: None,
    })
}

/// A context's name as the name of a folder: contexts are called by addresses and resource names, too.
pub fn folder_name(context: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    context.chars().map(plain).take(100).collect()
}

/// Makes sure that the API server answers, and takes the credentials.
///
/// # Errors
/// [`ClusterError::Unreachable`] says what became of it.
async fn must_answer(
    client: &kube::Client,
    proxy: Option<&Proxy>,
    context: &str,
    server: &str,
) -> Result<(), ClusterError> {
    let asked = timeout(ANSWERS, client.apiserver_version()).await;
    let (seen, advice) = match &asked {
        Ok(Ok(_)) => return Ok(()),
        // Who it is was accepted, and may just not ask for this.
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => return Ok(()),
        Ok(Err(error @ kube::Error::Api(status))) if status.code == 401 => {
            (trouble::why(error), "Its credentials are not, or no longer, valid there: get new ones")
        }
        Ok(Err(error)) => (trouble::why(error), REACH),
        Err(_) => (format!("timed out: no answer within {} s", ANSWERS.as_secs()), REACH),
    };
    Err(ClusterError::Unreachable(Box::new(Unreachable {
        context: context.to_owned(),
        path: users_path(),
        server: server.to_owned(),
        by: proxy.map(|proxy| format!(" {}", proxy.in_words())).unwrap_or_default(),
        seen,
        advice,
    })))
}

/// What is wrong with a copy of the user's kubeconfig is wrong with that.
fn as_users(error: ApiError, context: &str) -> ApiError {
    match error {
        ApiError::Kubeconfig { reason, .. } => {
            ApiError::Kubeconfig { path: format!("{} (context {context})", users_path()), reason }
        }
        other => other,
    }
}

/// Where the user's kubeconfig is.
fn users_path() -> String {
    let set = std::env::var("KUBECONFIG").ok().filter(|path| !path.is_empty());
    set.unwrap_or_else(|| "~/.kube/config".to_owned())
}

/// The user's kubeconfig with this context alone in it, and its server.
fn one_context(name: &str) -> Result<(String, String), ClusterError> {
    let broken = |reason: String| ApiError::Kubeconfig { path: users_path(), reason };
    let mut config = Kubeconfig::read().map_err(|error| broken(trouble::of_chain(&error)))?;
    let names: Vec<_> = config.contexts.iter().map(|context| context.name.clone()).collect();
    let known = || if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let context = config.contexts.iter().find(|context| context.name == name);
    let Some(context) = context else {
        return Err(ClusterError::NoContext { name: name.to_owned(), path: users_path(), known: known() });
    };
    let Some(context) = context.context.clone() else {
        return Err(broken(format!("context {name} is empty: it names no cluster")).into());
    };
    config.contexts.retain(|known| known.name == name);
    config.clusters.retain(|known| known.name == context.cluster);
    config.auth_infos.retain(|known| Some(&known.name) == context.user.as_ref());
    config.current_context = Some(name.to_owned());
    let cluster = config.clusters.first().and_then(|named| named.cluster.as_ref());
    let Some(server) = cluster.and_then(|cluster| cluster.server.clone()).filter(|server| !server.is_empty())
    else {
        let reason =
            format!("context {name} leads to cluster {}, for which it has no server", context.cluster);
        return Err(broken(reason).into());
    };
    if let Some(user) = context.user.as_ref().filter(|_| config.auth_infos.is_empty()) {
        return Err(broken(format!("context {name} is for user {user}, of whom it says nothing")).into());
    }
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

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_waited_for_and_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let text = serde_json::json!({
            "clusters": [{"name": "k", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
            "current-context": "c",
        });
        std::fs::write(&file, text.to_string()).unwrap();
        let (client, proxy) = api::client_by_way(&file).await.unwrap();
        let error = must_answer(&client, proxy.as_ref(), "c", &server).await.unwrap_err();
        let said = error.to_string();
        assert!(error.is_unfit_host() && said.contains("timed out") && said.contains(&server), "{said}");
    }

    #[test]
    fn a_context_called_by_an_address_is_still_a_folder() {
        assert_eq!(folder_name("admin@https://10.0.0.1:6443"), "admin_https___10_0_0_1_6443");
        assert_eq!(folder_name("kind-other"), "kind-other");
    }
}
