//! One directory for what is compiled of several checkouts. cargo takes a crate of another checkout for the same one, and goes by
//! the time of its files alone: what was compiled of newer files elsewhere would count as made of the older ones here.

use std::io;
use std::path::Path;

/// File that names the checkout that was compiled last.
const LAST: &str = "checkout";

/// What cargo knows of each crate that it has compiled, below the directory of a profile.
const FINGERPRINTS: &str = ".fingerprint";

/// Lets the crates of the workspace be compiled anew, but not what they depend on, unless it was this checkout that was compiled
/// last. An attempt that was broken off counts as none.
///
/// # Errors
/// The directory cannot be read or written.
pub(super) fn forget_another(out: &Path, root: &Path) -> io::Result<()> {
    let last = out.join(LAST);
    match std::fs::read(&last) {
        Ok(known) if known == name(root) => return Ok(()),
        Ok(_) => std::fs::remove_file(&last)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let members = members(root)?;
    for profile in folders(out)? {
        for of_crate in folders(&profile.join(FINGERPRINTS))? {
            let name = of_crate.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // <crate>-<hash>
            let is_member =
                name.rsplit_once('-').is_some_and(|(name, _)| members.iter().any(|one| one == name));
            if is_member {
                std::fs::remove_dir_all(&of_crate)?;
            }
        }
    }
    Ok(())
}

/// Notes that this checkout was compiled.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn remember(out: &Path, root: &Path) -> io::Result<()> {
    std::fs::write(out.join(LAST), name(root))
}

fn name(root: &Path) -> Vec<u8> {
    root.as_os_str().as_encoded_bytes().to_vec()
}

/// Names of the workspace's own crates: in its lock file they have no source.
fn members(root: &Path) -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("Cargo.lock"))?;
    let packages = text.split("[[package]]").filter(|package| !package.contains("\nsource = "));
    let name = |package: &str| Some(package.split_once("name = \"")?.1.split_once('"')?.0.to_owned());
    Ok(packages.filter_map(name).collect())
}

/// Folders below a folder; none if it is not there.
fn folders(of: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match std::fs::read_dir(of) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"alb-route\"\nversion = \"0.1.0\"\n\n\
        [[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n";

    /// A checkout, and what was compiled: whether it is there yet.
    fn compiled(out: &Path) -> (bool, bool) {
        let there = |name: &str| out.join("release/.fingerprint").join(name).is_dir();
        (there("alb-route-0123456789abcdef"), there("serde-0123456789abcdef"))
    }

    fn compile(out: &Path) {
        for name in ["alb-route-0123456789abcdef", "serde-0123456789abcdef"] {
            std::fs::create_dir_all(out.join("release/.fingerprint").join(name)).unwrap();
        }
    }

    #[test]
    fn what_was_compiled_of_another_checkout_is_not_taken_for_this_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (out, here, elsewhere) =
            (folder.path().join("out"), folder.path().join("here"), folder.path().join("elsewhere"));
        for root in [&here, &elsewhere] {
            std::fs::create_dir(root).unwrap();
            std::fs::write(root.join("Cargo.lock"), LOCK).unwrap();
        }
        forget_another(&out, &here).unwrap();
        compile(&out);
        remember(&out, &here).unwrap();

        forget_another(&out, &here).unwrap();
        assert_eq!(compiled(&out), (true, true), "nothing is compiled twice");
        forget_another(&out, &elsewhere).unwrap();
        assert_eq!(compiled(&out), (false, true), "what they depend on is the same");
        // It was broken off: nobody knows whose files are there.
        compile(&out);
        forget_another(&out, &here).unwrap();
        assert_eq!(compiled(&out), (false, true));
    }
}
