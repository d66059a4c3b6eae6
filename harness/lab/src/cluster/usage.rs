//! What pods take of their node: processor time and memory, as their control groups tell it.
//!
//! The kubelet's own figures are up to ten seconds old, which is as long as a measurement takes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::CommandError;
use crate::engine::Engine;

use super::node;

/// What one pod has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since it began, in user and kernel mode.
    pub cpu: Duration,
    /// Bytes of memory that it needs now: all that is charged to it but cached files that nobody uses (the "working set").
    pub memory: u64,
}

/// What pods of one node have taken, by the pods' uids. Pods that are not there are left out.
///
/// # Errors
/// The engine cannot run a command in the node.
pub async fn of_pods(
    engine: &Engine,
    node: &str,
    uids: &[String],
) -> Result<BTreeMap<String, Usage>, CommandError> {
    let text = node::script(engine, "reading what pods take", node, &script(uids)).await?;
    Ok(uids.iter().filter_map(|uid| Some((uid.clone(), read(&text, uid)?))).collect())
}

/// Prints the files of the pods' control groups, a value a line behind the pod's uid and the file's name. With version 1 each
/// controller has a tree of its own; the systemd driver writes `_` for `-`.
fn script(uids: &[String]) -> String {
    let mut script = String::from(
        "show() {\n\
           find /sys/fs/cgroup -type d \\( -name \"*pod$1*\" -o -name \"*pod${1//-/_}*\" \\) -prune | while read -r dir; do\n\
             for file in cpu.stat cpuacct.usage memory.current memory.usage_in_bytes memory.stat; do\n\
               if [ -f \"$dir/$file\" ]; then sed \"s|^|$1 $file |\" \"$dir/$file\"; fi\n\
             done\n\
           done\n\
         }\n",
    );
    for uid in uids {
        script += &format!("show {uid}\n");
    }
    script
}

/// Of one pod; none without its processor time.
fn read(text: &str, uid: &str) -> Option<Usage> {
    let values: BTreeMap<(&str, &str), u64> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            (words.next() == Some(uid)).then_some(())?;
            let file = words.next()?;
            // Some files hold nothing but their value.
            Some(match (words.next()?, words.next()) {
                (name, Some(value)) => ((file, name), value.parse().ok()?),
                (value, None) => ((file, ""), value.parse().ok()?),
            })
        })
        .collect();
    let value = |file, name| values.get(&(file, name)).copied();
    let cpu = value("cpu.stat", "usage_usec")
        .map(Duration::from_micros)
        .or_else(|| value("cpuacct.usage", "").map(Duration::from_nanos))?;
    let charged = value("memory.current", "").or_else(|| value("memory.usage_in_bytes", "")).unwrap_or(0);
    let unused =
        value("memory.stat", "total_inactive_file").or_else(|| value("memory.stat", "inactive_file"));
    Some(Usage { cpu, memory: charged.saturating_sub(unused.unwrap_or(0)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let two = "u cpu.stat usage_usec 1500\nu cpu.stat user_usec 1000\nu memory.current 4096\n\
                   u memory.stat anon 3000\nu memory.stat inactive_file 1096\n";
        let usage = Usage { cpu: Duration::from_micros(1500), memory: 3000 };
        assert_eq!(read(two, "u"), Some(usage));
        let one = "u cpu.stat nr_periods 0\nu cpuacct.usage 1500000\nu memory.usage_in_bytes 4096\n\
                   u memory.stat inactive_file 1\nu memory.stat total_inactive_file 1096\n";
        assert_eq!(read(one, "u"), Some(usage));
    }

    #[test]
    fn a_pod_is_not_taken_for_another() {
        let text = "a cpuacct.usage 1\nab cpuacct.usage 2\n";
        assert_eq!(read(text, "ab").map(|usage| usage.cpu), Some(Duration::from_nanos(2)));
        assert_eq!(read(text, "b"), None);
    }

    #[test]
    fn the_control_group_of_either_driver_is_looked_for() {
        let script = script(&["1-2".to_owned()]);
        assert!(script.contains("*pod$1*") && script.contains("${1//-/_}") && script.contains("show 1-2"));
    }
}
