//! Programs the host must have, and how they get there.

use std::path::Path;
use std::time::Duration;

use super::cache::{Cache, CacheError};
pub use super::command::is_root;
use super::command::{CommandError, Tool, on_path};
use crate::host_changes::{NotAgreed, agree};
use meshproof_model::progress::Progress;

/// In the cache: what was installed.
const INSTALLED: &str = "packages-installed";

/// A program, and the Debian package that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// The program's name on `PATH`.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

/// What building a node needs beside Go.
pub const BUILD: &[Needed] = &[
    Needed { program: "gcc", package: "gcc libc6-dev" },
    Needed { program: "debootstrap", package: "debootstrap debian-archive-keyring" },
    Needed { program: "unshare", package: "util-linux" },
    Needed { program: "setpriv", package: "util-linux" },
    Needed { program: "tar", package: "tar" },
    Needed { program: "python3", package: "python3" },
    Needed { program: "pip3", package: "python3-pip" },
];

/// The Docker Engine and what it and kind need.
pub const ENGINE: &[Needed] = &[
    Needed { program: "dockerd", package: "docker.io" },
    Needed { program: "docker", package: "docker.io" },
    Needed { program: "iptables", package: "iptables" },
    Needed { program: "ip", package: "iproute2" },
    Needed { program: "setsid", package: "util-linux" },
];

/// The host lacks something.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It could be installed, but not by this user or not on this system.
    #[error("this host lacks {missing}. {advice}")]
    Missing {
        /// The programs.
        missing: String,
        /// What to run.
        advice: String,
    },
    /// It would be installed, and nobody agreed.
    #[error(transparent)]
    NotAgreed(#[from] NotAgreed),
    /// Installing failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The cache holds the lock and the log.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl HostError {
    /// Whether the host is not fit, as opposed to something having failed on it.
    pub fn is_unfit_host(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NotAgreed(_))
    }
}

/// What installing these would change on the host; nothing if none is missing.
pub fn change(needed: &[Needed]) -> Option<String> {
    let lacking = missing(needed);
    (!lacking.is_empty())
        .then(|| format!("install Debian packages, which stay: {}", packages(&lacking).join(" ")))
}

/// Packages that were installed for this cache, as of now: they stay when everything else goes.
pub fn installed(cache: &Cache) -> Vec<String> {
    let text = std::fs::read_to_string(cache.root().join(INSTALLED)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Writes down what was installed.
fn note(cache: &Cache, packages: &[&str]) -> Result<(), CacheError> {
    let mut all = installed(cache);
    all.extend(packages.iter().map(|package| (*package).to_owned()));
    all.sort();
    all.dedup();
    let path = cache.root().join(INSTALLED);
    std::fs::write(&path, all.join("\n") + "\n").map_err(super::cache::io("write", &path))
}

/// Those that are not on `PATH`.
pub fn missing(needed: &[Needed]) -> Vec<Needed> {
    needed.iter().copied().filter(|n| on_path(n.program).is_none()).collect()
}

/// The command that installs them.
pub fn install_command(missing: &[Needed]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages(missing).join(" "))
}

fn packages(missing: &[Needed]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().flat_map(|n| n.package.split(' ')).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Memory that programs could use now, in bytes; 0 when the system does not say.
pub fn memory_available() -> u64 {
    parse_available(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

fn parse_available(meminfo: &str) -> u64 {
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib =
        available.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Installs what is missing, as root on a system with apt.
///
/// # Errors
/// It cannot be installed here, nobody agreed that it is, or apt failed.
pub async fn ensure(cache: &Cache, progress: &dyn Progress, needed: &[Needed]) -> Result<(), HostError> {
    if missing(needed).is_empty() {
        return Ok(());
    }
    let phase = "install Debian packages";
    let _lock = cache
        .lock("apt", || progress.note(phase, "another meshproof is installing packages; waiting"))
        .await?;
    let lacking = missing(needed);
    if lacking.is_empty() {
        return Ok(());
    }
    if !is_root() || on_path("apt-get").is_none() {
        let names: Vec<_> = lacking.iter().map(|n| n.program).collect();
        return Err(HostError::Missing {
            missing: names.join(", "),
            advice: format!("On Debian or Ubuntu, run: {}", install_command(&lacking)),
        });
    }
    agree(change(&lacking).into_iter().collect()).await?;
    cache.timed(phase, progress, install(cache, &packages(&lacking))).await?;
    note(cache, &packages(&lacking))?;
    let still = missing(needed);
    if let Some(first) = still.first() {
        return Err(HostError::Missing {
            missing: first.program.to_owned(),
            advice: format!(
                "Package {} was installed but there is still no `{}` on PATH ({}).",
                first.package,
                first.program,
                std::env::var("PATH").unwrap_or_default()
            ),
        });
    }
    Ok(())
}

async fn install(cache: &Cache, packages: &[&str]) -> Result<(), HostError> {
    let log = cache.log("apt");
    let apt = |doing: &str| {
        Tool::new(doing, "apt-get")
            .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .log(&log)
            .limit(Duration::from_secs(900))
    };
    let install =
        || apt("install Debian packages").args(["install", "-y", "--no-install-recommends"]).args(packages);
    // The package lists may be fresh enough; if not, fetch them and try again.
    if Path::new("/var/lib/apt/lists/lock").exists() && install().run().await.is_ok() {
        return Ok(());
    }
    apt("refresh the Debian package lists").arg("update").run().await?;
    install().run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_each_package_once() {
        let command = install_command(&[ENGINE[0], ENGINE[1], ENGINE[2]]);
        assert_eq!(command, "sudo apt-get install --no-install-recommends docker.io iptables");
    }

    #[test]
    fn available_memory_is_in_bytes() {
        assert_eq!(parse_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), 2_097_152);
        assert_eq!(parse_available(""), 0);
    }

    #[test]
    fn what_is_on_path_is_not_missing() {
        let here = Needed { program: "sh", package: "dash" };
        let not = Needed { program: "no-such-program-here", package: "nothing" };
        assert_eq!(missing(&[here, not]), [not]);
    }
}
