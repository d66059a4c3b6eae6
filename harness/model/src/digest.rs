//! Digests of what a run rests on: equal content has an equal one, wherever it lies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Of some bytes, as `sha256:<hex>`.
pub fn bytes(content: &[u8]) -> String {
    show(Sha256::digest(content))
}

/// Of named contents: a folder's files, say. Names and lengths count, the order they are given in does not.
pub fn contents(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut digest = Sha256::new();
    for (name, content) in files {
        digest.update(format!("{name}\0{}\0", content.len()));
        digest.update(content);
    }
    show(digest.finalize())
}

/// Of all files below a folder, by their names from there; or of a file.
///
/// # Errors
/// Something cannot be read; the error names it.
pub fn tree(path: &Path) -> io::Result<String> {
    let mut files = BTreeMap::new();
    collect(path, "", &mut files)?;
    Ok(contents(&files))
}

/// Adds all files below a folder, each called by its name from there with `name` in front.
///
/// # Errors
/// Something cannot be read; the error names it.
pub fn collect(path: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("reading {}: {error}", path.display()));
    if !std::fs::metadata(path).map_err(named)?.is_dir() {
        files.insert(name.to_owned(), std::fs::read(path).map_err(named)?);
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(named)? {
        let entry = entry.map_err(named)?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        collect(&entry.path(), &name, files)?;
    }
    Ok(())
}

/// What `docker save` says of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
}

/// Of an image in a docker-archive: that of its configuration, which holds those of its layers. A container runtime calls the
/// image by it. `name` is the image's name and tag, of which another registry may stand in front.
///
/// # Errors
/// The archive cannot be read, or there is no such image in it.
pub fn image(archive: &Path, name: &str) -> io::Result<String> {
    let broken =
        |what: String| io::Error::other(format!("looking for {name} in {}: {what}", archive.display()));
    let file = File::open(archive).map_err(|error| broken(error.to_string()))?;
    let mut archive_of = tar::Archive::new(file);
    for entry in archive_of.entries_with_seek().map_err(|error| broken(error.to_string()))? {
        let mut entry = entry.map_err(|error| broken(error.to_string()))?;
        if entry.path().map_or(true, |path| path != Path::new("manifest.json")) {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(|error| broken(error.to_string()))?;
        let saved: Vec<Saved> = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
        let own = |saved: &&Saved| saved.repo_tags.iter().flatten().any(|tag| last(tag) == last(name));
        let saved = saved.iter().find(own).ok_or_else(|| broken("it is not there".to_owned()))?;
        // `<hex>.json`, or `blobs/sha256/<hex>` of a newer engine.
        let hex = saved.config.trim_end_matches(".json").rsplit('/').next().unwrap_or_default();
        return Ok(format!("sha256:{hex}"));
    }
    Err(broken("it has no manifest.json".to_owned()))
}

fn show(digest: impl AsRef<[u8]>) -> String {
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_by_its_files_wherever_it_lies() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &two] {
            std::fs::create_dir(folder.path().join("templates")).unwrap();
            std::fs::write(folder.path().join("templates/a.yaml"), "a").unwrap();
            std::fs::write(folder.path().join("Chart.yaml"), "b").unwrap();
        }
        assert_eq!(tree(one.path()).unwrap(), tree(two.path()).unwrap());
        std::fs::write(two.path().join("templates/a.yaml"), "A").unwrap();
        assert_ne!(tree(one.path()).unwrap(), tree(two.path()).unwrap());
        std::fs::write(two.path().join("templates/a.yaml"), "a").unwrap();
        std::fs::rename(two.path().join("Chart.yaml"), two.path().join("Chart.yml")).unwrap();
        assert_ne!(tree(one.path()).unwrap(), tree(two.path()).unwrap());
        let error = tree(&one.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("gone"), "{error}");
    }

    #[test]
    fn what_moves_from_one_file_to_the_next_counts() {
        let files = |list: [(&str, &str); 2]| {
            contents(&list.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into())
        };
        assert_ne!(files([("a", "xy"), ("b", "z")]), files([("a", "x"), ("b", "yz")]));
        assert!(bytes(b"").starts_with("sha256:e3b0c442"));
    }
}
