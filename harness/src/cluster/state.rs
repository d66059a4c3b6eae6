//! What is written down about a cluster, and what to make of it when a process, an engine or the machine died.
//!
//! `<cache>/clusters/<name>/` holds the record and the kubeconfig. Whoever changes a cluster holds the cache's lock
//! `cluster-<name>`, which the kernel releases with the process: a killed one leaves nothing to wait for.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::network::Pool;

/// Trouble with the files that describe a cluster.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct StateError {
    /// What was being done.
    pub doing: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: std::io::Error,
}

/// How far bringing up came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Begun; if nobody holds the lock, whoever began it is gone.
    Creating,
    /// Everything that `ensure_cluster` promises was there.
    Ready,
}

/// A node's container as recorded or seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeContainer {
    /// Name, e.g. `meshproof-control-plane`.
    pub name: String,
    /// The container's id.
    pub id: String,
    /// When its process started, as docker prints it. A restarted node has lost its etcd (tmpfs) and its addresses.
    pub started_at: String,
    /// Whether it runs.
    pub running: bool,
    /// Names of the docker networks it is on.
    pub networks: Vec<String>,
}

/// What is known of a cluster from one command to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How far it came.
    pub stage: Stage,
    /// What it is made of.
    pub definition: Definition,
    /// Its nodes, once ready.
    pub nodes: Vec<NodeContainer>,
    /// Load-balancer addresses, once ready.
    pub pool: Option<Pool>,
    /// References of workspace images imported into every node.
    pub images: Vec<String>,
    /// Istio's version, if installed.
    pub istio: Option<String>,
    /// Istio belongs into it, and was taken out for scenarios that begin without.
    #[serde(default)]
    pub istio_out: bool,
}

/// What to do about a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is there.
    Create,
    /// It looks as it should; its API must still answer.
    Use,
    /// Something of ours is there and cannot be used, for this reason.
    Replace(String),
    /// Containers of this name exist that are not ours.
    Foreign(String),
}

/// Decides from the record and the containers seen what to do to have `wanted`. Only containers on `network` are ours.
pub fn assess(
    record: Option<&Record>,
    seen: &[NodeContainer],
    wanted: &Definition,
    network: &str,
) -> Verdict {
    if let Some(stranger) = seen.iter().find(|node| !node.networks.iter().any(|name| name == network)) {
        return Verdict::Foreign(stranger.name.clone());
    }
    let Some(record) = record else {
        return match seen.first() {
            None => Verdict::Create,
            Some(node) => {
                Verdict::Replace(format!("container {} is left of a cluster without a record", node.name))
            }
        };
    };
    if record.stage == Stage::Creating {
        return Verdict::Replace("its creation was interrupted".to_owned());
    }
    if let Some(difference) = record.definition.difference(wanted) {
        return Verdict::Replace(format!("its definition changed ({difference})"));
    }
    for node in &record.nodes {
        match seen.iter().find(|other| other.id == node.id) {
            None => return Verdict::Replace(format!("node {} is gone", node.name)),
            Some(other) if !other.running => {
                return Verdict::Replace(format!("node {} does not run", node.name));
            }
            Some(other) if other.started_at != node.started_at => {
                return Verdict::Replace(format!("node {} was restarted and has lost its state", node.name));
            }
            Some(_) => {}
        }
    }
    Verdict::Use
}

/// The files of one cluster.
#[derive(Debug, Clone)]
pub struct StateDir {
    clusters: PathBuf,
    name: String,
}

impl StateDir {
    /// State of cluster `name` below the cache directory.
    pub fn new(cache: &Path, name: &str) -> Self {
        Self { clusters: cache.join("clusters"), name: name.to_owned() }
    }

    /// Names of all clusters with state, sorted.
    pub fn list(cache: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(cache.join("clusters"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The directory.
    pub fn path(&self) -> PathBuf {
        self.clusters.join(&self.name)
    }

    /// The kubeconfig for people and tools.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path().join("kubeconfig")
    }

    /// Makes the directory (only its owner may read the keys in it).
    pub fn create(&self) -> Result<(), StateError> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.path())
            .map_err(|source| StateError { doing: "creating", path: self.path(), source })
    }

    /// Reads the record. A record that cannot be read counts as none: what it describes is then replaced.
    pub fn read(&self) -> Option<Record> {
        let text = std::fs::read(self.path().join("cluster.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the record so that a reader sees the old or the new one, never half of it.
    pub fn write(&self, record: &Record) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        self.write_file("cluster.json", &text).map(|_| ())
    }

    /// Writes one file atomically, readable by its owner only; returns its path.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<PathBuf, StateError> {
        let path = self.path().join(name);
        let failed = |source| StateError { doing: "writing", path: path.clone(), source };
        let directory = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        file.write_all(content).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(path)
    }

    /// Removes the directory and all in it.
    pub fn remove(&self) -> Result<(), StateError> {
        match std::fs::remove_dir_all(self.path()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StateError { doing: "removing", path: self.path(), source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
