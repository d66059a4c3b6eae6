//! The pack that is compiled in, for whoever runs the command outside of a checkout: its files are unpacked to a private folder
//! of the cache, named by their digest.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use meshproof_lab::cache::{Cache, CacheError};
use meshproof_model::digest;

/// The files as they were when this program was built: a tar, made by `build.rs`.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pack.tar"));
/// Folder of the cache that holds unpacked packs.
const FOLDER: &str = "packs";
/// So many digits of the digest tell one pack from another.
const DIGITS: usize = 16;

/// The compiled-in pack could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// There is no cache to unpack it to.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The file system refused.
    #[error("unpacking the pack that is compiled in to {}: {source}; name another with --pack", .folder.display())]
    Io {
        /// Where to.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The folder of the compiled-in pack below the default cache. It is unpacked if it is not there, or no longer as it was.
///
/// # Errors
/// There is no cache, or it cannot be written to.
pub(crate) fn unpacked() -> Result<PathBuf, UnpackError> {
    let folder = Cache::open_default()?.dir(FOLDER)?;
    below(&folder).map_err(|source| UnpackError::Io { folder, source })
}

/// Unpacks below a folder. Any number of processes may do so at once: what is there is whole.
fn below(packs: &Path) -> io::Result<PathBuf> {
    let wanted = digest::contents(&files()?);
    let hex = wanted.rsplit(':').next().unwrap_or(&wanted);
    let folder = packs.join(hex.get(..DIGITS).unwrap_or(hex));
    let is_whole = |folder: &Path| digest::tree(folder).is_ok_and(|found| found == wanted);
    if is_whole(&folder) {
        return Ok(folder);
    }
    // Nobody but its owner can look into it, whatever the umask.
    let private = std::fs::Permissions::from_mode(0o700);
    let fresh = tempfile::Builder::new().permissions(private).tempdir_in(packs)?;
    tar::Archive::new(ARCHIVE).unpack(fresh.path())?;
    if folder.exists() {
        // Somebody changed it, or it was never finished. It is moved away whole, not emptied where it stands.
        let aside = tempfile::tempdir_in(packs)?;
        std::fs::rename(&folder, aside.path().join("changed"))?;
    }
    match std::fs::rename(fresh.path(), &folder) {
        Ok(()) => Ok(folder),
        // Another process was quicker.
        Err(_) if is_whole(&folder) => Ok(folder),
        Err(error) => Err(error),
    }
}

/// The files of the archive, by their names.
fn files() -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(ARCHIVE).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(name, content);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_model::pack::{self, Pack};
    use meshproof_model::scenario::discover;
    use meshproof_model::workspace;

    #[test]
    fn every_scenario_of_the_folder_is_compiled_in_and_no_test_of_it() {
        let packs = tempfile::tempdir().unwrap();
        let folder = below(packs.path()).unwrap();
        let root = workspace::root().unwrap().join(pack::FOLDER);
        let (unpacked, own) = (Pack::load(&folder).unwrap(), Pack::load(&root).unwrap());
        assert_eq!((unpacked.name, unpacked.catalogue), (own.name, own.catalogue));
        assert_eq!(discover::all(&folder).unwrap(), discover::all(&root).unwrap());
        for (name, content) in files().unwrap() {
            // The gateways lie beside the pack in a checkout, and in it here.
            let from =
                if name.starts_with("implementations/") { workspace::root().unwrap() } else { root.clone() };
            assert_eq!(std::fs::read(from.join(&name)).unwrap(), content, "{name}");
            assert!(!["src/", "tests/", "snapshots/"].iter().any(|not| name.starts_with(not)), "{name}");
        }
        assert!(folder.join("implementations/istio.yaml").is_file());
        assert!(folder.join("mutants").is_dir() && folder.join("documents").is_dir());
    }

    #[test]
    fn what_was_changed_in_the_cache_is_unpacked_again_and_what_is_whole_is_left() {
        let packs = tempfile::tempdir().unwrap();
        let folder = below(packs.path()).unwrap();
        let file = folder.join(pack::FILE);
        std::fs::write(folder.join("more.yaml"), "").unwrap();
        assert_eq!(below(packs.path()).unwrap(), folder);
        assert!(!folder.join("more.yaml").exists());
        std::fs::write(&file, "name: other").unwrap();
        assert_eq!(below(packs.path()).unwrap(), folder);
        assert_eq!(Pack::load(&folder).unwrap().name, "service-mesh-integration");
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
        let before = inode(&file);
        below(packs.path()).unwrap();
        assert_eq!(inode(&file), before);
        assert_eq!(std::fs::read_dir(packs.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn nobody_else_can_look_into_it() {
        let packs = tempfile::tempdir().unwrap();
        let folder = below(packs.path()).unwrap();
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o077, 0);
    }
}
