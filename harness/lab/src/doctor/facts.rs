//! What this host has.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cache::Cache;
use crate::cluster::api::proxy::EXCEPT;
use crate::command::{Tool, on_path};
use crate::engine::{self, EngineError, capability};
use crate::host;
use crate::supply::pins::Pins;
use crate::supply::{ImageSource, cgroup_v2, registry, source, workspace};

/// Programs whose presence and version are reported.
const TOOLS: [(&str, &[&str]); 14] = [
    ("go", &["version"]),
    ("cargo", &["--version"]),
    ("rustup", &["--version"]),
    ("gcc", &["-dumpfullversion"]),
    ("apt-get", &["--version"]),
    ("debootstrap", &["--version"]),
    ("python3", &["--version"]),
    ("docker", &["--version"]),
    ("dockerd", &["--version"]),
    ("iptables", &["--version"]),
    ("kind", &["version"]),
    ("helm", &["version", "--short"]),
    ("istioctl", &["version", "--remote=false"]),
    ("kubectl", &["version", "--client"]),
];
/// No version question takes longer.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// What was seen on this host.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Facts {
    /// The system, as it calls itself.
    pub system: String,
    /// The processors' architecture.
    pub architecture: String,
    /// How many processors may be used.
    pub processors: usize,
    /// Available memory, bytes.
    pub memory_available: u64,
    /// Where the cache is.
    pub cache: String,
    /// Free bytes there.
    pub disk_free: Option<u64>,
    /// Whether this process is root.
    pub root: bool,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// Whether the bounding set lacks CAP_SYS_RESOURCE.
    pub lacks_sys_resource: bool,
    /// `fs.inotify.max_user_instances`, of which each node needs many.
    pub inotify_instances: Option<u64>,
    /// A proxy that the environment names for what is asked by https: the variable and its value, without credentials.
    pub proxy: Option<String>,
    /// What the environment excepts from it.
    pub no_proxy: Option<String>,
    /// The engine that answers.
    pub engine: Option<EngineFacts>,
    /// Why `DOCKER_HOST` cannot be used.
    pub engine_problem: Option<String>,
    /// Whether a registry answers; none when nothing would be asked of it.
    pub registry_answers: Option<bool>,
    /// Program and version; an empty version where it does not tell.
    pub tools: BTreeMap<String, String>,
    /// Whether Rust's musl target is installed.
    pub musl_target: bool,
    /// Whether this runs inside the workspace its images are built from.
    pub workspace: bool,
    /// Phases with nothing in the cache yet, in the order they run, and seconds they took last time.
    pub to_build: Vec<(String, Option<f64>)>,
}

/// The engine that answers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EngineFacts {
    /// Where, as `DOCKER_HOST` has it.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Whether it is the private one.
    pub private: bool,
}

/// Looks.
pub(super) async fn collect(cache: &Cache, image_source: ImageSource) -> Facts {
    let (engine, engine_problem) = match engine::find(cache).await {
        Ok(engine) => (engine, None),
        Err(error @ EngineError::Named { .. }) => (None, Some(error.to_string())),
        Err(error) => (None, Some(format!("could not look for a Docker Engine: {error}"))),
    };
    let registry_answers = match (&engine, registry::programs()) {
        (Some(engine), Ok(programs)) if image_source != ImageSource::Source => {
            match registry::node_image(&programs.kind).await {
                Ok(image) => Some(registry::answers(engine, &image).await),
                Err(_) => None,
            }
        }
        _ => None,
    };
    let mut tools = BTreeMap::new();
    let asked = TOOLS.iter().filter(|(name, _)| on_path(name).is_some()).map(|(name, args)| async move {
        let answer = Tool::new("ask for a version", name).args(*args).limit(VERSION_LIMIT).run().await;
        let first = answer.unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned();
        ((*name).to_owned(), first)
    });
    tools.extend(futures::future::join_all(asked).await);
    Facts {
        system: os_release(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
        architecture: std::env::consts::ARCH.to_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory_available: host::memory_available(),
        cache: cache.root().display().to_string(),
        disk_free: disk_free(cache.root()).await,
        root: host::is_root(),
        cgroup_version: if cgroup_v2() { 2 } else { 1 },
        lacks_sys_resource: capability::lacks_sys_resource(),
        inotify_instances: read_number("/proc/sys/fs/inotify/max_user_instances"),
        proxy: ["HTTPS_PROXY", "https_proxy"].into_iter().find_map(|name| {
            let value = set(name)?;
            let place = value.rsplit_once('@').map_or(value.as_str(), |(_, place)| place);
            Some(format!("{name}={place}"))
        }),
        no_proxy: EXCEPT.into_iter().find_map(set),
        engine: engine.as_ref().map(|engine| EngineFacts {
            host: engine.host().to_owned(),
            version: engine.version().to_owned(),
            private: engine.is_private(),
        }),
        engine_problem,
        registry_answers,
        tools,
        musl_target: workspace::has_target().await,
        workspace: workspace::root().is_ok(),
        to_build: to_build(cache),
    }
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What the cache does not hold yet.
fn to_build(cache: &Cache) -> Vec<(String, Option<f64>)> {
    let Ok(pins) = Pins::load() else { return Vec::new() };
    let mut keys = source::keys(&pins);
    if let Ok(Ok(key)) = workspace::root().map(|root| workspace::key(&root)) {
        keys.push((workspace::PHASE.to_owned(), key));
    }
    keys.into_iter()
        .filter(|(_, key)| cache.find(key).is_none())
        .map(|(phase, _)| {
            let expected = cache.expected(&phase).map(|took| took.as_secs_f64());
            (phase, expected)
        })
        .collect()
}

fn os_release(text: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned())
}

async fn disk_free(dir: &Path) -> Option<u64> {
    let df = Tool::new("ask for free disk space", "df").args(["-P", "-k"]).arg(dir).limit(VERSION_LIMIT);
    parse_df(&df.run().await.ok()?)
}

fn parse_df(text: &str) -> Option<u64> {
    Some(text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()? * 1024)
}

fn read_number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_understood() {
        assert_eq!(os_release("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 90 10 90% /\n";
        assert_eq!(parse_df(df), Some(10_240));
    }
}
