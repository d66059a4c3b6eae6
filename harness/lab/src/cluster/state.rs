//! What is written down about a cluster, and what to make of it when a process, an engine or the machine died.
//!
//! A cluster is made again without a question only if it is proved that nothing of it can be lost: it was never finished, or its
//! containers have ended. That somebody could not look at it proves nothing.
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

/// What docker says of a container (`State.Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Made and never started.
    Created,
    /// Its process runs.
    #[default]
    Running,
    /// Its processes are there and do nothing until somebody lets them (`docker unpause`).
    Paused,
    /// It has ended and is being started again.
    Restarting,
    /// It is being removed.
    Removing,
    /// Its process has ended.
    Exited,
    /// Its process has ended and docker could not remove it.
    Dead,
    /// Another word, which proves nothing.
    #[serde(other)]
    Unknown,
}

impl ContainerState {
    /// Whether something can be asked of its processes now.
    pub fn runs(self) -> bool {
        self == Self::Running
    }

    /// Whether its processes are gone, and with them everything that they kept in memory.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Exited | Self::Dead | Self::Removing)
    }
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
    /// Whether it runs, and what else may be the case.
    #[serde(default)]
    pub state: ContainerState,
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
    /// The engine in which its nodes run, as `DOCKER_HOST` has it.
    #[serde(default)]
    pub engine: Option<String>,
}

/// What was found written down about a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// There is no record.
    Nothing,
    /// There is one that cannot be read, for this reason: it may be a newer meshproof's.
    Unreadable(String),
    /// This.
    Known(Box<Record>),
}

impl Recorded {
    /// The record, if it could be read.
    pub fn known(&self) -> Option<&Record> {
        match self {
            Self::Known(record) => Some(record),
            _ => None,
        }
    }
}

/// Why a cluster may have to be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Somebody said so (`up --recreate`).
    Asked,
    /// Its making was interrupted.
    Unfinished,
    /// Its containers are gone or have ended, and with them what was in it.
    Dead,
    /// Another cluster is wanted under its name. It may be well.
    Different,
    /// One of its nodes is gone. The others may be well.
    Incomplete,
    /// Nothing is known about containers that run.
    Unrecorded,
}

/// What to do about a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is there.
    Create,
    /// It looks as it should; its API must still answer.
    Use,
    /// The same, but for these nodes beside the control plane, which have to be started.
    Start(Vec<String>),
    /// Something of ours is there and cannot be used as it is.
    Replace(Because, String),
    /// These nodes are paused: what they would say is not known.
    Paused(Vec<String>),
    /// Its nodes are in this engine, which is not the one in use: they cannot be looked at.
    Elsewhere(String),
    /// Containers of this name exist that are not ours.
    Foreign(String),
}

/// Decides from the record and the containers seen what to do to have `wanted`. Only containers on `network` are ours. `elsewhere`
/// is the engine that was recorded, if that is not the one in which was looked and may still run.
pub fn assess(
    recorded: &Recorded,
    seen: &[NodeContainer],
    wanted: &Definition,
    network: &str,
    elsewhere: Option<&str>,
) -> Verdict {
    let condition = condition(recorded, seen, network, elsewhere);
    let difference = recorded.known().and_then(|record| record.definition.difference(wanted));
    match (condition, difference) {
        (Verdict::Use | Verdict::Start(_) | Verdict::Replace(Because::Incomplete, _), Some(difference)) => {
            Verdict::Replace(Because::Different, format!("its definition changed ({difference})"))
        }
        (condition, _) => condition,
    }
}

/// The same for a cluster that need only be what it was made as.
pub fn condition(
    recorded: &Recorded,
    seen: &[NodeContainer],
    network: &str,
    elsewhere: Option<&str>,
) -> Verdict {
    if let Some(stranger) = seen.iter().find(|node| !node.networks.iter().any(|name| name == network)) {
        return Verdict::Foreign(stranger.name.clone());
    }
    if let (Some(engine), true) = (elsewhere, seen.is_empty()) {
        return Verdict::Elsewhere(engine.to_owned());
    }
    let record = match recorded {
        Recorded::Known(record) => record,
        Recorded::Nothing if seen.is_empty() => return Verdict::Create,
        _ => return unrecorded(recorded, seen),
    };
    if record.stage == Stage::Creating {
        return Verdict::Replace(Because::Unfinished, "its creation was interrupted".to_owned());
    }
    let paused: Vec<_> = seen.iter().filter(|node| node.state == ContainerState::Paused).collect();
    let mut stopped = Vec::new();
    let mut lost = None;
    for (at, node) in record.nodes.iter().enumerate() {
        // kind's names are such that the control plane comes first. All state of a cluster is in its memory.
        let kept = at > 0;
        let now = seen.iter().find(|other| other.id == node.id);
        match now {
            None if kept => lost = Some(format!("node {} is gone", node.name)),
            None => return dead(format!("node {} is gone", node.name)),
            Some(other) if other.state.has_ended() && kept => stopped.push(node.name.clone()),
            Some(other) if other.state.has_ended() => {
                return dead(format!("node {} does not run", node.name));
            }
            Some(other) if other.started_at != node.started_at && kept => stopped.push(node.name.clone()),
            Some(other) if other.started_at != node.started_at => {
                return dead(format!("node {} was restarted and has lost its state", node.name));
            }
            Some(_) => {}
        }
    }
    if !paused.is_empty() {
        return Verdict::Paused(paused.into_iter().map(|node| node.name.clone()).collect());
    }
    match lost {
        Some(lost) => Verdict::Replace(Because::Incomplete, lost),
        None if stopped.is_empty() => Verdict::Use,
        None => Verdict::Start(stopped),
    }
}

fn dead(reason: String) -> Verdict {
    Verdict::Replace(Because::Dead, reason)
}

/// Of containers without a record it is only known whether they run.
fn unrecorded(recorded: &Recorded, seen: &[NodeContainer]) -> Verdict {
    let record = match recorded {
        Recorded::Unreadable(why) => format!("whose record cannot be read ({why})"),
        _ => "without a record".to_owned(),
    };
    let (because, node) = match seen.iter().find(|node| !node.state.has_ended()) {
        Some(node) => (Because::Unrecorded, Some(node)),
        None => (Because::Dead, seen.first()),
    };
    let reason = match node {
        Some(node) => format!("container {} is left of a cluster {record}", node.name),
        None => format!("nothing is left of a cluster {record}"),
    };
    Verdict::Replace(because, reason)
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

    /// Reads the record; nothing if there is none or it cannot be read (see [`Self::recorded`]).
    pub fn read(&self) -> Option<Record> {
        self.recorded().known().cloned()
    }

    /// Reads the record, and tells one that cannot be read from none.
    pub fn recorded(&self) -> Recorded {
        let path = self.path().join("cluster.json");
        let unreadable =
            |why: &dyn std::fmt::Display| Recorded::Unreadable(format!("{}: {why}", path.display()));
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(record) => Recorded::Known(Box::new(record)),
                Err(error) => unreadable(&error),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Recorded::Nothing,
            Err(error) => unreadable(&error),
        }
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
pub(crate) mod tests;
