//! `meshproof pack new`: a small pack that runs at once.

use std::io;
use std::path::{Path, PathBuf};

use meshproof_model::pack;

/// Its files. `pack-name` stands for the name of the pack.
const FILES: &[(&str, &str)] = &[
    ("pack.yaml", include_str!("../../../templates/pack/pack.yaml")),
    ("README.md", include_str!("../../../templates/pack/README.md")),
    ("requirements.yaml", include_str!("../../../templates/pack/requirements.yaml")),
    ("scenarios/answers/scenario.yaml", include_str!("../../../templates/pack/scenario.yaml")),
    ("scenarios/answers/load-balancer.yaml", include_str!("../../../templates/pack/load-balancer.yaml")),
    ("scenarios/answers/namespace.yaml", include_str!("../../../templates/pack/namespace.yaml")),
    ("scenarios/answers/backend.yaml", include_str!("../../../templates/pack/backend.yaml")),
    ("scenarios/answers/gateway.yaml", include_str!("../../../templates/pack/gateway.yaml")),
    ("scenarios/answers/route.yaml", include_str!("../../../templates/pack/route.yaml")),
];

/// What stands for the name in them.
const NAME: &str = "pack-name";

/// The pack could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NewError {
    /// It cannot be called so.
    #[error("`{0}` is no name of a pack: {names}", names = pack::NAMES)]
    Name(String),
    /// There is something of this name.
    #[error("{} is there already; choose another name, or another folder with --into", .0.display())]
    Taken(PathBuf),
    /// The file system refused.
    #[error("writing {}: {source}", .path.display())]
    Io {
        /// What was being written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the folder of a new pack in `into`, and says where it is.
///
/// # Errors
/// See [`NewError`]; what is there already stays as it is.
pub(super) fn make(name: &str, into: &Path) -> Result<PathBuf, NewError> {
    if !pack::is_name(name) {
        return Err(NewError::Name(name.to_owned()));
    }
    let folder = into.join(name);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| NewError::Io { path, source }
    };
    std::fs::create_dir_all(into).map_err(io(into))?;
    match std::fs::create_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(NewError::Taken(folder)),
        made => made.map_err(io(&folder))?,
    }
    for (file, text) in FILES {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io(parent))?;
        }
        std::fs::write(&path, text.replace(NAME, name)).map_err(io(&path))?;
    }
    Ok(folder)
}

/// What to do with it next, for people.
pub(super) fn next(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "{folder} is a pack with one requirement and one scenario. Next:\n\
         \x20 meshproof pack check {folder}    # what is wrong with it, without a cluster\n\
         \x20 meshproof run --pack {folder}    # prove it\n\
         What is where, and how to go on: {folder}/README.md\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pack_bears_its_name_everywhere() {
        let into = tempfile::tempdir().unwrap();
        let folder = make("own-shop", &into.path().join("deeper")).unwrap();
        for (file, template) in FILES {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            assert!(!text.contains(NAME) && !template.contains("own-shop"), "{file}");
        }
        let pack = pack::Pack::load(&folder).unwrap();
        assert_eq!((pack.name.as_str(), pack.catalogue.requirements.len()), ("own-shop", 1));
    }

    #[test]
    fn what_is_there_is_left_and_what_is_no_name_is_refused() {
        let into = tempfile::tempdir().unwrap();
        make("a", into.path()).unwrap();
        std::fs::write(into.path().join("a/README.md"), "mine").unwrap();
        assert!(make("a", into.path()).unwrap_err().to_string().contains("is there already"));
        assert_eq!(std::fs::read_to_string(into.path().join("a/README.md")).unwrap(), "mine");
        for name in ["", "A", "a/b", "..", "-a", "a-", "1a", &"a".repeat(41)] {
            assert!(make(name, into.path()).unwrap_err().to_string().contains("is no name"), "{name}");
        }
    }
}
