//! Commands in containers (`kubectl exec`).

use std::time::Duration;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api, Client,
    api::{AttachParams, AttachedProcess},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A command in a container could not be run, or failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: `{command}` in {pod} failed: {reason}")]
pub struct ExecError {
    /// What was being done.
    pub doing: String,
    /// The command line.
    pub command: String,
    /// `namespace/pod`.
    pub pod: String,
    /// Exit status and what it wrote to stderr.
    pub reason: String,
}

/// What a command wrote and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output, at most [`LIMIT`] bytes.
    pub stdout: String,
    /// Standard error, at most [`LIMIT`] bytes.
    pub stderr: String,
    /// Why it counts as failed (`command terminated with exit code 1`); `None` when it exited with 0.
    pub failure: Option<String>,
}

/// Output is read up to this many bytes: an Envoy config dump of a small mesh has one or two MB.
pub const LIMIT: u64 = 16 * 1024 * 1024;

/// Runs `command` in a container and waits for its end.
///
/// # Errors
/// When the API server refuses, the container cannot run it, or it does not end within `timeout`. A
/// command that ends badly is an [`Output`] with a failure.
pub async fn run(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    command: &[&str],
    timeout: Duration,
) -> Result<Output, ExecError> {
    let failed = |reason: String| failed(namespace, pod, container, command, reason);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = AttachParams::default()
        .container(container)
        .stdin(false)
        .stdout(true)
        .stderr(true)
        .max_stdout_buf_size(64 * 1024);
    let whole = async {
        let process =
            pods.exec(pod, command.iter().copied(), &parameters).await.map_err(|e| failed(e.to_string()))?;
        finish(process).await.map_err(failed)
    };
    match tokio::time::timeout(timeout, whole).await {
        Ok(output) => output,
        Err(_) => Err(failed(format!("no end within {timeout:?}"))),
    }
}

/// Runs `command` and returns what it wrote to stdout.
///
/// # Errors
/// As [`run`], and when the command ends badly.
pub async fn stdout(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    command: &[&str],
    timeout: Duration,
) -> Result<String, ExecError> {
    let output = run(client, namespace, pod, container, command, timeout).await?;
    match output.failure {
        None => Ok(output.stdout),
        Some(failure) => {
            let reason = format!("{failure}; it wrote to stderr: {}", output.stderr.trim());
            Err(failed(namespace, pod, container, command, reason))
        }
    }
}

fn failed(namespace: &str, pod: &str, container: &str, command: &[&str], reason: String) -> ExecError {
    ExecError {
        doing: "running a command in a container".into(),
        command: command.join(" "),
        pod: format!("{namespace}/{pod} ({container})"),
        reason,
    }
}

async fn finish(mut process: AttachedProcess) -> Result<Output, String> {
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    // The status comes last; without one the stream broke before the command ended.
    let status = status.ok_or("the stream to the container ended without an exit status")?;
    Ok(Output { stdout: stdout?, stderr: stderr?, failure: failure_of(&status) })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Result<String, String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream
            .take(LIMIT)
            .read_to_end(&mut bytes)
            .await
            .map_err(|error| format!("reading its output: {error}"))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn failure_of(status: &Status) -> Option<String> {
    if status.status.as_deref() == Some("Success") {
        return None;
    }
    let words = status.message.as_deref().or(status.reason.as_deref());
    Some(words.unwrap_or("ended without saying how").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_no_failure_and_anything_else_is_one() {
        let status = |status: &str, message: Option<&str>| Status {
            status: Some(status.into()),
            message: message.map(Into::into),
            ..Status::default()
        };
        assert_eq!(failure_of(&status("Success", None)), None);
        let said = "command terminated with non-zero exit code: exit status 1";
        assert_eq!(failure_of(&status("Failure", Some(said))).as_deref(), Some(said));
        assert!(failure_of(&Status::default()).is_some());
    }
}
