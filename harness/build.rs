//! Compiles in what this program was made of: a digest of its sources, which reports tell with its version. Two programs of one
//! version need not judge alike.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// What decides how the program judges: its code, its templates, the packages it is linked with, and what it includes from
/// beside its own folder.
const SOURCES: &[&str] = &[
    "src",
    "templates",
    "build.rs",
    "Cargo.toml",
    "../Cargo.lock",
    "../scenarios/requirements.yaml",
    "../implementations",
    "../kind-config",
];

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(&folder.join(source), source, &mut files)?;
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
    Ok(())
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
