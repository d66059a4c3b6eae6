//! Everything from pinned source, ordered so that network and processors work side by side.

use std::path::PathBuf;

use super::golang::{GoBuild, module_dir};
use super::node::{self, NodeParts, OWN_IMAGES};
use super::pins::{self, GoModule, Istio, IstioVersions, Pins};
use super::{Artifacts, Clients, ImageSource, IstioSupply, SupplyError, SupplyOptions, parts, workspace};
use crate::cache::{Cache, Inputs, Key};
use crate::command::on_path;
use crate::engine::Engine;
use crate::host::{self, HostError};
use meshproof_model::progress::Progress;

/// All Go programs.
#[derive(Debug, Clone)]
pub struct GoBuilds {
    /// Kubernetes' programs.
    pub kubernetes: GoBuild,
    /// Istio's programs.
    pub istio: GoBuild,
    /// CoreDNS.
    pub coredns: GoBuild,
    /// etcd.
    pub etcd: GoBuild,
    /// helm.
    pub helm: GoBuild,
    /// kind.
    pub kind: GoBuild,
}

impl GoBuilds {
    /// What is built, and with which version stamps.
    pub fn new(pins: &Pins) -> Self {
        let stamp = |variable: &str, value: &str| (variable.to_owned(), value.to_owned());
        let one = |module, package, program| GoBuild {
            name: program,
            module,
            programs: vec![(package, program)],
            tags: "",
            stamps: vec![],
            beside: None,
        };
        Self {
            kubernetes: GoBuild {
                name: pins::KUBERNETES.name,
                module: pins::KUBERNETES,
                programs: vec![
                    ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
                    ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
                    ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
                    ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
                    ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
                    ("k8s.io/kubernetes/cmd/kubeadm", "kubeadm"),
                    ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
                ],
                tags: "",
                stamps: kubernetes_stamps(&pins.kubernetes.version),
                beside: None,
            },
            istio: istio(pins::ISTIO, &pins.istio),
            coredns: one(pins::ISTIO, "./coredns", "coredns"),
            etcd: one(pins::ETCD, "go.etcd.io/etcd/server/v3", "etcd"),
            helm: GoBuild {
                stamps: vec![stamp("helm.sh/helm/v3/internal/version.version", &pins.helm.version)],
                ..one(pins::ISTIO, "helm.sh/helm/v3/cmd/helm", "helm")
            },
            kind: one(pins::KIND, "sigs.k8s.io/kind", "kind"),
        }
    }

    /// In the order they are built: what the node image waits for first, the largest of that first.
    pub fn in_order(&self) -> [&GoBuild; 6] {
        [&self.kubernetes, &self.istio, &self.coredns, &self.etcd, &self.kind, &self.helm]
    }
}

/// Istio's programs of one module, stamped with its version.
pub(super) fn istio(module: GoModule, pin: &Istio) -> GoBuild {
    GoBuild {
        name: module.name,
        module,
        programs: vec![
            ("istio.io/istio/pilot/cmd/pilot-discovery", "pilot-discovery"),
            ("istio.io/istio/pilot/cmd/pilot-agent", "pilot-agent"),
            ("istio.io/istio/istioctl/cmd/istioctl", "istioctl"),
        ],
        // As in Istio's own releases: without the validators of Envoy's configuration, a third of a million lines.
        tags: "disable_pgv",
        stamps: istio_stamps(&pin.version, &pin.revision),
        beside: None,
    }
}

/// The control plane of the oldest Istio alone, under the number of one that is too old.
pub(super) fn istio_too_old(pins: &Pins) -> GoBuild {
    let IstioVersions { oldest, too_old, .. } = &pins.istio_versions;
    GoBuild {
        name: "istio-too-old",
        programs: vec![("istio.io/istio/pilot/cmd/pilot-discovery", "pilot-discovery")],
        stamps: istio_stamps(too_old, &oldest.revision),
        ..istio(pins::ISTIO_OLDEST, oldest)
    }
}

/// Istio reports `unknown` without.
fn istio_stamps(version: &str, revision: &str) -> Vec<(String, String)> {
    let stamps = [
        ("buildVersion", version),
        ("buildTag", version),
        ("buildHub", OWN_IMAGES),
        ("buildGitRevision", revision),
        ("buildStatus", "Clean"),
    ];
    stamps.map(|(name, value)| (format!("istio.io/istio/pkg/version.{name}"), value.to_owned())).into()
}

/// kubeadm and the API server refuse to work, or misbehave, without a version.
fn kubernetes_stamps(version: &str) -> Vec<(String, String)> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
        .into_iter()
        .flat_map(|package| {
            [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
                .map(|(name, value)| (format!("{package}.{name}"), value.to_owned()))
        })
        .collect()
}

/// Builds, or takes from the cache, everything a cluster needs.
///
/// # Errors
/// The host lacks a compiler or root, a download or a build failed.
pub async fn prepare(
    cache: &Cache,
    engine: &Engine,
    options: &SupplyOptions,
    progress: &dyn Progress,
) -> Result<Artifacts, SupplyError> {
    let pins = Pins::load()?;
    let builds = GoBuilds::new(&pins);
    let node_image = node_image(&pins);

    let gathered = gather(cache, &pins, &builds, progress).await?;
    let archive = async {
        let parts = node_parts(cache, &pins, &builds, &gathered, progress).await?;
        node::archive(cache, &pins, &parts, progress).await
    };
    let load = node::load(cache, engine, &node_image, archive, progress);
    // Putting the node together keeps the disk busy, compiling the extension the processors.
    let images = workspace::images(cache, &options.images, progress);
    let ((), images) = futures::try_join!(load, images)?;

    Ok(Artifacts {
        kind: gathered.kind.join("kind"),
        kubectl: gathered.kubernetes.join("kubectl"),
        helm: gathered.helm.join("helm"),
        istioctl: gathered.istio.join("istioctl"),
        node_image,
        kubernetes_version: pins.kubernetes.version.clone(),
        coredns: Some(node::coredns_image(&pins)),
        istio: IstioSupply::own(&pins.istio.version),
        images,
        gateway_api_crds: gathered.gateway_api,
        envoy: gathered.envoy,
        shim_needed: engine.without_sys_resource(),
        source: ImageSource::Source,
    })
}

/// kubectl and helm, if they are built already.
///
/// # Errors
/// The pins cannot be read.
pub fn cached_clients(cache: &Cache) -> Result<Option<Clients>, SupplyError> {
    let builds = GoBuilds::new(&Pins::load()?);
    let find = |build: &GoBuild, name: &str| cache.find(&build.key()).map(|folder| folder.join(name));
    Ok(find(&builds.kubernetes, "kubectl")
        .zip(find(&builds.helm, "helm"))
        .map(|(kubectl, helm)| Clients { kubectl, helm }))
}

/// kubectl and helm, built if they are not in the cache.
///
/// # Errors
/// The host lacks a compiler, a download or the build failed.
pub async fn clients(cache: &Cache, progress: &dyn Progress) -> Result<Clients, SupplyError> {
    let builds = GoBuilds::new(&Pins::load()?);
    need_go()?;
    host::ensure(cache, progress, host::BUILD).await?;
    let kubectl = builds.kubernetes.build(cache, progress).await?.join("kubectl");
    let helm = builds.helm.build(cache, progress).await?.join("helm");
    Ok(Clients { kubectl, helm })
}

/// Name of the node image these pins make.
pub fn node_image(pins: &Pins) -> String {
    node::image_name(pins, &node::key(&inputs(pins, &GoBuilds::new(pins))))
}

/// Every cache entry of this path, with its phase, in the order they are made.
pub fn keys(pins: &Pins) -> Vec<(String, Key)> {
    let builds = GoBuilds::new(pins);
    let other = [
        (parts::ENVOY, parts::envoy_key(&pins.envoy)),
        (parts::GATEWAY_API, parts::gateway_api_key()),
        (node::PHASE, node::key(&inputs(pins, &builds))),
    ];
    let node_missing = [
        (parts::RUNTIME, parts::runtime_key(&pins.debian)),
        (parts::NODE_BASE, parts::node_base_key(&pins.debian)),
        (parts::PAUSE, parts::pause_key()),
    ];
    let named = |(phase, key): (&str, Key)| (phase.to_owned(), key);
    builds
        .in_order()
        .into_iter()
        .map(|build| (build.phase(), build.key()))
        .chain(node_missing.map(named))
        .chain(other.map(named))
        .collect()
}

/// Where each thing is, once built.
struct Gathered {
    kubernetes: PathBuf,
    istio: PathBuf,
    coredns: PathBuf,
    etcd: PathBuf,
    kind: PathBuf,
    helm: PathBuf,
    envoy: PathBuf,
    gateway_api: PathBuf,
}

async fn gather(
    cache: &Cache,
    pins: &Pins,
    builds: &GoBuilds,
    progress: &dyn Progress,
) -> Result<Gathered, SupplyError> {
    let missing: Vec<_> = builds.in_order().into_iter().filter(|b| cache.find(&b.key()).is_none()).collect();
    let node_missing = cache.find(&node::key(&inputs(pins, builds))).is_none();
    if node_missing && !host::is_root() {
        return Err(SupplyError::Host(HostError::Missing {
            missing: "root, which putting a node's file system together takes".to_owned(),
            advice: format!(
                "Run this once as root with MESHPROOF_CACHE={}, or use --image-source registry",
                cache.root().display()
            ),
        }));
    }
    if node_missing || !missing.is_empty() {
        need_go()?;
        host::ensure(cache, progress, host::BUILD).await?;
    }
    // Compilers fill both processors, so they run one after the other; downloads and Debian run beside them.
    let compile = async {
        for build in builds.in_order() {
            build.build(cache, progress).await?;
        }
        Ok::<_, SupplyError>(())
    };
    let fetch = async {
        for build in missing.iter().skip(1) {
            build.download(cache).await?;
        }
        Ok::<_, SupplyError>(())
    };
    let debian = async {
        let envoy = parts::envoy(cache, &pins.envoy, progress).await?;
        let gateway_api = parts::gateway_api(cache, progress).await?;
        if node_missing {
            parts::node_base(cache, &pins.debian, progress).await?;
        }
        Ok::<_, SupplyError>((envoy, gateway_api))
    };
    let ((), (), (envoy, gateway_api)) = futures::try_join!(compile, fetch, debian)?;
    Ok(Gathered {
        kubernetes: builds.kubernetes.build(cache, progress).await?,
        istio: builds.istio.build(cache, progress).await?,
        coredns: builds.coredns.build(cache, progress).await?,
        etcd: builds.etcd.build(cache, progress).await?,
        kind: builds.kind.build(cache, progress).await?,
        helm: builds.helm.build(cache, progress).await?,
        envoy,
        gateway_api,
    })
}

/// Go is not installed for people: Debian's is too old, and which one they want is theirs to say.
pub(super) fn need_go() -> Result<(), SupplyError> {
    if on_path("go").is_some() {
        return Ok(());
    }
    Err(SupplyError::Host(HostError::Missing {
        missing: "go".to_owned(),
        advice: "Install Go 1.26 or later (https://go.dev/doc/install), or use --image-source registry"
            .to_owned(),
    }))
}

async fn node_parts(
    cache: &Cache,
    pins: &Pins,
    builds: &GoBuilds,
    gathered: &Gathered,
    progress: &dyn Progress,
) -> Result<NodeParts, SupplyError> {
    let istio = module_dir(cache, pins::ISTIO, "istio.io/istio").await?;
    Ok(NodeParts {
        base: parts::node_base(cache, &pins.debian, progress).await?,
        runtime: parts::runtime(cache, &pins.debian, progress).await?,
        kubernetes: gathered.kubernetes.clone(),
        etcd: gathered.etcd.join("etcd"),
        coredns: gathered.coredns.join("coredns"),
        pause: parts::pause(cache, progress).await?,
        istio: gathered.istio.clone(),
        bootstrap: istio.join("tools/packaging/common/envoy_bootstrap.json"),
        envoy: gathered.envoy.clone(),
        inputs: inputs(pins, builds),
    })
}

/// Digest over everything in the node image.
fn inputs(pins: &Pins, builds: &GoBuilds) -> String {
    [
        parts::node_base_key(&pins.debian),
        builds.kubernetes.key(),
        builds.istio.key(),
        builds.coredns.key(),
        builds.etcd.key(),
        parts::envoy_key(&pins.envoy),
        parts::pause_key(),
    ]
    .into_iter()
    .fold(Inputs::new("node-parts"), |inputs, key| inputs.with(&key.name, &key.digest))
    .key()
    .digest
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn kubernetes_is_stamped_with_all_parts_of_its_version() {
        let stamps = kubernetes_stamps("v1.34.4");
        let has = |name: &str, value: &str| stamps.iter().any(|(n, v)| n.ends_with(name) && v == value);
        assert!(has("gitVersion", "v1.34.4") && has("gitMajor", "1") && has("gitMinor", "34"));
        assert_eq!(stamps.len(), 8);
    }
}
