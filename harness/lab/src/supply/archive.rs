//! Container images as docker-archive tars, written without an engine.
//!
//! Layers are plain (uncompressed) tars: they are read from local disk only, and their digest then is
//! also the "diff id" an image's configuration lists. Equal input gives an equal archive, byte for byte.

use std::fs::File;
use std::io::{BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::cache::hex;

/// A file in a layer.
#[derive(Debug, Clone)]
pub struct LayerFile {
    /// Absolute path in the image.
    pub path: String,
    /// Where its content is.
    pub source: PathBuf,
    /// Permissions, e.g. `0o755`.
    pub mode: u32,
}

/// One layer.
#[derive(Debug, Clone)]
pub enum Layer {
    /// An existing tar.
    Tar(PathBuf),
    /// Files, owned by root, with their directories.
    Files(Vec<LayerFile>),
}

/// One image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// All names with tags.
    pub references: Vec<String>,
    /// From the bottom up.
    pub layers: Vec<Layer>,
    /// `config.Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `config.User`; empty is root.
    pub user: String,
    /// `config.Env` beside `PATH`.
    pub env: Vec<String>,
    /// `config.StopSignal`; empty is the default.
    pub stop_signal: String,
}

impl Image {
    /// An image FROM scratch that holds one program at `/<name>` and runs it as an ordinary user.
    pub fn scratch(reference: String, name: &str, program: PathBuf) -> Self {
        let path = format!("/{name}");
        Self {
            references: vec![reference],
            layers: vec![Layer::Files(vec![LayerFile { path: path.clone(), source: program, mode: 0o755 }])],
            entrypoint: vec![path],
            user: "65532:65532".to_owned(),
            ..Self::default()
        }
    }
}

/// Writes an archive of images; layers that several share are stored once. Returns the layers' digests
/// (`sha256:…`), each once.
///
/// # Errors
/// A source cannot be read or the archive not written.
pub fn write(images: &[Image], out: &Path) -> std::io::Result<Vec<String>> {
    let dir = out.parent().unwrap_or(Path::new("."));
    let mut archive = tar::Builder::new(BufWriter::new(File::create(out)?));
    let mut layers: Vec<(String, Layer)> = Vec::new();
    let mut manifest = Vec::new();
    for image in images {
        let mut diff_ids = Vec::new();
        for layer in &image.layers {
            let known = layers.iter().find(|(_, seen)| same(seen, layer)).map(|(digest, _)| digest.clone());
            let digest = match known {
                Some(digest) => digest,
                None => {
                    let digest = add_layer(&mut archive, layer, dir)?;
                    layers.push((digest.clone(), layer.clone()));
                    digest
                }
            };
            diff_ids.push(digest);
        }
        let config = serde_json::to_vec(&config(image, &diff_ids))?;
        let name = format!("{}.json", hex(&Sha256::digest(&config)));
        append(&mut archive, &name, &config)?;
        manifest.push(json!({
            "Config": name,
            "RepoTags": image.references,
            "Layers": diff_ids.iter().map(|d| format!("{d}/layer.tar")).collect::<Vec<_>>(),
        }));
    }
    append(&mut archive, "manifest.json", &serde_json::to_vec(&manifest)?)?;
    archive.into_inner()?.flush()?;
    layers.sort_by(|a, b| a.0.cmp(&b.0));
    layers.dedup_by(|a, b| a.0 == b.0);
    Ok(layers.into_iter().map(|(digest, _)| format!("sha256:{digest}")).collect())
}

fn config(image: &Image, diff_ids: &[String]) -> serde_json::Value {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let env: Vec<_> = std::iter::once(path).chain(image.env.iter().map(String::as_str)).collect();
    let history = json!({"created": "1970-01-01T00:00:00Z", "created_by": "meshproof"});
    let mut config = json!({
        "Env": env,
        "Entrypoint": image.entrypoint,
        "User": image.user,
        "WorkingDir": "/",
    });
    if !image.stop_signal.is_empty() {
        config["StopSignal"] = json!(image.stop_signal);
    }
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids.iter().map(|d| format!("sha256:{d}")).collect::<Vec<_>>()},
        "history": diff_ids.iter().map(|_| &history).collect::<Vec<_>>(),
    })
}

fn same(a: &Layer, b: &Layer) -> bool {
    match (a, b) {
        (Layer::Tar(a), Layer::Tar(b)) => a == b,
        (Layer::Files(a), Layer::Files(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| (&a.path, &a.source, a.mode) == (&b.path, &b.source, b.mode))
        }
        _ => false,
    }
}

fn add_layer<W: Write>(archive: &mut tar::Builder<W>, layer: &Layer, dir: &Path) -> std::io::Result<String> {
    let mut made;
    let file = match layer {
        Layer::Tar(path) => {
            made = File::open(path)?;
            &mut made
        }
        Layer::Files(files) => {
            made = layer_tar(files, dir)?;
            &mut made
        }
    };
    file.rewind()?;
    let mut hash = Sha256::new();
    let size = std::io::copy(file, &mut hash)?;
    let digest = hex(&hash.finalize());
    file.rewind()?;
    let mut header = header(size, 0o644);
    archive.append_data(&mut header, format!("{digest}/layer.tar"), file)?;
    Ok(digest)
}

fn layer_tar(files: &[LayerFile], dir: &Path) -> std::io::Result<File> {
    let mut layer = tar::Builder::new(tempfile::tempfile_in(dir)?);
    let mut made: Vec<PathBuf> = Vec::new();
    for file in files {
        let path = Path::new(&file.path);
        let path = path.strip_prefix("/").unwrap_or(path);
        for parent in path
            .ancestors()
            .skip(1)
            .filter(|p| !p.as_os_str().is_empty())
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            if made.iter().any(|m| m == parent) {
                continue;
            }
            made.push(parent.to_owned());
            let mut header = header(0, 0o755);
            header.set_entry_type(tar::EntryType::Directory);
            layer.append_data(&mut header, parent, std::io::empty())?;
        }
        let content = File::open(&file.source)?;
        let mut header = header(content.metadata()?.len(), file.mode);
        layer.append_data(&mut header, path, content)?;
    }
    layer.into_inner()
}

fn append<W: Write>(archive: &mut tar::Builder<W>, name: &str, content: &[u8]) -> std::io::Result<()> {
    let mut header = header(content.len() as u64, 0o644);
    archive.append_data(&mut header, name, content)
}

/// A header without owner and time, so that equal content makes an equal archive.
fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// The architecture, as images call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests;
