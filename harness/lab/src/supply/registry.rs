//! Released images and programs, where a registry answers.
//!
//! No registry is named here: kind knows its node image, istioctl knows its images.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::node::present;
use super::pins::Pins;
use super::{
    Artifacts, Clients, ImageSource, IstioBuild, IstioSupply, LoadImage, SupplyError, SupplyOptions, parts,
    workspace,
};
use crate::cache::{Cache, Inputs, Key, blocking, hex, io};
use crate::command::{Tool, on_path};
use crate::engine::Engine;
use crate::host::HostError;
use meshproof_model::progress::Progress;

/// A registry that answers does so in less; where packets vanish, nobody waits longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The longest a pull may take.
const PULL_LIMIT: Duration = Duration::from_secs(900);
/// Released programs, and where people find them.
const PROGRAMS: [(&str, &str); 3] = [
    ("kind", "go install sigs.k8s.io/kind@latest"),
    ("helm", "your system's packages, or helm's releases"),
    ("istioctl", "Istio's releases"),
];

/// The released programs on `PATH`.
#[derive(Debug, Clone)]
pub struct Programs {
    /// kind.
    pub kind: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// istioctl.
    pub istioctl: PathBuf,
}

/// The released programs, or what is missing.
///
/// # Errors
/// One is not on `PATH`.
pub fn programs() -> Result<Programs, HostError> {
    let mut missing = Vec::new();
    let mut find = |at: usize| {
        let (name, from) = PROGRAMS[at];
        let found = on_path(name);
        if found.is_none() {
            missing.push((name, from));
        }
        found.unwrap_or_default()
    };
    let programs = Programs { kind: find(0), helm: find(1), istioctl: find(2) };
    if missing.is_empty() {
        return Ok(programs);
    }
    Err(HostError::Missing {
        missing: missing.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
        advice: format!(
            "Released images need the released programs on PATH ({}), or use --image-source source",
            missing.iter().map(|(name, from)| format!("{name}: {from}")).collect::<Vec<_>>().join("; ")
        ),
    })
}

/// The released kubectl and helm on `PATH`.
///
/// # Errors
/// One is not there.
pub fn clients() -> Result<Clients, HostError> {
    match (on_path("kubectl"), on_path("helm")) {
        (Some(kubectl), Some(helm)) => Ok(Clients { kubectl, helm }),
        (kubectl, _) => Err(HostError::Missing {
            missing: if kubectl.is_none() { "kubectl" } else { "helm" }.to_owned(),
            advice: "Install it, or use --image-source source".to_owned(),
        }),
    }
}

/// kind's own node image, as the program names it.
///
/// # Errors
/// The program cannot be read or names none.
pub async fn node_image(kind: &Path) -> Result<String, SupplyError> {
    let path = kind.to_owned();
    let program = blocking(move || std::fs::read(path)).await.map_err(io("read", kind))?;
    find_node_image(&program)
        .ok_or_else(|| SupplyError::Unexpected { what: format!("{} names no node image", kind.display()) })
}

/// `…/node:v1.34.0@sha256:<64 digits>` in a program's data. The program has no command that prints it.
fn find_node_image(program: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"/node:v";
    const DIGEST: &[u8] = b"@sha256:";
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(byte);
    program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).find_map(|(at, _)| {
        let rest = &program[at..];
        let version = rest.iter().skip(MARK.len()).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let digest = MARK.len() + version;
        let end = digest + DIGEST.len() + 64;
        let tail = rest.get(digest..end)?;
        let hash = tail.strip_prefix(DIGEST)?;
        if version == 0 || !hash.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        // Go keeps strings without a border between them; a repository's owner is the word before.
        let start = program[..at].iter().rposition(|byte| !is_name(byte)).map_or(0, |border| border + 1);
        let owner = String::from_utf8_lossy(&program[start..at]).into_owned();
        let owner = ["kindest"]
            .iter()
            .find(|known| owner.ends_with(*known))
            .map_or(owner.clone(), |k| (*k).to_owned());
        Some(format!("{owner}{}", String::from_utf8_lossy(&rest[..end])))
    })
}

/// Whether an image can be had: it is here, or its registry starts to send it within [`ANSWER_LIMIT`].
pub async fn answers(engine: &Engine, image: &str) -> bool {
    if present(engine, image).await {
        return true;
    }
    let pull = tokio::process::Command::new(engine.docker_program())
        .env("DOCKER_HOST", engine.host())
        .args(["pull", image])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut pull) = pull else { return false };
    let Some(mut output) = pull.stdout.take() else { return false };
    // The first line comes when the registry has sent the manifest; a failure prints nothing here.
    let mut first = [0_u8; 1];
    let answered = tokio::time::timeout(ANSWER_LIMIT, output.read_exact(&mut first)).await;
    matches!(answered, Ok(Ok(_)))
}

async fn pull(
    cache: &Cache,
    engine: &Engine,
    image: &str,
    progress: &dyn Progress,
) -> Result<(), SupplyError> {
    if present(engine, image).await {
        return Ok(());
    }
    let short = image.split('@').next().unwrap_or(image);
    let phase = format!("pull {}", short.rsplit('/').next().unwrap_or(short));
    let pulling = async {
        engine
            .tool(&phase)
            .args(["pull", "--quiet", image])
            .limit(PULL_LIMIT)
            .run()
            .await
            .map_err(SupplyError::from)
    };
    cache.timed(&phase, progress, pulling).await?;
    Ok(())
}

/// The images istioctl would install.
///
/// # Errors
/// istioctl failed or names none.
async fn istio_images(istioctl: &Path) -> Result<Vec<String>, SupplyError> {
    let manifest = Tool::new("ask istioctl for its images", istioctl)
        .args(["manifest", "generate", "--set", "profile=minimal"])
        .run()
        .await?;
    let pilot = pilot_image(&manifest).ok_or_else(|| SupplyError::Unexpected {
        what: "istioctl's manifest names no pilot image".to_owned(),
    })?;
    let proxy = pilot.replacen("/pilot:", "/proxyv2:", 1);
    Ok(vec![pilot, proxy])
}

fn pilot_image(manifest: &str) -> Option<String> {
    manifest
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image:"))
        .map(|image| image.trim().trim_matches('"').to_owned())
        .find(|image| image.contains("/pilot:"))
}

/// Pulls, or finds in the engine, everything a cluster needs.
///
/// # Errors
/// A program is missing, a pull failed, or a program says something unexpected.
pub async fn prepare(
    cache: &Cache,
    engine: &Engine,
    options: &SupplyOptions,
    progress: &dyn Progress,
) -> Result<Artifacts, SupplyError> {
    let programs = programs()?;
    let pins = Pins::load()?;
    let node = node_image(&programs.kind).await?;
    pull(cache, engine, &node, progress).await?;
    let version = engine
        .tool("read the node's Kubernetes version")
        .args(["run", "--rm", "--network", "none", "--entrypoint", "cat", &node, "/kind/version"])
        .run()
        .await?;
    let (istio, mut images) = released(cache, engine, &programs.istioctl, progress).await?;
    images.extend(workspace::images(cache, &options.images, progress).await?);
    Ok(Artifacts {
        kubectl: kubectl(cache, engine, &node, progress).await?,
        kind: programs.kind,
        helm: programs.helm,
        istioctl: programs.istioctl,
        node_image: node,
        kubernetes_version: version.trim().to_owned(),
        coredns: None,
        istio,
        images,
        gateway_api_crds: parts::gateway_api(cache, progress).await?,
        envoy: parts::envoy(cache, &pins.envoy, progress).await?,
        shim_needed: engine.without_sys_resource(),
        source: ImageSource::Registry,
    })
}

/// The image as an archive: nodes cannot pull, they do not reach beyond the host.
async fn save(
    cache: &Cache,
    engine: &Engine,
    image: &str,
    progress: &dyn Progress,
) -> Result<LoadImage, SupplyError> {
    let id = engine
        .tool("identify an image")
        .args(["image", "inspect", "--format", "{{.Id}}", image])
        .run()
        .await?;
    let key = Inputs::new("image").with("reference", image).with("id", id.trim()).key();
    let phase = format!("save {}", image.rsplit('/').next().unwrap_or(image));
    let dir = cache
        .entry(&key, &phase, progress, |out| async move {
            let save =
                engine.tool("save an image").args(["save", "--output"]).arg(out.join("image.tar")).arg(image);
            save.limit(PULL_LIMIT).run().await?;
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(LoadImage { reference: image.to_owned(), archive: dir.join("image.tar") })
}

/// The kubectl of the node image: always the cluster's own version.
async fn kubectl(
    cache: &Cache,
    engine: &Engine,
    node: &str,
    progress: &dyn Progress,
) -> Result<PathBuf, SupplyError> {
    let key = Inputs::new("kubectl").with("node", node).key();
    let (phase, path) = ("take kubectl out of the node image", "/usr/bin/kubectl");
    Ok(program_of(cache, engine, &key, phase, node, path, progress).await?.join("kubectl"))
}

/// The folder with a program that was taken out of an image.
async fn program_of(
    cache: &Cache,
    engine: &Engine,
    key: &Key,
    phase: &str,
    image: &str,
    path: &str,
    progress: &dyn Progress,
) -> Result<PathBuf, SupplyError> {
    cache
        .entry(key, phase, progress, |out| async move {
            let digest = hex(&Sha256::digest(out.to_string_lossy().as_bytes()));
            let name = format!("meshproof-{}-{}", key.name, &digest[..12]);
            engine.tool("open an image").args(["create", "--name", &name, image]).run().await?;
            let program = path.rsplit('/').next().unwrap_or(path);
            let copy =
                engine.tool(phase).arg("cp").arg(format!("{name}:{path}")).arg(out.join(program)).run().await;
            engine.tool("close an image").args(["rm", "--force", "--volumes", &name]).run().await?;
            copy?;
            Ok::<_, SupplyError>(())
        })
        .await
}

/// The version that the istioctl on `PATH` installs.
///
/// # Errors
/// It is not there, or names no images.
pub async fn newest_istio() -> Result<String, SupplyError> {
    let images = istio_images(&programs()?.istioctl).await?;
    Ok(tag(&images[0]).to_owned())
}

/// A released Istio: its istioctl out of the image that lies beside the others, and the images that one names.
///
/// # Errors
/// A pull failed.
pub async fn istio(
    cache: &Cache,
    engine: &Engine,
    version: &str,
    progress: &dyn Progress,
) -> Result<IstioBuild, SupplyError> {
    let newest = programs()?.istioctl;
    let names = istio_images(&newest).await?;
    let istioctl = match tag(&names[0]) == version {
        true => newest,
        false => {
            let image = beside(&names[0], "istioctl", version);
            pull(cache, engine, &image, progress).await?;
            let key = Inputs::new("istioctl").with("image", &image).key();
            let phase = format!("take istioctl out of {image}");
            let path = "/usr/local/bin/istioctl";
            program_of(cache, engine, &key, &phase, &image, path, progress).await?.join("istioctl")
        }
    };
    let (supply, images) = released(cache, engine, &istioctl, progress).await?;
    Ok(IstioBuild { istioctl, supply, images })
}

/// The images that this istioctl installs, as archives.
async fn released(
    cache: &Cache,
    engine: &Engine,
    istioctl: &Path,
    progress: &dyn Progress,
) -> Result<(IstioSupply, Vec<LoadImage>), SupplyError> {
    let names = istio_images(istioctl).await?;
    let mut images = Vec::new();
    for image in &names {
        pull(cache, engine, image, progress).await?;
        images.push(save(cache, engine, image, progress).await?);
    }
    let version = tag(&names[0]).to_owned();
    Ok((IstioSupply { version, hub: None, tag: None, upstream_envoy: false }, images))
}

fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or("", |(_, tag)| tag)
}

/// An image of the same repository as `pilot`, with another name and tag.
fn beside(pilot: &str, name: &str, version: &str) -> String {
    let hub = pilot.rsplit_once('/').map_or("", |(hub, _)| hub);
    format!("{hub}/{name}:{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5";

    #[test]
    fn the_node_image_is_found_in_the_midst_of_other_strings() {
        let program = format!("junk\0/node:vX and textkindest/node:v1.37.0@sha256:{HASH}more");
        assert_eq!(
            find_node_image(program.as_bytes()).unwrap(),
            format!("kindest/node:v1.37.0@sha256:{HASH}")
        );
        let other = format!("\0mirror.example:5000/own/node:v1.2.3@sha256:{HASH}");
        assert!(
            find_node_image(other.as_bytes()).unwrap().starts_with("mirror.example:5000/own/node:v1.2.3@")
        );
        assert_eq!(find_node_image(b"kindest/node:v1.37.0 without digest"), None);
    }

    #[test]
    fn other_versions_lie_beside_the_one_that_istioctl_names() {
        let pilot = "h.example:5000/istio/pilot:1.27.0";
        assert_eq!(beside(pilot, "istioctl", "1.24.0"), "h.example:5000/istio/istioctl:1.24.0");
        assert_eq!(tag(pilot), "1.27.0");
    }

    #[test]
    fn the_pilot_image_is_read_from_the_manifest() {
        let manifest =
            "  containers:\n      - image: h.example/istio/pilot:1.27.0\n        image: \"x/other:1\"\n";
        assert_eq!(pilot_image(manifest).as_deref(), Some("h.example/istio/pilot:1.27.0"));
        assert_eq!(pilot_image("image: x/other:1\n"), None);
    }
}
