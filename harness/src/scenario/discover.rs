//! Finding scenarios: folders with a `scenario.yaml` below a root.

use std::path::{Path, PathBuf};

use super::FILE;

/// Folder of scenarios that break the world on purpose; they run only when asked for by name.
pub const BROKEN: &str = "broken/";

/// Where the scenarios are unless told otherwise: `scenarios/` of the working directory or one above it.
pub fn default_root(working_directory: &Path) -> Option<PathBuf> {
    working_directory
        .ancestors()
        .map(|up| up.join("scenarios"))
        .find(|root| root.join("requirements.yaml").is_file())
}

/// Ids of all scenarios below `root`, sorted.
///
/// # Errors
/// A folder cannot be read.
pub fn all(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(root, "", &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, id: &str, found: &mut Vec<String>) -> std::io::Result<()> {
    if !id.is_empty() && folder.join(FILE).is_file() {
        found.push(id.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let id = if id.is_empty() { name } else { format!("{id}/{name}") };
            walk(&entry.path(), &id, found)?;
        }
    }
    Ok(())
}

/// Which of `ids` a person means: those named, a whole folder (`broken`), or without names all that are not broken on purpose.
///
/// # Errors
/// The name that matches nothing.
pub fn select(ids: &[String], names: &[String]) -> Result<Vec<String>, String> {
    if names.is_empty() {
        return Ok(ids.iter().filter(|id| !id.starts_with(BROKEN)).cloned().collect());
    }
    let mut selected = Vec::new();
    for name in names {
        let name = name.trim_end_matches('/');
        let matching =
            ids.iter().filter(|id| *id == name || id.strip_prefix(name).is_some_and(|r| r.starts_with('/')));
        let before = selected.len();
        selected.extend(matching.cloned());
        if selected.len() == before {
            return Err(name.to_owned());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    selected.retain(|id| seen.insert(id.clone()));
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<String> {
        ["broken/a", "broken/b", "main", "other"].map(String::from).to_vec()
    }

    #[test]
    fn without_names_nothing_is_broken_on_purpose() {
        assert_eq!(select(&ids(), &[]).unwrap(), ["main", "other"]);
    }

    #[test]
    fn a_name_is_a_scenario_or_a_folder() {
        assert_eq!(
            select(&ids(), &["broken/".into(), "main".into(), "broken/a".into()]).unwrap(),
            ["broken/a", "broken/b", "main"]
        );
        assert_eq!(select(&ids(), &["mai".into()]), Err("mai".into()));
    }

    #[test]
    fn scenarios_are_found_at_any_depth() {
        let root = tempfile::tempdir().unwrap();
        for id in ["b", "x/y", "x/a"] {
            std::fs::create_dir_all(root.path().join(id)).unwrap();
            std::fs::write(root.path().join(id).join(FILE), "").unwrap();
        }
        std::fs::create_dir_all(root.path().join("src")).unwrap();
        assert_eq!(all(root.path()).unwrap(), ["b", "x/a", "x/y"]);
    }
}
