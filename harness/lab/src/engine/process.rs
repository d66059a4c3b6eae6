//! Processes recognised across restarts of this program, in spite of reused ids and reboots.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::command::Tool;

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

/// What a process shows of itself.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) id: ProcessId,
    /// Name of the file it runs; empty where that may not be looked at.
    pub(super) program: String,
    /// Its command line, the program's name first.
    pub(super) arguments: Vec<String>,
    /// Its control groups, a line each (`<number>:<controllers>:<path>`).
    pub(super) groups: String,
}

/// All processes but this one.
pub(super) fn all() -> Vec<Seen> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(see)
        .collect()
}

fn see(pid: u32) -> Option<Seen> {
    // First: what is read after it is this very process's, or of none.
    let id = ProcessId::of(pid)?;
    let file = |name: &str| std::path::PathBuf::from(format!("/proc/{pid}/{name}"));
    let program = std::fs::read_link(file("exe")).ok();
    let program = program
        .as_deref()
        .and_then(std::path::Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let line = std::fs::read(file("cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(Seen {
        id,
        program: program.unwrap_or_default().trim_end_matches(" (deleted)").to_owned(),
        arguments: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
        groups: std::fs::read_to_string(file("cgroup")).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::Stdio;

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
    fn a_child_is_seen_with_its_program_and_arguments() {
        let mut cat = std::process::Command::new("cat");
        let mut child = cat.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // What it repeats has come through the program itself: before that it may not have begun to run it.
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let seen = see(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen.arguments, ["cat", "-"]);
        assert!(seen.id.pid == child.id() && !seen.program.is_empty() && !seen.groups.is_empty());
    }
}
