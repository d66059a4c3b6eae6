//! Where a private engine keeps what.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::cache::{Cache, hex};

/// Where a private engine keeps what.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// In the cache: images and layers, kept when the engine stops.
    pub(super) data: PathBuf,
    /// In the cache: dockerd's output.
    pub(super) log: PathBuf,
    /// In the cache: what is remembered of a running one.
    pub(super) state: PathBuf,
    /// In the cache: the runtime script.
    pub(super) runtime: PathBuf,
    /// In /run, whose paths are short enough for sockets: everything that lives as long as the engine.
    pub(super) run: PathBuf,
    /// The engine's own bridge.
    pub(super) bridge: String,
    /// The control group above all of its containers.
    pub(super) cgroup: String,
    /// In the cache: what the host was like before.
    pub(super) before: PathBuf,
}

/// Of the engine that belongs to this cache.
pub(super) fn layout(cache: &Cache) -> Layout {
    use std::os::unix::ffi::OsStrExt as _;
    let id = hex(&Sha256::digest(cache.root().as_os_str().as_bytes()))[..8].to_owned();
    let dir = cache.root().join("engine");
    Layout {
        data: dir.join("data"),
        log: dir.join("dockerd.log"),
        state: dir.join("state.json"),
        runtime: dir.join("oci-runtime"),
        run: PathBuf::from(format!("/run/meshproof-{id}")),
        bridge: format!("mp{id}"),
        cgroup: format!("meshproof-{id}"),
        before: dir.join("before.json"),
    }
}
