//! Making room: entries that nobody used for a while and that newer inputs have replaced.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An entry's file whose time of modification is the entry's last use.
const USED: &str = "used";
/// Two checkouts of different versions may share a cache, so what was used lately stays.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
/// More precise than this, the last use need not be known.
const PRECISION: Duration = Duration::from_secs(3600);

/// Notes that an entry is used.
pub(super) fn mark(dir: &Path, now: SystemTime) {
    let path = dir.join(USED);
    if age(&path, now).is_some_and(|age| age < PRECISION) {
        return;
    }
    let noted = File::create(&path).and_then(|file| file.set_modified(now));
    if let Err(error) = noted {
        tracing::debug!(%error, dir = %dir.display(), "use of an entry not noted");
    }
}

/// Removes entries called `name`, other than `keep`, that were not used lately.
pub(super) fn prune(entries: &Path, name: &str, keep: &str, now: SystemTime) {
    for found in std::fs::read_dir(entries).into_iter().flatten().flatten() {
        let entry = found.file_name().to_string_lossy().into_owned();
        let is_named =
            entry.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).is_some_and(is_digest);
        if !is_named || entry == keep {
            continue;
        }
        if age(&found.path().join(USED), now).is_some_and(|age| age > UNUSED) {
            tracing::debug!(entry, "removing an entry nobody used for a week");
            let _ = std::fs::remove_dir_all(found.path());
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn age(path: &Path, now: SystemTime) -> Option<Duration> {
    now.duration_since(std::fs::metadata(path).ok()?.modified().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "node-00000000000000aa";

    #[test]
    fn only_replaced_and_unused_entries_of_the_same_name_go() {
        let dir = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - UNUSED * 2;
        for entry in [OLD, "node-base-00000000000000aa", "node-00000000000000bb", "node-00000000000000cc"] {
            std::fs::create_dir(dir.path().join(entry)).unwrap();
            mark(&dir.path().join(entry), long_ago);
        }
        mark(&dir.path().join("node-00000000000000cc"), SystemTime::now());
        prune(dir.path(), "node", "node-00000000000000bb", SystemTime::now());
        let left = |entry: &str| dir.path().join(entry).exists();
        assert!(!left(OLD));
        assert!(left("node-base-00000000000000aa"), "another name");
        assert!(left("node-00000000000000bb"), "the one just made");
        assert!(left("node-00000000000000cc"), "used lately");
    }
}
