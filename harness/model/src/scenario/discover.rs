//! Finding scenarios: folders with a `scenario.yaml` below a root.

use std::path::Path;

use super::FILE;

/// Folder of scenarios that break the world on purpose; they run only when asked for by name.
pub const BROKEN: &str = "broken/";

/// Ids of all scenarios below `root`, sorted.
///
/// # Errors
/// A folder cannot be read, or the name of one with a scenario cannot be part of an id.
pub fn all(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(root, "", &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, id: &str, found: &mut Vec<String>) -> std::io::Result<()> {
    if !id.is_empty() && folder.join(FILE).is_file() {
        if !is_id(id) {
            let what = "a folder of scenarios is called with letters and digits of ASCII, `-`, `_` and `.` inside; rename it";
            let error = format!("{}: {what}", folder.display());
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
        }
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

/// Whether this can be the id of a scenario: names of folders below the root, with slashes between them. What a name is made of
/// means the same in paths of every system, in links and on a terminal.
pub fn is_id(id: &str) -> bool {
    id.split('/').all(is_name)
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(fits)
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

    #[test]
    fn a_folder_that_is_called_as_nothing_can_be_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a\u{1b}b");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(all(root.path()).unwrap(), Vec::<String>::new(), "there is no scenario in it");
        std::fs::write(folder.join(FILE), "").unwrap();
        let error = all(root.path()).unwrap_err().to_string();
        assert!(error.contains("rename it"), "{error}");
    }
}
