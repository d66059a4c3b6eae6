//! Room for several nodes: each runs a systemd, a kubelet and a containerd, which need inotify instances, and the host
//! counts those of all containers of a user together.

use std::path::Path;

/// The limit; a host without it is not Linux, and its engine runs elsewhere.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Enough for as many nodes as a machine can take.
const ENOUGH: u64 = 1024;
/// Keeps what the limit was, in the directory of all clusters.
const BEFORE: &str = "inotify-before";

/// What raising the limit would change on the host; nothing if it need not, or was raised before.
pub(super) fn change(clusters: &Path, nodes: u8, others: bool) -> Option<String> {
    change_in(Path::new(LIMIT), clusters, nodes > 1 || others)
}

fn change_in(limit: &Path, clusters: &Path, needed: bool) -> Option<String> {
    let current = read(limit).filter(|current| needed && *current < ENOUGH)?;
    let again = if clusters.join(BEFORE).exists() { " again" } else { "" };
    Some(format!(
        "raise fs.inotify.max_user_instances{again} from {current} to {ENOUGH}, which several nodes take; `meshproof down` puts it back"
    ))
}

/// Raises the limit for `nodes` nodes in addition to those of other clusters, unless it is high enough. Remembers what it
/// was; returns a note for people if it should be raised and may not be.
pub(super) fn raise(clusters: &Path, nodes: u8, others: bool) -> Option<String> {
    raise_in(Path::new(LIMIT), clusters, nodes > 1 || others)
}

/// Puts the limit back to what it was. Harmless if it was never raised.
pub(super) fn restore(clusters: &Path) {
    restore_in(Path::new(LIMIT), clusters);
}

fn raise_in(limit: &Path, clusters: &Path, needed: bool) -> Option<String> {
    let current = read(limit)?;
    if !needed || current >= ENOUGH {
        return None;
    }
    let before = clusters.join(BEFORE);
    // The oldest note counts: a second cluster finds the limit already raised.
    let noted = before.exists() || std::fs::write(&before, current.to_string()).is_ok();
    if noted && std::fs::write(limit, ENOUGH.to_string()).is_ok() {
        return None;
    }
    let _ = std::fs::remove_file(before);
    Some(format!(
        "several nodes may need more than {current} inotify instances: `sudo sysctl fs.inotify.max_user_instances={ENOUGH}`"
    ))
}

fn restore_in(limit: &Path, clusters: &Path) {
    let note = clusters.join(BEFORE);
    if let Some(before) = read(&note) {
        // Only if nobody has changed it since.
        if read(limit) == Some(ENOUGH) {
            let _ = std::fs::write(limit, before.to_string());
        }
        let _ = std::fs::remove_file(note);
    }
}

fn read(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(current: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let limit = dir.path().join("limit");
        std::fs::write(&limit, current).unwrap();
        (dir, limit)
    }

    #[test]
    fn the_limit_is_raised_once_and_put_back() {
        let (dir, limit) = host("128\n");
        assert_eq!(raise_in(&limit, dir.path(), true), None);
        assert_eq!(raise_in(&limit, dir.path(), true), None);
        assert_eq!(read(&limit), Some(ENOUGH));
        restore_in(&limit, dir.path());
        assert_eq!(read(&limit), Some(128));
        restore_in(&limit, dir.path());
        assert_eq!(read(&limit), Some(128));
    }

    #[test]
    fn a_change_is_told_only_where_one_is_needed() {
        let (dir, limit) = host("128");
        assert!(change_in(&limit, dir.path(), true).unwrap().contains("from 128 to 1024"));
        assert_eq!(change_in(&limit, dir.path(), false), None);
        raise_in(&limit, dir.path(), true);
        assert_eq!(change_in(&limit, dir.path(), true), None);
    }

    #[test]
    fn one_node_or_a_high_limit_changes_nothing() {
        for (current, needed) in [("128", false), ("8192", true)] {
            let (dir, limit) = host(current);
            assert_eq!(raise_in(&limit, dir.path(), needed), None);
            assert_eq!(std::fs::read_to_string(&limit).unwrap(), current);
            assert!(!dir.path().join(BEFORE).exists());
        }
    }

    #[test]
    fn what_somebody_else_set_since_stays() {
        let (dir, limit) = host("128");
        raise_in(&limit, dir.path(), true);
        std::fs::write(&limit, "4096").unwrap();
        restore_in(&limit, dir.path());
        assert_eq!(read(&limit), Some(4096));
    }

    #[test]
    fn a_host_without_the_limit_needs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(raise_in(&dir.path().join("none"), dir.path(), true), None);
    }
}
