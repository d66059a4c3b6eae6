//! Commands that end with whoever waits for them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use meshproof_run::ports::{PortError, ToolOutput};

/// Runs a command to its end. Dropping the future ends it, with all it has started: nothing goes on changing the cluster while
/// the scenario is being cleaned up.
///
/// # Errors
/// It cannot be started. An exit code other than 0 is an output.
pub(super) async fn output(
    command: duct::Expression,
    doing: impl Fn() -> String,
) -> Result<ToolOutput, PortError> {
    let since = Instant::now();
    let command = command.stdin_null().stdout_capture().stderr_capture().unchecked();
    let running = Running::start(&command).map_err(|error| PortError::new(doing(), error))?;
    let handle = running.0.clone();
    let output = tokio::task::spawn_blocking(move || handle.wait().cloned()).await;
    let output = output.map_err(|error| PortError::new(doing(), error))?;
    let output = output.map_err(|error| PortError::new(doing(), error))?;
    Ok(ToolOutput {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: since.elapsed(),
    })
}

/// A command under way, in a process group of its own: what a shell has started can only be ended together with it.
struct Running(Arc<duct::Handle>);

impl Running {
    fn start(command: &duct::Expression) -> io::Result<Self> {
        let grouped = command.before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
        Ok(Self(Arc::new(grouped.start()?)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The id of one that has ended may be somebody else's by now.
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        for group in self.0.pids() {
            let mut kill = Command::new("sh");
            kill.arg("-c").arg(format!("kill -s KILL -- -{group}"));
            kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Err(error) = kill.status() {
                tracing::warn!(%error, group, "commands may go on running");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// For a process to start or to end.
    const LIMIT: Duration = Duration::from_secs(20);

    /// Waits for what only looking tells.
    async fn until<T>(look: impl Fn() -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(seen) = look() {
                    return seen;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, looking).await.unwrap()
    }

    fn is_gone(pid: &str) -> bool {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        // Nobody may be there to reap it.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }

    #[tokio::test]
    async fn a_command_that_ends_tells_what_it_printed() {
        let command = duct::cmd!("sh", "-c", "echo out; echo err >&2; exit 3");
        let output = output(command, || "trying".into()).await.unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", "err\n"));
        let error = super::output(duct::cmd!("no-such-program-here"), || "trying".into()).await.unwrap_err();
        assert_eq!(error.doing, "trying");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_ends_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 600 & echo $! > new; mv new child; wait";
        let command = duct::cmd!("sh", "-c", script).dir(folder.path());
        let child = folder.path().join("child");
        let pid = tokio::select! {
            _ = output(command, || "sleeping".into()) => panic!("it ended by itself"),
            pid = until(|| std::fs::read_to_string(&child).ok()) => pid,
        };
        until(|| is_gone(pid.trim()).then_some(())).await;
    }
}
