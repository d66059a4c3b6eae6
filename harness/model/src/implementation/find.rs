//! Where the file of a gateway is that somebody names.

use std::path::{Path, PathBuf};

use super::FOLDER;
use crate::pack::Pack;
use crate::scenario::node::closest;
use crate::workspace;

/// The gateway that is compiled in.
const BUILT_IN: &str = "alb";

/// The file of a gateway: a path stays what it is, and a name is looked for in `implementations/` of the pack and of the checkout,
/// in this order. Nothing for the one that is compiled in, where no such folder has it.
///
/// # Errors
/// There is no such file; the names there are are told.
pub fn file(named: &Path, pack: &Pack) -> Result<Option<PathBuf>, String> {
    let folders = [Some(pack.folder.join(FOLDER)), workspace::root().map(|root| root.join(FOLDER))];
    below(named, folders.iter().flatten().map(PathBuf::as_path))
}

fn below<'a>(
    named: &Path,
    folders: impl Iterator<Item = &'a Path> + Clone,
) -> Result<Option<PathBuf>, String> {
    let name = named.to_str().filter(|name| is_name(name));
    let Some(name) = name.filter(|_| !named.is_file()) else { return Ok(Some(named.to_owned())) };
    let found = folders.clone().map(|folder| folder.join(format!("{name}.yaml"))).find(|file| file.is_file());
    if found.is_some() || name == BUILT_IN {
        return Ok(found);
    }
    let mut known: Vec<String> = folders.flat_map(names).chain([BUILT_IN.to_owned()]).collect();
    known.sort();
    known.dedup();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = match closest(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}; or name a file", known.join(", ")),
    };
    Err(format!("there is no implementation `{name}`: {help}"))
}

/// Whether this is a name, as against a path.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Names of the implementations in a folder; none if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = |file: PathBuf| {
        let is_yaml = file.is_file() && file.extension().is_some_and(|extension| extension == "yaml");
        file.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_yaml).map(str::to_owned)
    };
    files.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_the_pack_before_the_checkout_and_a_path_is_not() {
        let (pack, checkout) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, name) in [(&pack, "ours"), (&checkout, "ours"), (&checkout, "istio")] {
            std::fs::write(folder.path().join(format!("{name}.yaml")), "").unwrap();
        }
        let look = |name: &str| below(Path::new(name), [pack.path(), checkout.path()].into_iter());
        assert_eq!(look("ours"), Ok(Some(pack.path().join("ours.yaml"))));
        assert_eq!(look("istio"), Ok(Some(checkout.path().join("istio.yaml"))));
        assert_eq!(look("./gone.yaml"), Ok(Some("./gone.yaml".into())), "whoever reads it says so");
        assert_eq!(look("alb"), Ok(None));
        assert!(look("istoi").unwrap_err().ends_with("did you mean `istio`?"));
        let error = look("somebody-elses").unwrap_err();
        assert!(error.contains("there are alb, istio, ours"), "{error}");
    }
}
