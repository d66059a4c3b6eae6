//! Compiles in what this program was made of: a digest of its sources, which reports tell with its version. Two programs of one
//! version need not judge alike. And the pack of this repository, as an archive.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// What decides how the program judges beside its own crates: the packages it is linked with, and what it includes from beside
/// their folders. Seen from the workspace's root.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "scenarios/requirements.yaml",
    "fixtures/manifests",
    "implementations",
    "kind-config",
];
/// The same of each crate of the program: its code and its templates. Seen from the crate's folder.
const OF_A_CRATE: &[&str] = &["src", "templates", "build.rs", "Cargo.toml"];
/// The folder of the pack that is compiled in.
const PACK: &str = "scenarios";
/// The folder of the gateways, which goes with it.
const IMPLEMENTATIONS: &str = "implementations";
/// What lies there and is no part of it: it is a crate with tests, too.
const NO_PART: &[&str] = &["src", "tests", "snapshots", "target", "Cargo.toml"];
/// The folder of the program's crates, seen from the workspace's root.
const CRATES: &str = "harness";

fn main() -> io::Result<()> {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = own.ancestors().nth(2).unwrap_or(&own);
    let mut sources: Vec<String> = SOURCES.iter().map(|source| (*source).to_owned()).collect();
    for entry in fs::read_dir(root.join(CRATES))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        sources.extend(OF_A_CRATE.iter().map(|source| format!("{CRATES}/{name}/{source}")));
    }
    let mut files = Vec::new();
    for source in &sources {
        let path = root.join(source);
        // One that is not there would be looked for again and again.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        collect(&path, source, &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for (name, path) in files {
        let content = fs::read(path)?;
        // Lengths keep a file's end and the next one's name apart.
        digest.update(format!("{name}\0{}\0", content.len()));
        digest.update(content);
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=MESHPROOF_SOURCE=sha256:{hex}");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    archive(root, &out.join("pack.tar"))
}

/// Writes the files of the pack, and the gateways' beside it, into a tar: sorted, without times and owners, so that equal files make
/// an equal one.
fn archive(root: &Path, to: &Path) -> io::Result<()> {
    let pack = &root.join(PACK);
    println!("cargo::rerun-if-changed={}", pack.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(pack)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !NO_PART.contains(&name.as_str()) && !name.starts_with('.') {
            collect(&entry.path(), &name, &mut files)?;
        }
    }
    collect(&root.join(IMPLEMENTATIONS), IMPLEMENTATIONS, &mut files)?;
    files.sort();
    let mut archive = tar::Builder::new(fs::File::create(to)?);
    for (name, path) in files {
        let content = fs::read(path)?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(1);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    archive.finish()
}

/// Files below `path`, each with its name from here, the same on every system.
fn collect(path: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    if !path.is_dir() {
        if path.is_file() {
            files.push((name.to_owned(), path.to_owned()));
        }
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        collect(&entry.path(), &format!("{name}/{}", entry.file_name().to_string_lossy()), files)?;
    }
    Ok(())
}
