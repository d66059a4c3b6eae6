//! The crates of the workspace, from their `Cargo.toml`.

use std::error::Error;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

/// Where a crate uses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the crate itself, or while it is built.
    OfCrate,
    /// Only in its tests.
    OfTests,
}

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, seen from the workspace's.
    pub(crate) folder: String,
    /// The crates it uses, of the workspace or not.
    pub(crate) uses: Vec<(String, Kind)>,
}

/// All crates of the workspace in `root`.
pub(crate) fn members(root: &Path) -> Result<Vec<Member>, Box<dyn Error>> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let folders = workspace["workspace"]["members"].as_array().cloned().unwrap_or_default();
    folders.iter().filter_map(Value::as_str).map(|folder| member(root, folder)).collect()
}

fn member(root: &Path, folder: &str) -> Result<Member, Box<dyn Error>> {
    let manifest = read(&root.join(folder).join("Cargo.toml"))?;
    let name = manifest["package"]["name"].as_str().ok_or("a package has no name")?.to_owned();
    let mut uses = Vec::new();
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, target)| target.as_table());
    for table in std::iter::once(&manifest).chain(of_targets) {
        for (section, kind) in [
            ("dependencies", Kind::OfCrate),
            ("build-dependencies", Kind::OfCrate),
            ("dev-dependencies", Kind::OfTests),
        ] {
            let used = table.get(section).and_then(Value::as_table).into_iter().flatten();
            uses.extend(used.map(|(key, how)| {
                // A crate may be used under another name than its own.
                let own = how.get("package").and_then(Value::as_str).unwrap_or(key);
                (own.to_owned(), kind)
            }));
        }
    }
    Ok(Member { name, folder: folder.to_owned(), uses })
}

fn read(path: &Path) -> Result<Table, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.parse()?)
}
