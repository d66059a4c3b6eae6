//! What a killed engine leaves behind: processes, mounts, bridges, rules. All of it is recognised by the
//! private engine's own paths and names, so nothing of anybody else is touched.

use std::path::Path;
use std::time::Duration;

use super::layout::Layout;
use super::process::{ProcessId, Seen, all, signal, wait_gone};
use super::{EngineError, egress};
use crate::command::Tool;

/// Chains dockerd makes and never removes.
const CHAINS: [&str; 5] =
    ["DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-USER", "DOCKER-INGRESS"];

/// The engine's store of its networks, below its data.
const NETWORKS: &str = "network/files/local-kv.db";
/// The programs of an engine.
const PROGRAMS: [&str; 6] =
    ["dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "docker-proxy", "runc"];

/// Ends the engine's processes, unmounts its mounts and removes its bridges.
pub(super) async fn remove(layout: &Layout, recorded: Option<ProcessId>) -> Result<(), EngineError> {
    end_processes(layout, recorded.as_ref()).await;
    for dir in [&layout.run, &layout.data] {
        unmount_below(dir).await;
    }
    remove_bridges(layout).await;
    remove_cgroups(&layout.cgroup);
    let exec = layout.run.join("exec");
    if exec.exists() {
        std::fs::remove_dir_all(&exec).map_err(super::io("remove", &exec))?;
    }
    for file in ["docker.pid", "docker.sock", "notify.sock"] {
        let _ = std::fs::remove_file(layout.run.join(file));
    }
    Ok(())
}

/// dockerd, its containerd, its shims and what runs in their containers.
async fn end_processes(layout: &Layout, recorded: Option<&ProcessId>) {
    for round in 0..5 {
        let found: Vec<ProcessId> = all()
            .iter()
            .filter(|seen| belongs(seen, &layout.run, &layout.cgroup, recorded))
            .map(|seen| seen.id.clone())
            .collect();
        if found.is_empty() {
            break;
        }
        tracing::debug!(round, count = found.len(), "ending processes a dead engine left");
        for process in &found {
            // Its number may have gone to another one since.
            if process.is_alive() {
                signal(process.pid, "KILL").await;
            }
        }
        for process in &found {
            wait_gone(process, Duration::from_secs(5)).await;
        }
    }
}

/// Whether a process is proved to be the engine's: it was written down when it was started, it is one of Docker's programs with
/// one of the engine's own paths for an argument, or it lives in the engine's control group. That a command line mentions such
/// a path proves nothing: so does that of an editor.
fn belongs(seen: &Seen, run: &Path, cgroup: &str, recorded: Option<&ProcessId>) -> bool {
    let own_path = |argument: &String| {
        let value = argument.split_once('=').map_or(argument.as_str(), |(_, value)| value);
        Path::new(value.strip_prefix("unix://").unwrap_or(value)).starts_with(run)
    };
    let is_dockers = PROGRAMS.contains(&seen.program.as_str()) && seen.arguments.iter().skip(1).any(own_path);
    let in_group = seen.groups.lines().any(|line| {
        let path = line.splitn(3, ':').nth(2).unwrap_or_default();
        Path::new(path).starts_with(Path::new("/").join(cgroup))
    });
    recorded == Some(&seen.id) || is_dockers || in_group
}

async fn unmount_below(dir: &Path) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for point in mounts_below(&table, dir) {
        let unmount = Tool::new("unmount what a dead engine left", "umount").args(["-l", &point]);
        if let Err(error) = unmount.run().await {
            tracing::debug!(%error, "not unmounted");
        }
    }
}

/// `dir` if it is a mount point (dockerd makes one of its data root) and those below, the last first.
fn mounts_below(mountinfo: &str, dir: &Path) -> Vec<String> {
    let mut points: Vec<_> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(dir))
        .map(str::to_owned)
        .collect();
    points.reverse();
    points
}

/// Removes the engine's control groups in all hierarchies; only empty ones can be removed.
fn remove_cgroups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|found| found.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        remove_tree_of_groups(&hierarchy.join(name));
    }
}

fn remove_tree_of_groups(dir: &Path) {
    for found in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if found.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree_of_groups(&found.path());
        }
    }
    let _ = std::fs::remove_dir(dir);
}

async fn remove_bridges(layout: &Layout) {
    let networks = layout.data.join(NETWORKS);
    // Bridges of user-made networks are named after the network's id, which the engine's store holds.
    let store = std::fs::read(&networks).unwrap_or_default();
    let Ok(links) = std::fs::read_dir("/sys/class/net") else { return };
    for link in links.flatten() {
        let name = link.file_name().to_string_lossy().into_owned();
        if name == layout.bridge || is_bridge_of(&store, &name) {
            let delete = Tool::new("remove the engine's bridge", "ip").args(["link", "delete", &name]);
            if let Err(error) = delete.run().await {
                tracing::debug!(%error, "bridge not removed");
            }
        }
    }
}

fn is_bridge_of(store: &[u8], name: &str) -> bool {
    name.strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && store.windows(12).any(|part| part == id.as_bytes()))
}

/// Removes what all engines of a host share: dockerd's iptables rules and chains, and the directories it and
/// containerd make in /run. While another engine runs, or where one had its chains before this one came, only the rules about
/// this one's bridges.
pub(super) async fn remove_shared(layout: &Layout, anothers: bool) {
    let shared = anothers || another_engine_runs();
    let store = std::fs::read(layout.data.join(NETWORKS)).unwrap_or_default();
    if !shared {
        remove_sockets(Path::new("/run/containerd/s"));
        for dir in ["/run/containerd/s", "/run/containerd", "/run/docker/plugins", "/run/docker"] {
            let _ = std::fs::remove_dir(dir);
        }
    }
    for program in ["iptables", "ip6tables"] {
        for table in ["filter", "nat"] {
            let list = Tool::new("list rules", program).args(["-w", "-t", table, "-S"]).run().await;
            let rules = list.unwrap_or_default();
            let removals = if shared {
                removals_of_bridges(&rules, |name| name == layout.bridge || is_bridge_of(&store, name))
            } else {
                removals(&rules, &layout.bridge)
            };
            for rule in removals {
                let removal =
                    Tool::new("remove the engine's rule", program).args(["-w", "-t", table]).args(&rule);
                if let Err(error) = removal.run().await {
                    tracing::debug!(%error, "rule not removed");
                }
            }
        }
    }
}

/// The commands that remove the rules about some bridges.
fn removals_of_bridges(rules: &str, ours: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let about = |line: &&str| line.starts_with("-A ") && line.split_whitespace().any(&ours);
    rules
        .lines()
        .filter(about)
        .map(|line| line.replacen("-A", "-D", 1).split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn remove_sockets(dir: &Path) {
    for found in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(found.path());
    }
}

/// Whether any dockerd or containerd runs on this host.
pub(super) fn another_engine_runs() -> bool {
    all().iter().any(|seen| ["dockerd", "containerd"].contains(&seen.program.as_str()))
}

/// The commands that undo what `iptables -S` lists of dockerd: references first, then contents, then chains. Where people
/// have rules of their own in `DOCKER-USER`, that chain stays as they made it.
fn removals(rules: &str, bridge: &str) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let theirs = |line: &str| {
        line.starts_with("-A DOCKER-USER ")
            && line != "-A DOCKER-USER -j RETURN"
            && !line.contains(egress::MARK)
    };
    let kept = rules.lines().any(theirs).then_some("DOCKER-USER");
    let is_chain = |name: &str| CHAINS.contains(&name) && Some(name) != kept;
    let mut deletions = Vec::new();
    let mut chains = Vec::new();
    for line in rules.lines() {
        let mut rule = words(line);
        match rule.first().map(String::as_str) {
            Some("-A") => {
                let chain = rule.get(1).cloned().unwrap_or_default();
                let target = rule.iter().position(|w| w == "-j").and_then(|at| rule.get(at + 1)).cloned();
                if !is_chain(&chain) && (target.is_some_and(|t| is_chain(&t)) || dockers(&rule, bridge)) {
                    rule[0] = "-D".to_owned();
                    deletions.push(rule);
                }
            }
            Some("-N") if rule.get(1).is_some_and(|name| is_chain(name)) => chains.push(rule[1].clone()),
            _ => {}
        }
    }
    let flush = chains.iter().map(|chain| vec!["-F".to_owned(), chain.clone()]);
    let remove = chains.iter().map(|chain| vec!["-X".to_owned(), chain.clone()]);
    deletions.into_iter().chain(flush).chain(remove).collect()
}

/// Rules in built-in chains about a bridge that only dockerd writes (`-o br-… ACCEPT`, MASQUERADE): that of the engine itself,
/// or one named after a network's id. Bridges that people named are theirs.
fn dockers(rule: &[String], bridge: &str) -> bool {
    let by_id = |word: &String| {
        word.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    rule.iter().any(|word| word == bridge || by_id(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(program: &str, line: &str, groups: &str) -> Seen {
        Seen {
            id: ProcessId::of(std::process::id()).unwrap(),
            program: program.to_owned(),
            arguments: line.split(' ').map(str::to_owned).collect(),
            groups: groups.to_owned(),
        }
    }

    #[test]
    fn only_what_is_proved_to_be_the_engines_is_ended() {
        let ours = |seen: &Seen| belongs(seen, Path::new("/run/meshproof-1"), "meshproof-1", None);
        let elsewhere = "4:memory:/user.slice\n0::/user.slice\n";
        for (program, line) in [
            ("dockerd", "dockerd --host=unix:///run/meshproof-1/docker.sock --data-root=/d"),
            ("containerd", "containerd --config /run/meshproof-1/exec/containerd/containerd.toml"),
            (
                "containerd-shim-runc-v2",
                "/usr/bin/containerd-shim-runc-v2 -address /run/meshproof-1/exec/containerd/containerd.sock",
            ),
        ] {
            assert!(ours(&seen(program, line, elsewhere)), "{line}");
        }
        for (program, line) in [
            ("vim", "vim /run/meshproof-1/docker.sock"),
            ("tail", "tail -f /run/meshproof-1/log"),
            ("docker", "docker --host unix:///run/meshproof-1/docker.sock ps"),
            ("bash", "bash -c dockerd --host=unix:///run/meshproof-1/docker.sock"),
            ("dockerd", "dockerd --host=unix:///run/meshproof-10/docker.sock"),
            ("dockerd", "dockerd --label=about:/run/meshproof-1/docker.sock"),
            ("containerd", "/run/meshproof-1/containerd"),
        ] {
            assert!(!ours(&seen(program, line, elsewhere)), "{line}");
        }
        assert!(ours(&seen("sleep", "sleep 1", "4:memory:/meshproof-1/abc\n0::/\n")));
        assert!(!ours(&seen("sleep", "sleep 1", "4:memory:/meshproof-10/abc\n")));
        let recorded = seen("anything", "", elsewhere);
        assert!(belongs(&recorded, Path::new("/run/x"), "x", Some(&recorded.id)));
    }

    #[test]
    fn mounts_are_unmounted_from_the_inside_out() {
        let table = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:1 / /run/x rw - tmpfs a rw\n3 2 8:1 / /run/x/a rw - nsfs a rw\n\
                     4 3 8:1 / /run/x/a/b rw - overlay a rw\n5 1 8:1 / /run/xy rw - tmpfs a rw\n";
        assert_eq!(mounts_below(table, Path::new("/run/x")), ["/run/x/a/b", "/run/x/a", "/run/x"]);
    }

    #[test]
    fn only_dockers_rules_go_and_references_go_first() {
        let rules = "-P FORWARD DROP\n-N DOCKER\n-N DOCKER-USER\n-N MINE\n-A FORWARD -j DOCKER-USER\n\
                     -A FORWARD -o br-0123456789ab -j DOCKER\n-A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT\n\
                     -A FORWARD -j MINE\n-A DOCKER-USER -j RETURN\n-A INPUT -i eth0 -j ACCEPT\n";
        let commands: Vec<String> = removals(rules, "mp01234567").into_iter().map(|c| c.join(" ")).collect();
        assert_eq!(
            commands,
            [
                "-D FORWARD -j DOCKER-USER",
                "-D FORWARD -o br-0123456789ab -j DOCKER",
                "-D FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT",
                "-F DOCKER",
                "-F DOCKER-USER",
                "-X DOCKER",
                "-X DOCKER-USER",
            ]
        );
    }

    #[test]
    fn what_people_wrote_stays() {
        let rules = "-N DOCKER\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A FORWARD -i br-lan -j ACCEPT\n\
                     -A FORWARD -o mp01234567 -j DOCKER\n-A DOCKER-USER -s 192.0.2.1/32 -j DROP\n-A DOCKER-USER -j RETURN\n";
        let commands: Vec<String> = removals(rules, "mp01234567").into_iter().map(|c| c.join(" ")).collect();
        assert_eq!(commands, ["-D FORWARD -o mp01234567 -j DOCKER", "-F DOCKER", "-X DOCKER"]);
    }

    #[test]
    fn beside_another_engine_only_rules_about_our_bridge_go() {
        let rules = "-N DOCKER\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o mp01234567 -j DOCKER\n-A FORWARD -o docker0 -j DOCKER\n";
        let commands: Vec<String> = removals_of_bridges(rules, |name| name == "mp01234567")
            .into_iter()
            .map(|c| c.join(" "))
            .collect();
        assert_eq!(commands, ["-D FORWARD -o mp01234567 -j DOCKER"]);
    }

    #[test]
    fn a_bridge_belongs_to_the_engine_whose_store_names_it() {
        let store = b"...0123456789abcdef...";
        assert!(is_bridge_of(store, "br-0123456789ab"));
        assert!(!is_bridge_of(store, "br-ffffffffffff"));
        assert!(!is_bridge_of(store, "docker0"));
    }
}
