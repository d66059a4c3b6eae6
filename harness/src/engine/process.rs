//! Processes recognised across restarts of this program, in spite of reused ids and reboots.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::supply::command::Tool;

/// A process, told apart from a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    /// Start time in clock ticks since boot.
    started: u64,
    /// The boot it belongs to.
    boot: String,
}

impl ProcessId {
    /// The running process with this id.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)?, boot: boot_id()? })
    }

    /// Whether this very process still runs.
    pub(super) fn is_alive(&self) -> bool {
        boot_id().as_deref() == Some(&self.boot) && start_time(self.pid) == Some(self.started)
    }
}

/// When a process started; `None` when there is none or it is only waiting to be reaped.
fn start_time(pid: u32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// Sends a signal by name (`TERM`, `KILL`).
pub(super) async fn signal(pid: u32, name: &str) {
    let kill = Tool::new("signal a process", "sh").args(["-c", &format!("kill -s {name} {pid}")]);
    if let Err(error) = kill.run().await {
        // Usually it has just ended by itself.
        tracing::debug!(%error, pid, "signal not sent");
    }
}

/// Waits until the process has ended; false after `limit`.
pub(super) async fn wait_gone(process: &ProcessId, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    while process.is_alive() {
        if Instant::now() > until {
            return false;
        }
        // Only a parent is told about the end of a process; this may be a stranger's child.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Processes whose command line mentions `path`, with that line; this process is none of them.
pub(super) fn mentioning(path: &Path) -> Vec<(u32, String)> {
    let path = path.to_string_lossy();
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(path.as_ref()).then_some((pid, line))
        })
        .collect()
}

/// Direct children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(ProcessId::of(std::process::id()).unwrap().is_alive());
    }

    #[test]
    fn a_reused_id_or_another_boot_is_another_process() {
        let mut process = ProcessId::of(std::process::id()).unwrap();
        process.started += 1;
        assert!(!process.is_alive());
        let mut process = ProcessId::of(std::process::id()).unwrap();
        process.boot = "another".to_owned();
        assert!(!process.is_alive());
    }

    #[test]
    fn the_start_time_survives_odd_names_and_a_zombie_has_none() {
        let rest = "1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(parse_stat(&format!("5 (a) b) S {rest}")), Some(4711));
        assert_eq!(parse_stat(&format!("5 (a) Z {rest}")), None);
    }

    #[test]
    fn no_process_mentions_a_path_nobody_uses() {
        assert!(mentioning(Path::new("/run/no-such-path-anywhere-4711")).is_empty());
    }
}
