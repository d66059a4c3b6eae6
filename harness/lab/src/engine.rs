//! The Docker Engine the cluster runs in: the one that answers, else a private one.
//!
//! A private engine has its own socket, data root, bridge and process group. It outlives the command that
//! started it and is found again by the next one; after a crash or a reboot it is cleaned up and replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache::{Cache, CacheError};
use crate::command::{CommandError, Tool, on_path};
use crate::host::{self, HostError};
use crate::host_changes::agree;
use meshproof_model::progress::Progress;

pub mod capability;
pub mod egress;
mod layout;
mod leftovers;
mod private;
mod process;

/// An engine that runs answers in less, on a busy machine, too.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How a program's failure says that its limit passed.
const LATE: &str = "exceeded its limit";

/// There is no engine to be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `DOCKER_HOST` names an engine, and it does not answer.
    #[error(
        "DOCKER_HOST is {host}, but no Docker Engine answers there: {reason}. Start it, or unset DOCKER_HOST"
    )]
    Named {
        /// The value.
        host: String,
        /// What `docker version` said.
        reason: String,
    },
    /// None answers, and a private one cannot be started by this user or on this system.
    #[error("no Docker Engine answers ({reason}), and a private one needs {lacking}. {advice}")]
    None {
        /// What `docker version` said.
        reason: String,
        /// What a private engine lacks here.
        lacking: String,
        /// The commands to run.
        advice: String,
    },
    /// An engine is there and does not answer. It may be stopped, or the machine busy: it is not replaced, since what runs in it
    /// would be lost.
    #[error(
        "the Docker Engine at {host} is there and does not answer: {reason}. Nothing was started in its place; see what keeps it \
         busy and try again"
    )]
    Silent {
        /// Where.
        host: String,
        /// What was seen.
        reason: String,
    },
    /// The private engine did not come up.
    #[error("the private Docker Engine did not start: {reason}; its log: {}", log.display())]
    NotStarted {
        /// What was seen.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// The file system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Docker or a network tool failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A package is missing.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl EngineError {
    /// Whether the host is not fit (exit code 3), as opposed to something having failed on it.
    pub fn is_unfit_host(&self) -> bool {
        match self {
            Self::Named { .. } | Self::None { .. } | Self::Silent { .. } => true,
            Self::Host(error) => error.is_unfit_host(),
            _ => false,
        }
    }
}

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: PathBuf,
    host: String,
    version: String,
    private: bool,
    shim: bool,
}

impl Engine {
    /// The docker program.
    pub fn docker_program(&self) -> &Path {
        &self.docker
    }

    /// Where the engine listens, as `DOCKER_HOST` has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The engine's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether this program started it (and may stop it).
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Whether containers run without CAP_SYS_RESOURCE because the host lacks it.
    pub fn without_sys_resource(&self) -> bool {
        self.shim
    }

    /// A docker command on this engine.
    pub fn docker<I>(&self, args: I) -> duct::Expression
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString>,
    {
        duct::cmd(&self.docker, args).env("DOCKER_HOST", &self.host)
    }

    /// The environment kind, testcontainers and the like need to find this engine.
    pub fn env(&self) -> Vec<(String, String)> {
        vec![("DOCKER_HOST".to_owned(), self.host.clone())]
    }

    /// A docker command on this engine; `doing` says what for.
    pub(crate) fn tool(&self, doing: impl Into<String>) -> Tool {
        Tool::new(doing, &self.docker).env("DOCKER_HOST", &self.host)
    }

    /// Stops the private engine of this cache, if there is one, and removes what it made outside of the
    /// cache: processes, mounts, bridges, iptables rules. Returns whether there was anything to remove.
    ///
    /// # Errors
    /// It could not be stopped.
    pub async fn stop_private(cache: &Cache, progress: &dyn Progress) -> Result<bool, EngineError> {
        private::stop(cache, progress).await
    }
}

pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> EngineError {
    let path = path.to_owned();
    move |source| EngineError::Io { doing, path, source }
}

/// The engine that answers, or a private one, started if need be.
///
/// # Errors
/// None answers and none can be started; see [`EngineError::is_unfit_host`].
pub async fn ensure_engine(cache: &Cache, progress: &dyn Progress) -> Result<Engine, EngineError> {
    if let Some(engine) = find(cache).await? {
        return Ok(engine);
    }
    let reason = match users_engine().await {
        Ok(engine) => return Ok(engine),
        // One that is there and busy has what was made in it.
        Err(reason) if reason.contains(LATE) => {
            return Err(EngineError::Silent { host: DEFAULT_SOCKET.to_owned(), reason });
        }
        Err(reason) => reason,
    };
    if !host::is_root() || (on_path("apt-get").is_none() && !host::missing(host::ENGINE).is_empty()) {
        let lacking = if host::is_root() { "Debian's packages" } else { "root" };
        return Err(EngineError::None { reason, lacking: lacking.to_owned(), advice: advice() });
    }
    let packages = host::change(host::ENGINE);
    agree(packages.into_iter().chain([private::change(cache)]).collect()).await.map_err(HostError::from)?;
    private::start(cache, progress).await
}

/// The same to remove what is in it. It takes no consent to start a private engine once more that holds containers: it goes
/// afterwards.
pub(crate) async fn ensure_to_remove(cache: &Cache, progress: &dyn Progress) -> Result<Engine, EngineError> {
    if host::is_root() && host::missing(host::ENGINE).is_empty() && private::holds_containers_of(cache) {
        return private::start(cache, progress).await;
    }
    users_engine().await.map_err(|reason| EngineError::None {
        reason,
        lacking: "containers of meshproof's in it".to_owned(),
        advice: advice(),
    })
}

/// The address of the private engine of this cache, whether it runs or not.
pub(crate) fn private_host(cache: &Cache) -> String {
    private::host(cache)
}

/// Whether the private engine of this cache runs, whether it answers or not.
pub(crate) fn private_runs(cache: &Cache) -> bool {
    private::runs(cache)
}

/// The engine that answers now, without starting one: the one `DOCKER_HOST` names, else the private one (what
/// runs in it should be found again), else docker's own choice.
///
/// # Errors
/// `DOCKER_HOST` names an engine that does not answer, or the private one runs and does not.
pub async fn find(cache: &Cache) -> Result<Option<Engine>, EngineError> {
    // People may have been told the private engine's address; it may be gone since.
    let named =
        std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty() && *host != private::host(cache));
    if let Some(host) = named {
        let engine = users_engine().await.map_err(|reason| EngineError::Named { host, reason })?;
        return Ok(Some(engine));
    }
    if let Some(engine) = private::find(cache).await? {
        return Ok(Some(engine));
    }
    Ok(users_engine().await.ok())
}

/// The engine docker's own configuration leads to.
async fn users_engine() -> Result<Engine, String> {
    let Some(docker) = on_path("docker") else { return Err("there is no docker program".to_owned()) };
    if !may_answer() {
        return Err(format!("nothing listens at {DEFAULT_SOCKET}"));
    }
    let version = server_version(&docker, None).await?;
    let host = match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => host,
        _ => Tool::new("ask docker for its endpoint", &docker)
            .args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
            .limit(ANSWER_LIMIT)
            .run()
            .await
            .map_err(|error| error.to_string())?
            .trim()
            .to_owned(),
    };
    Ok(Engine { docker, host, version, private: false, shim: false })
}

/// Where docker looks unless told otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Whether asking docker is worth the time: something told it where to look, or its default socket is there.
fn may_answer() -> bool {
    let told = std::env::var_os("DOCKER_HOST").is_some() || std::env::var_os("DOCKER_CONTEXT").is_some();
    let configured = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")))
        .is_some_and(|dir| dir.join("config.json").exists());
    told || configured || Path::new(DEFAULT_SOCKET).exists()
}

/// The version of the engine at `host` (default: docker's own choice), or why there is no answer.
async fn server_version(docker: &Path, host: Option<&str>) -> Result<String, String> {
    let mut tool = Tool::new("ask for the engine's version", docker)
        .args(["version", "--format", "{{.Server.Version}}"])
        .limit(ANSWER_LIMIT);
    if let Some(host) = host {
        tool = tool.env("DOCKER_HOST", host);
    }
    match tool.run().await {
        Ok(version) => Ok(version.trim().to_owned()),
        Err(error) if error.outcome.contains(LATE) => Err(error.outcome.clone()),
        Err(error) => {
            Err(error.tail.lines().last().map_or(error.outcome.clone(), |line| line.trim().to_owned()))
        }
    }
}

fn advice() -> String {
    "Either start your Docker Engine (`sudo systemctl start docker`) and let your user reach it \
     (`sudo usermod -aG docker $USER`, then log in again), or install one on Debian or Ubuntu \
     (`sudo apt-get install docker.io iptables`), or run this command as root, which then starts a private one"
        .to_owned()
}
