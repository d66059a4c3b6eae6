//! External programs: run to the end, with a time limit, and with an error that explains itself.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

/// How much of a program's last output an error quotes.
const TAIL_BYTES: u64 = 2_000;

/// A program did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CommandError(#[from] Box<Failure>);

impl std::ops::Deref for CommandError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

/// What is known about a failed run.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: `{argv}` {outcome} after {elapsed:.1?}{advice}{tail}")]
pub struct Failure {
    /// What was being done, for people.
    pub doing: String,
    /// The command line, shortened when very long.
    pub argv: String,
    /// What became of it: an exit status, a missing program, a time limit.
    pub outcome: String,
    /// How long it ran.
    pub elapsed: Duration,
    /// The end of its output, indented; empty when there was none.
    pub tail: String,
    /// Where all of its output is, if it was kept.
    pub advice: String,
}

/// What programs say that wanted to download something and could reach nobody: Go, cargo, git, pip, apt, debootstrap, docker.
const NOBODY_ANSWERED: [&str; 12] = [
    "no such host",
    "server misbehaving",
    "network is unreachable",
    "Network is unreachable",
    "connect: connection refused",
    "i/o timeout",
    "module lookup disabled",
    "Could not resolve host",
    "Could not connect to server",
    "Temporary failure in name resolution",
    "Temporary failure resolving",
    "Failed to establish a new connection",
];

impl Failure {
    /// Whether it failed because nothing answers from this host.
    pub fn lacks_network(&self) -> bool {
        NOBODY_ANSWERED.iter().any(|words| self.tail.contains(words))
    }
}

/// One run of an external program.
#[derive(Debug, Clone)]
pub struct Tool {
    doing: String,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    log: Option<PathBuf>,
    stdin: Option<PathBuf>,
    limit: Option<Duration>,
    contained: bool,
}

impl Tool {
    /// A run of `program`; `doing` says what for ("compile kubernetes").
    pub fn new(doing: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        Self {
            doing: doing.into(),
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            log: None,
            stdin: None,
            limit: None,
            contained: false,
        }
    }

    /// Ends the program, and as root all it started, when this process ends, however it ends: nothing it
    /// mounts stays mounted, and nobody goes on compiling or writing into a cache that is being repaired.
    #[must_use]
    pub fn contained(mut self) -> Self {
        self.contained = true;
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Appends everything the program prints to this file instead of returning it.
    #[must_use]
    pub fn log(mut self, log: impl Into<PathBuf>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// Feeds a file to the program's standard input.
    #[must_use]
    pub fn stdin(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdin = Some(file.into());
        self
    }

    /// Ends the program after this time.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs it; returns its standard output (empty with [`Tool::log`]). Dropping the future ends the program.
    ///
    /// # Errors
    /// The program is missing, failed, or exceeded its time limit.
    pub async fn run(&self) -> Result<String, CommandError> {
        let since = Instant::now();
        let (start, mut command) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(error) => {
                return Err(self.error(format!("could not be prepared: {error}"), since, String::new()));
            }
        };
        // Not `output()`, which would take the log's place.
        let running = async move { command.spawn()?.wait_with_output().await };
        let output = match self.limit {
            None => running.await,
            Some(limit) => match tokio::time::timeout(limit, running).await {
                Ok(output) => output,
                Err(_) => {
                    let tail = self.logged_tail(start);
                    return Err(self.error(format!("exceeded its limit of {limit:.0?}"), since, tail));
                }
            },
        };
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                return Err(self.error(format!("could not be started: {error}"), since, String::new()));
            }
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let tail = if self.log.is_some() {
            self.logged_tail(start)
        } else {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            last_bytes(&text).to_owned()
        };
        Err(self.error(format!("ended with {}", output.status), since, tail))
    }

    /// Starts it; what it prints is to be read from the pipes of the child, whose end ends it.
    ///
    /// # Errors
    /// The program is missing.
    pub fn start(&self) -> Result<Child, CommandError> {
        let since = Instant::now();
        self.prepare()
            .and_then(|(_, mut command)| command.spawn())
            .map_err(|error| self.error(format!("could not be started: {error}"), since, String::new()))
    }

    fn prepare(&self) -> std::io::Result<(u64, Command)> {
        let mut command = self.command();
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        if let Some(file) = &self.stdin {
            command.stdin(std::fs::File::open(file)?);
        }
        let mut start = 0;
        if let Some(log) = &self.log {
            if let Some(parent) = log.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
            start = file.metadata()?.len();
            command.stdout(file.try_clone()?).stderr(file);
        }
        Ok((start, command))
    }

    fn command(&self) -> Command {
        if !self.contained || on_path("setpriv").is_none() {
            return Command::new(&self.program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if is_root() && on_path("unshare").is_some() {
            command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
            command.args(["--propagation", "private"]);
        }
        command.arg(&self.program);
        command
    }

    fn logged_tail(&self, start: u64) -> String {
        let Some(log) = &self.log else { return String::new() };
        read_tail(log, start).unwrap_or_default()
    }

    fn error(&self, outcome: String, since: Instant, tail: String) -> CommandError {
        let mut argv = self.program.to_string_lossy().into_owned();
        for arg in &self.args {
            argv.push(' ');
            argv.push_str(&arg.to_string_lossy());
        }
        if argv.chars().count() > 400 {
            argv = argv.chars().take(400).chain("…".chars()).collect();
        }
        let mut indented = String::new();
        for line in tail.lines() {
            let _ = write!(indented, "\n    {line}");
        }
        CommandError::from(Box::new(Failure {
            doing: self.doing.clone(),
            argv,
            outcome,
            elapsed: since.elapsed(),
            tail: indented,
            advice: self
                .log
                .as_ref()
                .map(|log| format!(" (all of its output: {})", log.display()))
                .unwrap_or_default(),
        }))
    }
}

fn read_tail(log: &Path, start: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_bytes(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL_BYTES as usize);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of a process's own directory is its effective user.
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The first program of this name on `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_returned() {
        let out = Tool::new("greet", "sh").args(["-c", "echo hello"]).run().await.unwrap();
        assert_eq!(out, "hello\n");
    }

    #[tokio::test]
    async fn a_failure_tells_command_status_and_last_output() {
        let error = Tool::new("try", "sh").args(["-c", "echo broken >&2; exit 3"]).run().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("try: `sh -c"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.contains("broken"), "{text}");
    }

    #[tokio::test]
    async fn that_nobody_answered_is_told_from_other_failures() {
        let failed = async |said: &str| {
            let tool = Tool::new("download", "sh").args(["-c", &format!("echo '{said}' >&2; exit 1")]);
            crate::supply::SupplyError::from(tool.run().await.unwrap_err())
        };
        let offline = failed("dial tcp: lookup proxy.example on [::1]:53: no such host").await;
        assert!(offline.is_unfit_host() && offline.to_string().contains("MESHPROOF_CACHE"), "{offline}");
        let broken = failed("main.go:3:1: syntax error").await;
        assert!(!broken.is_unfit_host() && !broken.to_string().contains("MESHPROOF_CACHE"), "{broken}");
    }

    #[tokio::test]
    async fn a_failure_quotes_the_log_of_this_run_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/tool.log");
        let run = |script: &'static str| Tool::new("log", "sh").args(["-c", script]).log(&log);
        run("echo earlier").run().await.unwrap();
        let error = run("echo later; exit 1").run().await.unwrap_err();
        assert!(error.tail.contains("later") && !error.tail.contains("earlier"), "{error}");
        assert!(error.to_string().contains("tool.log"));
    }

    #[tokio::test]
    async fn a_time_limit_ends_the_program() {
        let error =
            Tool::new("wait", "sleep").arg("60").limit(Duration::from_millis(50)).run().await.unwrap_err();
        assert!(error.outcome.contains("limit"), "{error}");
    }

    #[tokio::test]
    async fn a_contained_program_behaves_as_any_other() {
        let out = Tool::new("greet", "sh").args(["-c", "echo hello"]).contained().run().await.unwrap();
        assert_eq!(out, "hello\n");
        let error = Tool::new("fail", "sh").args(["-c", "exit 7"]).contained().run().await.unwrap_err();
        assert!(error.outcome.contains('7'), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Tool::new("nothing", "no-such-program-here").run().await.unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
    }
}
