//! The node image: kind's node with Kubernetes' programs and the images of its and Istio's components.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SupplyError;
use super::archive::{self, Image, Layer, LayerFile};
use super::parts::write_script;
use super::pins::Pins;
use crate::cache::{Cache, Inputs, Key, blocking, hex, io};
use crate::command::Tool;
use crate::engine::Engine;
use meshproof_model::progress::Progress;

const PRELOAD_SCRIPT: &str = include_str!("../../../../kind-config/node/preload.sh");
/// The phase in which the node image is made.
pub const PHASE: &str = "assemble the node image";
/// Where this project's own images live; `localhost` is never asked for anything.
pub const OWN_IMAGES: &str = "localhost/meshproof";
/// The longest a node's assembly can take unless something hangs.
const ASSEMBLE_LIMIT: Duration = Duration::from_secs(600);

/// Everything a node image is made of.
#[derive(Debug, Clone)]
pub struct NodeParts {
    /// `node.tar`: the node's file system without Kubernetes.
    pub base: PathBuf,
    /// `runtime.tar`: Debian for the images that need one.
    pub runtime: PathBuf,
    /// Directory of Kubernetes' programs.
    pub kubernetes: PathBuf,
    /// The etcd program.
    pub etcd: PathBuf,
    /// The CoreDNS program.
    pub coredns: PathBuf,
    /// The pause program.
    pub pause: PathBuf,
    /// Directory of Istio's programs.
    pub istio: PathBuf,
    /// Istio's bootstrap template for Envoy.
    pub bootstrap: PathBuf,
    /// The Envoy program.
    pub envoy: PathBuf,
    /// Digest over the keys of all of the above.
    pub inputs: String,
}

/// How images are made of the parts, which no other input tells: changed with [`component_images`] and what it calls.
pub(super) const LAYOUT: &str = "2: Envoy in a layer of its own, CoreDNS by its own name";

/// Key of the node's archive.
pub fn key(inputs: &str) -> Key {
    Inputs::new("node").with("parts", inputs).with("script", PRELOAD_SCRIPT).with("layout", LAYOUT).key()
}

/// Name of the node image in the engine.
pub fn image_name(pins: &Pins, key: &Key) -> String {
    format!("{OWN_IMAGES}/node:{}-{}", pins.kubernetes.version, key.digest)
}

/// The node image as a docker-archive.
///
/// # Errors
/// Not root, no room, or containerd did not accept an image.
pub async fn archive(
    cache: &Cache,
    pins: &Pins,
    parts: &NodeParts,
    progress: &dyn Progress,
) -> Result<PathBuf, SupplyError> {
    let dir = cache
        .entry(&key(&parts.inputs), PHASE, progress, |out| async move {
            let names = kubeadm_images(&parts.kubernetes.join("kubeadm"), &pins.kubernetes.version).await?;
            let images = component_images(pins, parts, &names)?;
            let pause = name_of(&names, "pause")?.to_owned();
            let input = out.join("in");
            std::fs::create_dir(&input).map_err(io("create", &input))?;
            let tar = input.join("images.tar");
            let layers = blocking({
                let tar = tar.clone();
                move || archive::write(&images, &tar)
            })
            .await
            .map_err(io("write the component images to", &tar))?;
            let list = out.join("layers");
            std::fs::write(&list, layers.join("\n") + "\n").map_err(io("write", &list))?;
            Tool::new(PHASE, "sh")
                .contained()
                .arg(write_script(&out, PRELOAD_SCRIPT)?)
                .arg(&out)
                .args([&parts.base, &parts.kubernetes, &tar])
                .args([&pause, &pins.kubernetes.version])
                .args([list, out.join("node.tar")])
                .log(cache.log("node"))
                .limit(ASSEMBLE_LIMIT)
                .run()
                .await?;
            std::fs::remove_dir_all(&input).map_err(io("remove", &input))?;
            let (system, image) = (out.join("node.tar"), out.join("image.tar"));
            let name = image_name(pins, &key(&parts.inputs));
            blocking({
                let (node, image) = (node_image(name, system.clone()), image.clone());
                move || archive::write(&[node], &image)
            })
            .await
            .map_err(io("write the node image to", &image))?;
            std::fs::remove_file(&system).map_err(io("remove", &system))?;
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(dir.join("image.tar"))
}

/// Puts the node image into the engine unless it is there. Returns its name.
///
/// # Errors
/// The engine refused.
pub async fn load(
    cache: &Cache,
    engine: &Engine,
    name: &str,
    archive: impl Future<Output = Result<PathBuf, SupplyError>>,
    progress: &dyn Progress,
) -> Result<(), SupplyError> {
    if present(engine, name).await {
        return Ok(());
    }
    let archive = archive.await?;
    let lock_name = format!("load-{}", hex(&<sha2::Sha256 as sha2::Digest>::digest(name))[..16].to_owned());
    let phase = "load the node image into the engine";
    let _lock =
        cache.lock(&lock_name, || progress.note(phase, "another meshproof is loading it; waiting")).await?;
    if present(engine, name).await {
        return Ok(());
    }
    let import = async {
        engine
            .tool(phase)
            .args(["load", "--quiet", "--input"])
            .arg(&archive)
            .limit(ASSEMBLE_LIMIT)
            .run()
            .await
            .map_err(SupplyError::from)
    };
    cache.timed(phase, progress, import).await?;
    if engine.is_private() {
        forget_images_without_archive(cache, engine).await;
    }
    Ok(())
}

/// Removes node images whose cache entry has been pruned: in the private engine nobody else wants them. One
/// that a node still uses stays.
async fn forget_images_without_archive(cache: &Cache, engine: &Engine) {
    let repository = format!("{OWN_IMAGES}/node");
    let list = engine.tool("list node images").args(["image", "ls", "--format", "{{.Tag}}", &repository]);
    for tag in list.run().await.unwrap_or_default().lines() {
        let Some((_, digest)) = tag.rsplit_once('-') else { continue };
        if cache.root().join("entries").join(format!("node-{digest}")).exists() {
            continue;
        }
        let removal =
            engine.tool("remove an old node image").args(["image", "rm", &format!("{repository}:{tag}")]);
        if let Err(error) = removal.run().await {
            tracing::debug!(%error, tag, "old node image kept");
        }
    }
}

/// Whether the engine has an image of that name.
pub async fn present(engine: &Engine, name: &str) -> bool {
    engine
        .tool("look for the node image")
        .args(["image", "inspect", "--format", "{{.Id}}", name])
        .run()
        .await
        .is_ok()
}

/// The names kubeadm will ask for; nobody else needs to know them.
async fn kubeadm_images(kubeadm: &Path, version: &str) -> Result<Vec<String>, SupplyError> {
    let list = Tool::new("ask kubeadm for its images", kubeadm)
        .args(["config", "images", "list", "--kubernetes-version", version])
        .run()
        .await?;
    Ok(list.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect())
}

/// As kind's Dockerfile ends: systemd learns that it runs in a container, and stops on its own signal.
fn node_image(reference: String, system: PathBuf) -> Image {
    Image {
        references: vec![reference],
        layers: vec![Layer::Tar(system)],
        entrypoint: vec!["/usr/local/bin/entrypoint".to_owned(), "/sbin/init".to_owned()],
        env: vec!["container=docker".to_owned()],
        stop_signal: "SIGRTMIN+3".to_owned(),
        ..Image::default()
    }
}

fn name_of<'a>(names: &'a [String], component: &str) -> Result<&'a str, SupplyError> {
    names
        .iter()
        .find(|name| {
            name.rsplit_once(':').is_some_and(|(path, _)| path.rsplit('/').next() == Some(component))
        })
        .map(String::as_str)
        .ok_or_else(|| SupplyError::Unexpected {
            what: format!("kubeadm needs no image called {component}: {names:?}"),
        })
}

fn component_images(pins: &Pins, parts: &NodeParts, names: &[String]) -> Result<Vec<Image>, SupplyError> {
    let program = |path: &str, source: PathBuf| LayerFile { path: path.to_owned(), source, mode: 0o755 };
    let image = |reference: String, layers: Vec<Layer>, entrypoint: &[&str], user: &str| Image {
        references: vec![reference],
        layers,
        entrypoint: entrypoint.iter().map(|s| (*s).to_owned()).collect(),
        user: user.to_owned(),
        ..Image::default()
    };
    let kubeadm = |name: &str| name_of(names, name).map(str::to_owned);
    let runtime = || Layer::Tar(parts.runtime.clone());
    let bin =
        |name: &str, source: PathBuf| Layer::Files(vec![program(&format!("/usr/local/bin/{name}"), source)]);

    let mut images = Vec::new();
    for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        images.push(image(kubeadm(name)?, vec![bin(name, parts.kubernetes.join(name))], &[], ""));
    }
    let proxy = bin("kube-proxy", parts.kubernetes.join("kube-proxy"));
    images.push(image(kubeadm("kube-proxy")?, vec![runtime(), proxy], &[], ""));
    images.push(image(kubeadm("etcd")?, vec![bin("etcd", parts.etcd.clone())], &[], ""));
    let coredns = Layer::Files(vec![program("/coredns", parts.coredns.clone())]);
    images.push(image(coredns_image(pins), vec![coredns], &["/coredns"], ""));
    let pause = Layer::Files(vec![program("/pause", parts.pause.clone())]);
    images.push(image(kubeadm("pause")?, vec![pause], &["/pause"], "65535:65535"));

    let istio = IstioParts {
        runtime: parts.runtime.clone(),
        envoy: parts.envoy.clone(),
        agent: parts.istio.join("pilot-agent"),
        bootstrap: parts.bootstrap.clone(),
    };
    images.push(pilot_image(&pins.istio.version, parts.istio.join("pilot-discovery")));
    images.push(sidecar_image(&[&pins.istio.version], istio));
    Ok(images)
}

/// The image of CoreDNS, which kubeadm does not install: another version than it would.
pub(super) fn coredns_image(pins: &Pins) -> String {
    format!("{OWN_IMAGES}/coredns:{}", pins.coredns.version)
}

/// What Istio's proxy image is made of.
#[derive(Debug, Clone)]
pub struct IstioParts {
    /// `runtime.tar`.
    pub runtime: PathBuf,
    /// The Envoy program.
    pub envoy: PathBuf,
    /// The pilot-agent program.
    pub agent: PathBuf,
    /// The bootstrap template for Envoy.
    pub bootstrap: PathBuf,
}

/// The image of istiod.
pub(super) fn pilot_image(version: &str, program: PathBuf) -> Image {
    let path = "/usr/local/bin/pilot-discovery".to_owned();
    Image {
        references: vec![format!("{OWN_IMAGES}/pilot:{version}")],
        layers: vec![Layer::Files(vec![LayerFile { path: path.clone(), source: program, mode: 0o755 }])],
        entrypoint: vec![path],
        user: "1337:1337".to_owned(),
        ..Image::default()
    }
}

/// The image of the sidecar, under the tags of all these versions.
pub(super) fn sidecar_image(versions: &[&str], parts: IstioParts) -> Image {
    let file = |path: &str, source: PathBuf, mode: u32| LayerFile { path: path.to_owned(), source, mode };
    // Envoy is the same for every Istio: in a layer of its own, nodes that have it need not unpack it again.
    let envoy = Layer::Files(vec![file("/usr/local/bin/envoy", parts.envoy, 0o755)]);
    let files = Layer::Files(vec![
        file("/usr/local/bin/pilot-agent", parts.agent, 0o755),
        file("/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", parts.bootstrap, 0o644),
    ]);
    Image {
        references: versions.iter().map(|version| format!("{OWN_IMAGES}/proxyv2:{version}")).collect(),
        layers: vec![Layer::Tar(parts.runtime), envoy, files],
        entrypoint: vec!["/usr/local/bin/pilot-agent".to_owned()],
        ..Image::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["r.example/kube-apiserver:v1", "r.example/coredns/coredns:v2", "r.example:5000/pause:3"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn an_image_is_found_by_its_last_path_element() {
        assert_eq!(name_of(&names(), "coredns").unwrap(), "r.example/coredns/coredns:v2");
        assert_eq!(name_of(&names(), "pause").unwrap(), "r.example:5000/pause:3");
        assert!(name_of(&names(), "etcd").unwrap_err().to_string().contains("etcd"));
    }

    #[test]
    fn the_image_name_says_version_and_inputs() {
        let pins = Pins::load().unwrap();
        let name = image_name(&pins, &key("a"));
        assert!(name.starts_with("localhost/meshproof/node:v1."), "{name}");
        assert_ne!(name, image_name(&pins, &key("b")));
    }
}
