//! What the programs in the images are made of, and the key that tells one state of it from another.

use std::path::{Path, PathBuf};

use super::{Flavour, Program, target};
use crate::cache::{CacheError, Inputs, Key, io};
use meshproof_model::workspace::SOURCES;

/// Directories below them that no program is made of.
const NOT_SOURCES: [&str; 5] = ["tests", "benches", "examples", "charts", "target"];

/// Key of the images of these programs, which are of one flavour.
pub(super) fn key(root: &Path, flavour: Flavour, programs: &[Program]) -> Result<Key, CacheError> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock"), root.join(".cargo/config.toml")];
    for source in sources(programs) {
        list(&root.join(source), &mut files)?;
    }
    files.sort();
    let kind = match flavour {
        Flavour::Shipped => "workspace-images",
        Flavour::Faulty => "workspace-images-with-faults",
    };
    let mut inputs = Inputs::new(kind).with("target", target());
    if programs.len() != flavour.programs().len() {
        inputs = programs.iter().fold(inputs, |inputs, program| inputs.with("program", program.name));
    }
    for file in files {
        let content = std::fs::read(&file).map_err(io("read", &file))?;
        let name = file.strip_prefix(root).unwrap_or(&file);
        inputs = inputs.with(&name.to_string_lossy(), content);
    }
    Ok(inputs.key())
}

/// Folders of what these programs are made of.
fn sources(programs: &[Program]) -> Vec<&'static str> {
    let of: Option<Vec<_>> = programs.iter().map(|program| program.sources).collect();
    of.map_or_else(|| SOURCES.to_vec(), |of| of.concat())
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), CacheError> {
    for found in std::fs::read_dir(dir).map_err(io("list", dir))? {
        let found = found.map_err(io("list", dir))?;
        let kind = found.file_type().map_err(io("list", dir))?;
        let name = found.file_name();
        if kind.is_dir() && !NOT_SOURCES.iter().any(|not| name == *not) {
            list(&found.path(), files)?;
        } else if kind.is_file() {
            files.push(found.path());
        }
    }
    Ok(())
}
