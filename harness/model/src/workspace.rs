//! This project's workspace: where it is, and what images are built from it.

use std::path::{Path, PathBuf};

/// Directories whose sources the programs in the images are made of.
pub const SOURCES: [&str; 3] = ["extension", "fixtures/echo", "fixtures/load-balancer"];

/// Names of the images that are built from it.
pub const IMAGES: [&str; 5] =
    ["alb-controller", "alb-controller-istio-extension", "alb-proxy", "echo", "load-balancer"];

/// Names of the images that are made from pinned Go modules, for gateways that nobody here wrote: built only for an implementation
/// that names them. `proxyv2` is the mesh's own image of Envoy.
pub const PEER_IMAGES: [&str; 3] = ["envoy-gateway", "traefik", "proxyv2"];

/// Names of the charts that come with these modules.
pub const CHARTS: [&str; 1] = ["gateway-helm"];

/// Its root: the directory above that holds it, else where this program was compiled; nothing if it is in neither place.
pub fn root() -> Option<PathBuf> {
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let current = std::env::current_dir().ok();
    current
        .iter()
        .flat_map(|dir| dir.ancestors())
        .chain(compiled)
        .find(|dir| {
            dir.join("Cargo.lock").is_file() && SOURCES.iter().all(|source| dir.join(source).is_dir())
        })
        .map(Path::to_owned)
}
