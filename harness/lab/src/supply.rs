//! Where programs and images come from: a registry, or pinned source.
//!
//! [`prepare`] returns everything a cluster needs. Sources are built into a [`cache::Cache`] keyed by their
//! inputs; with a full cache nothing is built and nothing is downloaded.

use std::path::PathBuf;
use std::str::FromStr;

use crate::cache::Cache;
use crate::engine::Engine;
use meshproof_model::progress::Progress;

pub mod archive;
pub mod conformance;
pub mod golang;
pub mod istio;
pub mod node;
pub mod parts;
pub mod peers;
pub mod pins;
pub mod registry;
pub mod source;
pub mod wanted;
pub mod workspace;

pub use wanted::Wanted;

/// Where programs and images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageSource {
    /// Released images and programs.
    Registry,
    /// Pinned source.
    Source,
    /// The registry if one answers, else source.
    #[default]
    Auto,
}

impl FromStr for ImageSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "registry" => Ok(Self::Registry),
            "source" => Ok(Self::Source),
            "auto" => Ok(Self::Auto),
            other => Err(format!("`{other}` is no image source; expected registry, source or auto")),
        }
    }
}

impl std::fmt::Display for ImageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Registry => "registry",
            Self::Source => "source",
            Self::Auto => "auto",
        })
    }
}

/// What to prepare.
#[derive(Debug, Clone, Default)]
pub struct SupplyOptions {
    /// Where from.
    pub source: ImageSource,
    /// Which images of this workspace.
    pub images: Wanted,
}

/// Everything a cluster needs.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// kind.
    pub kind: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// istioctl.
    pub istioctl: PathBuf,
    /// The node image, in the engine.
    pub node_image: String,
    /// The Kubernetes version in it, `v1.34.4`.
    pub kubernetes_version: String,
    /// CoreDNS's image in it, where that is not the one kubeadm names.
    pub coredns: Option<String>,
    /// Istio.
    pub istio: IstioSupply,
    /// The images of this workspace, to import into the nodes.
    pub images: Vec<LoadImage>,
    /// Directory of the Gateway API's CRDs, one YAML file each.
    pub gateway_api_crds: PathBuf,
    /// An upstream Envoy program, to test against.
    pub envoy: PathBuf,
    /// Whether the host lacks CAP_SYS_RESOURCE: the kubelet then needs `KubeletInUserNamespace`.
    pub shim_needed: bool,
    /// Where they came from: never [`ImageSource::Auto`].
    pub source: ImageSource,
}

/// One Istio, ready to be installed.
#[derive(Debug, Clone)]
pub struct IstioBuild {
    /// Its istioctl.
    pub istioctl: PathBuf,
    /// How to install it.
    pub supply: IstioSupply,
    /// Its images; none if the nodes have them anyway.
    pub images: Vec<LoadImage>,
}

impl Artifacts {
    /// The same with another Istio.
    #[must_use]
    pub fn with_istio(mut self, build: IstioBuild) -> Self {
        self.images.extend(build.images);
        Self { istioctl: build.istioctl, istio: build.supply, ..self }
    }
}

/// How to install Istio.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IstioSupply {
    /// Its version.
    pub version: String,
    /// `hub` value; none for istioctl's own.
    pub hub: Option<String>,
    /// `tag` value; none for istioctl's own.
    pub tag: Option<String>,
    /// The sidecar is upstream Envoy, which lacks Istio's own filters.
    pub upstream_envoy: bool,
}

impl IstioSupply {
    /// The image of its sidecar, if its name is known.
    pub fn proxy(&self) -> Option<String> {
        Some(format!("{}/proxyv2:{}", self.hub.as_ref()?, self.tag.as_ref()?))
    }

    /// One that was built here, with upstream Envoy.
    pub(crate) fn own(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            hub: Some(node::OWN_IMAGES.to_owned()),
            tag: Some(version.to_owned()),
            upstream_envoy: true,
        }
    }
}

/// An image to import into the nodes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LoadImage {
    /// Its name and tag.
    pub reference: String,
    /// A docker-archive.
    pub archive: PathBuf,
}

/// Supply failed.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// An external program failed.
    #[error("{failed}{advice}", failed = .0, advice = if .0.lacks_network() { OFFLINE } else { "" })]
    Command(#[from] crate::command::CommandError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] crate::cache::CacheError),
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] crate::host::HostError),
    /// The pins cannot be read.
    #[error("kind-config/versions.toml: {0}")]
    Pins(#[from] toml::de::Error),
    /// Something is not as its maker documents it.
    #[error("{what}")]
    Unexpected {
        /// What was expected and seen.
        what: String,
    },
}

/// What to do where nothing can be downloaded.
const OFFLINE: &str = "\nWhat is built here is downloaded first (Go modules, crates, Debian packages), and nobody answered. Open the \
                       way there (a proxy: HTTPS_PROXY, GOPROXY), use --image-source registry where a registry answers, or \
                       bring a cache that was filled elsewhere (MESHPROOF_CACHE)";

impl SupplyError {
    /// Whether the host is not fit (exit code 3), as opposed to something having failed on it.
    pub fn is_unfit_host(&self) -> bool {
        match self {
            Self::Host(error) => error.is_unfit_host(),
            Self::Command(error) => error.lacks_network(),
            _ => false,
        }
    }
}

/// Prepares everything a cluster needs.
///
/// # Errors
/// The host lacks something, a download or a build failed.
pub async fn prepare(
    cache: &Cache,
    engine: &Engine,
    options: &SupplyOptions,
    progress: &dyn Progress,
) -> Result<Artifacts, SupplyError> {
    match options.source {
        ImageSource::Source => source::prepare(cache, engine, options, progress).await,
        ImageSource::Registry => registry::prepare(cache, engine, options, progress).await,
        ImageSource::Auto if prefers_registry(engine).await => {
            registry::prepare(cache, engine, options, progress).await
        }
        ImageSource::Auto => source::prepare(cache, engine, options, progress).await,
    }
}

/// The programs that talk to a cluster somebody else made.
#[derive(Debug, Clone)]
pub struct Clients {
    /// kubectl.
    pub kubectl: PathBuf,
    /// helm.
    pub helm: PathBuf,
}

/// kubectl and helm: from the cache or `PATH`, else built from pinned source. No engine is needed.
///
/// # Errors
/// They are not on `PATH` and must not be built, or the build failed.
pub async fn clients(
    cache: &Cache,
    source: ImageSource,
    progress: &dyn Progress,
) -> Result<Clients, SupplyError> {
    if source != ImageSource::Registry
        && let Some(clients) = source::cached_clients(cache)?
    {
        return Ok(clients);
    }
    let released = registry::clients();
    match source {
        ImageSource::Registry => Ok(released?),
        ImageSource::Auto if released.is_ok() => Ok(released?),
        _ => source::clients(cache, progress).await,
    }
}

/// Whether released images are to be had here and would run. Costs nothing where nodes were built before or
/// the released programs are missing; else a registry has a few seconds to answer.
async fn prefers_registry(engine: &Engine) -> bool {
    let Ok(pins) = pins::Pins::load() else { return false };
    if node::present(engine, &source::node_image(&pins)).await || !cgroup_v2() {
        return false;
    }
    let Ok(programs) = registry::programs() else { return false };
    match registry::node_image(&programs.kind).await {
        Ok(image) => registry::answers(engine, &image).await,
        Err(_) => false,
    }
}

/// Whether the host has the unified control groups that released nodes need.
pub(crate) fn cgroup_v2() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}
