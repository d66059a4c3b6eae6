//! What an entry consists of, and whether it still does.
//!
//! `manifest.json` holds size and SHA-256 of each file. Hashing gigabytes at each start would be slow, so
//! `stamps.json` remembers each file's inode, modification and change time as of the last hash: a file whose
//! stamp is unchanged was not written since. Another stamp (a copied cache, a changed file) means hashing.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{CacheError, hex, io};

const MANIFEST: &str = "manifest.json";
const STAMPS: &str = "stamps.json";

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Content {
    size: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, Clone, Copy)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Manifest = BTreeMap<String, Content>;
type Stamps = BTreeMap<String, Stamp>;

/// Writes the manifest of a finished directory.
pub(super) fn seal(dir: &Path) -> Result<(), CacheError> {
    let mut files = Vec::new();
    list(dir, "", &mut files).map_err(io("list", dir))?;
    let mut manifest = Manifest::new();
    let mut stamps = Stamps::new();
    for name in files {
        let path = dir.join(&name);
        let (content, stamp) = read(&path).map_err(io("hash", &path))?;
        manifest.insert(name.clone(), content);
        stamps.insert(name, stamp);
    }
    let path = dir.join(MANIFEST);
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(std::io::Error::from).map_err(io("write", &path))?;
    std::fs::write(&path, text).map_err(io("write", &path))?;
    save(dir, &stamps);
    Ok(())
}

/// Checks a directory against its manifest; the error says what differs.
pub(super) fn verify(dir: &Path) -> Result<(), String> {
    let text = std::fs::read(dir.join(MANIFEST)).map_err(|error| format!("no manifest: {error}"))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| format!("unreadable manifest: {error}"))?;
    let mut stamps: Stamps = std::fs::read(dir.join(STAMPS))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut hashed = false;
    for (name, expected) in &manifest {
        let path = dir.join(name);
        let metadata = std::fs::metadata(&path).map_err(|error| format!("{name}: {error}"))?;
        if metadata.len() != expected.size {
            return Err(format!("{name}: {} bytes instead of {}", metadata.len(), expected.size));
        }
        if stamps.get(name) == Some(&stamp(&metadata)) {
            continue;
        }
        let (content, stamp) = read(&path).map_err(|error| format!("{name}: {error}"))?;
        if content != *expected {
            return Err(format!("{name}: SHA-256 {} instead of {}", content.sha256, expected.sha256));
        }
        stamps.insert(name.clone(), stamp);
        hashed = true;
    }
    if hashed {
        save(dir, &stamps);
    }
    Ok(())
}

/// Stamps only save time: a failure to keep them is none.
fn save(dir: &Path, stamps: &Stamps) {
    let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
        serde_json::to_writer(&mut file, stamps)?;
        file.persist(dir.join(STAMPS))?;
        Ok(())
    });
    if let Err(error) = written {
        tracing::debug!(%error, dir = %dir.display(), "stamps not kept");
    }
}

fn list(dir: &Path, prefix: &str, files: &mut Vec<String>) -> std::io::Result<()> {
    for found in std::fs::read_dir(dir)? {
        let found = found?;
        let name = format!("{prefix}{}", found.file_name().to_string_lossy());
        let kind = found.file_type()?;
        if kind.is_dir() {
            list(&found.path(), &format!("{name}/"), files)?;
        } else if kind.is_file() && name != MANIFEST && name != STAMPS {
            files.push(name);
        }
    }
    Ok(())
}

fn read(path: &Path) -> std::io::Result<(Content, Stamp)> {
    let mut file = File::open(path)?;
    // The stamp is taken before the content is read: a write in between then shows as a new stamp.
    let stamp = stamp(&file.metadata()?);
    let mut hash = Sha256::new();
    let size = std::io::copy(&mut file, &mut hash)?;
    Ok((Content { size, sha256: hex(&hash.finalize()) }, stamp))
}

fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    Stamp {
        inode: metadata.ino(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}
