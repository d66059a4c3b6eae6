//! What follows from the facts.

use serde::Serialize;

use super::facts::Facts;
use crate::supply::{ImageSource, workspace};

/// Memory a cluster with Istio and the extension needs, with room to compile.
const MEMORY_BYTES: u64 = 4 << 30;
/// Disk space for a first build: sources, compilers' caches, images.
const DISK_FIRST_BYTES: u64 = 25 << 30;
/// Disk space for running a cluster.
const DISK_RUN_BYTES: u64 = 5 << 30;
/// What is said of a program that comes with a package.
const INSTALLED: &str = "will be installed";
/// Below this, a second node's systemd runs out of inotify instances.
const INOTIFY_INSTANCES: u64 = 1024;

/// How a finding bears on `meshproof up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// `meshproof up` will take care of it.
    Handled,
    /// It may work, perhaps slowly.
    Warning,
    /// `meshproof up` cannot work without it.
    Missing,
}

/// One thing people should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, one or two words.
    pub about: &'static str,
    /// How it bears.
    pub level: Level,
    /// What was seen and what it means.
    pub what: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

/// What `meshproof up` will do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Where programs and images will come from.
    pub source: ImageSource,
    /// Which engine will be used.
    pub engine: String,
    /// What will be built, and the seconds it took last time.
    pub build: Vec<(String, Option<f64>)>,
}

/// Judges the facts.
pub fn judge(facts: &Facts, wanted: ImageSource) -> (Vec<Finding>, Plan) {
    let source = match (wanted, facts.registry_answers) {
        (ImageSource::Registry, _) => ImageSource::Registry,
        (ImageSource::Auto, Some(true)) if facts.cgroup_version == 2 => ImageSource::Registry,
        _ => ImageSource::Source,
    };
    let is_images = |phase: &str| phase == workspace::PHASE;
    let build: Vec<_> = match source {
        ImageSource::Registry => {
            facts.to_build.iter().filter(|(phase, _)| is_images(phase)).cloned().collect()
        }
        _ => facts.to_build.clone(),
    };
    let engine = match &facts.engine {
        Some(engine) if engine.private => {
            format!("the private Docker Engine {} at {}", engine.version, engine.host)
        }
        Some(engine) => format!("Docker Engine {} at {}", engine.version, engine.host),
        None => "a private Docker Engine, started by `meshproof up`".to_owned(),
    };
    let mut findings = vec![engine_finding(facts), capability_finding(facts), cgroup_finding(facts, source)];
    findings.push(registry_finding(facts, wanted, source));
    findings.extend(build_findings(facts, source, &build));
    findings.push(memory_finding(facts));
    findings.push(disk_finding(facts, &build));
    findings.extend(inotify_finding(facts));
    findings.extend(egress_finding(facts));
    findings.extend(proxy_finding(facts));
    findings.push(changes_finding(facts, &findings));
    (findings, Plan { source, engine, build })
}

fn finding(about: &'static str, level: Level, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { about, level, what: what.into(), remedy: remedy.into() }
}

fn has(facts: &Facts, tool: &str) -> bool {
    facts.tools.contains_key(tool)
}

fn engine_finding(facts: &Facts) -> Finding {
    const ABOUT: &str = "Docker Engine";
    if let Some(problem) = &facts.engine_problem {
        // What is there and silent says itself what to do.
        let named = problem.contains("DOCKER_HOST is");
        return finding(
            ABOUT,
            Level::Missing,
            problem,
            if named { "start it, or unset DOCKER_HOST" } else { "" },
        );
    }
    match &facts.engine {
        Some(engine) if engine.private => {
            finding(ABOUT, Level::Good, format!("the private one runs, version {}", engine.version), "")
        }
        Some(engine) => {
            finding(ABOUT, Level::Good, format!("version {} at {}", engine.version, engine.host), "")
        }
        None if facts.root && (has(facts, "dockerd") || has(facts, "apt-get")) => {
            let install = if has(facts, "dockerd") { "" } else { "installed and " };
            finding(
                ABOUT,
                Level::Handled,
                format!("none answers; a private one will be {install}started"),
                "",
            )
        }
        None => finding(
            ABOUT,
            Level::Missing,
            "none answers, and a private one needs root on Debian or Ubuntu",
            "sudo apt-get install docker.io iptables && sudo systemctl start docker && sudo usermod -aG docker $USER, \
             then log in again; or run this as root",
        ),
    }
}

fn capability_finding(facts: &Facts) -> Finding {
    const ABOUT: &str = "capabilities";
    let theirs = facts.engine.as_ref().is_some_and(|engine| !engine.private);
    match (facts.lacks_sys_resource, theirs) {
        (false, _) => finding(ABOUT, Level::Good, "CAP_SYS_RESOURCE may be granted to nodes", ""),
        (true, false) => finding(
            ABOUT,
            Level::Handled,
            "the host withholds CAP_SYS_RESOURCE; the private engine and the nodes do without",
            "",
        ),
        (true, true) => finding(
            ABOUT,
            Level::Warning,
            "the host withholds CAP_SYS_RESOURCE, and the engine in use is not ours to adapt",
            "if nodes fail to start, stop that engine: a private one that does without will be started",
        ),
    }
}

fn cgroup_finding(facts: &Facts, source: ImageSource) -> Finding {
    const ABOUT: &str = "control groups";
    match (facts.cgroup_version, source) {
        (1, ImageSource::Registry) => finding(
            ABOUT,
            Level::Missing,
            "version 1; released Kubernetes nodes need version 2",
            "use --image-source source",
        ),
        (version, _) => finding(ABOUT, Level::Good, format!("version {version}"), ""),
    }
}

fn registry_finding(facts: &Facts, wanted: ImageSource, source: ImageSource) -> Finding {
    const ABOUT: &str = "registry";
    let released: Vec<_> =
        ["kind", "helm", "istioctl"].into_iter().filter(|tool| !has(facts, tool)).collect();
    match (wanted, facts.registry_answers) {
        (ImageSource::Source, _) => finding(ABOUT, Level::Good, "not asked: --image-source source", ""),
        (ImageSource::Registry, _) if !released.is_empty() => finding(
            ABOUT,
            Level::Missing,
            format!("released images need released programs; not on PATH: {}", released.join(", ")),
            "install them, or use --image-source source",
        ),
        (ImageSource::Registry, Some(false)) => finding(
            ABOUT,
            Level::Missing,
            "kind's node image is not here and its registry does not answer",
            "check the network, or use --image-source source",
        ),
        (_, Some(true)) if source == ImageSource::Registry => {
            finding(ABOUT, Level::Good, "answers: released images will be used", "")
        }
        (_, Some(_)) => finding(ABOUT, Level::Handled, "not usable here: everything comes from source", ""),
        (_, None) if released.is_empty() => {
            finding(ABOUT, Level::Handled, "asked when an engine runs; without an answer, source is used", "")
        }
        (_, None) => finding(
            ABOUT,
            Level::Handled,
            format!("not asked: no {} on PATH; everything comes from source", released.join(", ")),
            "",
        ),
    }
}

fn build_findings(facts: &Facts, source: ImageSource, build: &[(String, Option<f64>)]) -> Vec<Finding> {
    if build.is_empty() {
        return vec![finding("cache", Level::Good, format!("complete, in {}", facts.cache), "")];
    }
    let mut findings = vec![finding(
        "cache",
        Level::Handled,
        format!("{} of its parts will be built, in {}", build.len(), facts.cache),
        "",
    )];
    let from_source =
        source == ImageSource::Source && build.iter().any(|(phase, _)| phase != workspace::PHASE);
    let images = build.iter().any(|(phase, _)| phase == workspace::PHASE);
    let mut need = |tool: &'static str, wanted: bool, package: bool, remedy: &str| {
        if !wanted || has(facts, tool) {
            return;
        }
        let installable = package && facts.root && has(facts, "apt-get");
        let level = if installable { Level::Handled } else { Level::Missing };
        let what = if installable { INSTALLED } else { "not on PATH, and needed to build" };
        findings.push(finding(tool, level, what, if installable { "" } else { remedy }));
    };
    need("go", from_source, false, "install Go 1.26 or later: https://go.dev/doc/install");
    need("gcc", from_source || images, true, "sudo apt-get install gcc libc6-dev");
    need("debootstrap", from_source, true, "sudo apt-get install debootstrap");
    need("python3", from_source, true, "sudo apt-get install python3 python3-pip");
    need("cargo", images, false, "install Rust with rustup: https://rustup.rs");
    if from_source && !facts.root {
        findings.push(finding(
            "root",
            Level::Missing,
            "a node image is put together in a file system of its own, which takes root",
            "run `sudo meshproof up` once, with MESHPROOF_CACHE set to your own cache; or use --image-source registry",
        ));
    }
    if images && !facts.musl_target {
        let (level, remedy) = match has(facts, "rustup") {
            true => (Level::Handled, String::new()),
            false => {
                (Level::Missing, format!("install rustup, then: rustup target add {}", workspace::target()))
            }
        };
        findings.push(finding(
            "musl target",
            level,
            "Rust's target for static programs is not installed",
            remedy,
        ));
    }
    if !facts.workspace {
        findings.push(finding(
            "workspace",
            Level::Missing,
            "the extension's images are built from this project's sources, which are not here",
            "run this inside the workspace",
        ));
    }
    findings
}

fn memory_finding(facts: &Facts) -> Finding {
    let what = format!("{} available, {} processors", bytes(facts.memory_available), facts.processors);
    match facts.memory_available < MEMORY_BYTES {
        true => finding("memory", Level::Warning, what, format!("{} are comfortable", bytes(MEMORY_BYTES))),
        false => finding("memory", Level::Good, what, ""),
    }
}

fn disk_finding(facts: &Facts, build: &[(String, Option<f64>)]) -> Finding {
    let needed = if build.len() > 1 { DISK_FIRST_BYTES } else { DISK_RUN_BYTES };
    match facts.disk_free {
        None => finding("disk", Level::Warning, format!("free space in {} is unknown", facts.cache), ""),
        Some(free) if free < needed => finding(
            "disk",
            Level::Warning,
            format!("{} free in {}", bytes(free), facts.cache),
            format!("{} are needed; MESHPROOF_CACHE chooses another place", bytes(needed)),
        ),
        Some(free) => finding("disk", Level::Good, format!("{} free in {}", bytes(free), facts.cache), ""),
    }
}

fn inotify_finding(facts: &Facts) -> Option<Finding> {
    let instances = facts.inotify_instances.filter(|instances| *instances < INOTIFY_INSTANCES)?;
    Some(finding(
        "inotify",
        if facts.root { Level::Handled } else { Level::Warning },
        format!("{instances} instances per user; several nodes need more"),
        if facts.root { "" } else { "sudo sysctl fs.inotify.max_user_instances=1024" },
    ))
}

/// What is not enforced where the engine is the user's own.
fn egress_finding(facts: &Facts) -> Option<Finding> {
    const ABOUT: &str = "pods stay in";
    let theirs = facts.engine.as_ref().is_some_and(|engine| !engine.private);
    match (theirs, facts.root) {
        (false, _) => None,
        (true, true) => Some(finding(
            ABOUT,
            Level::Handled,
            "a rule is added to the chain DOCKER-USER, and removed by `down`",
            "",
        )),
        (true, false) => Some(finding(
            ABOUT,
            Level::Warning,
            "not enforced: the rule by which pods do not reach out of this host takes root; everything else works without",
            "run as root if they must not",
        )),
    }
}

fn proxy_finding(facts: &Facts) -> Option<Finding> {
    let proxy = facts.proxy.as_ref()?;
    let except = facts
        .no_proxy
        .as_ref()
        .map_or("nothing is excepted".to_owned(), |except| format!("NO_PROXY={except}"));
    Some(finding(
        "proxy",
        Level::Good,
        format!(
            "{proxy}, {except}; clusters on this host are asked without it, those of --context through it unless excepted"
        ),
        "",
    ))
}

/// What `meshproof up` would change on the host, all in one place: it takes consent.
fn changes_finding(facts: &Facts, findings: &[Finding]) -> Finding {
    const ABOUT: &str = "host changes";
    let handled = |about: &str| {
        findings.iter().any(|finding| finding.about == about && finding.level == Level::Handled)
    };
    let packages: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Handled && finding.what == INSTALLED)
        .map(|finding| finding.about)
        .collect();
    let mut changes = Vec::new();
    if handled("Docker Engine") {
        let install = if has(facts, "dockerd") { "" } else { "install Debian's docker.io and iptables; " };
        changes.push(format!("{install}start a private engine with a bridge, iptables rules and forwarding"));
    }
    if !packages.is_empty() {
        changes.push(format!("install what building takes: {}", packages.join(", ")));
    }
    if handled("inotify") {
        changes.push("raise fs.inotify.max_user_instances for several nodes".to_owned());
    }
    if handled("pods stay in") {
        changes.push("add a rule to DOCKER-USER".to_owned());
    }
    if changes.is_empty() {
        return finding(ABOUT, Level::Good, "none", "");
    }
    finding(
        ABOUT,
        Level::Handled,
        changes.join("; "),
        "asked for on a terminal; elsewhere agree with --host-changes allow. `meshproof down` undoes all but packages",
    )
}

/// Bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib >= 10 * 1024 => format!("{} GiB", mib / 1024),
        mib => format!("{mib} MiB"),
    }
}

#[cfg(test)]
mod tests;
