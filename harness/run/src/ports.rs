//! What the runner needs of the outside, as traits: the real ones talk to a cluster, those of the tests are in process.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use serde_json::Value;

use crate::audit::Audited;
use crate::probe::{Answer, Ask};
use meshproof_model::event::{Diagnosis, Testimony};
use meshproof_model::implementation::LeaderElection;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::vantage::Vantage;

/// The outside could not do what was asked. Set-up trouble, never a verdict about the implementation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {seen}")]
pub struct PortError {
    /// What was being done.
    pub doing: String,
    /// What was seen instead of success: the API server's message, exit code and end of stderr.
    pub seen: String,
    /// What to do next.
    pub next: Option<String>,
}

impl PortError {
    /// An error without advice.
    pub fn new(doing: impl Into<String>, seen: impl ToString) -> Self {
        Self { doing: doing.into(), seen: seen.to_string(), next: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// What a call to the outside returns.
pub type PortFuture<'a, T> = BoxFuture<'a, Result<T, PortError>>;

/// Names a set of objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Their kind.
    pub kind: &'static Kind,
    /// Their namespace; nothing means cluster-wide.
    pub namespace: Option<String>,
    /// Only the one with this name.
    pub name: Option<String>,
}

/// What applying an object did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The object's uid.
    pub uid: String,
    /// Whether it did not exist before, or was left by an earlier run; if not, it was only given our fields.
    pub created: bool,
    /// What the API server said before it took the object, if it had to be offered more than once.
    pub refused: Option<String>,
}

/// Which object of a name is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The one with this uid, which this run has made.
    Made(&'a str),
    /// One that bears the label of this run or of one before.
    Marked,
    /// The same, or any one in a namespace that bears it.
    Within,
}

/// What came of deleting an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// There is no such object.
    NotThere,
    /// The one with this uid goes; finalizers may hold it.
    Going(String),
    /// It is somebody else's, or holds something that is, and is left alone: why.
    Left(String),
}

/// The API server's objects.
pub trait Objects: Send + Sync {
    /// Server-side apply, as field manager `meshproof`, with the run's label. An object that somebody else made is an error.
    fn apply<'a>(&'a self, id: &'a ObjectRef, object: &'a Value) -> PortFuture<'a, Applied>;
    /// Merge-patches an object that must exist; returns what it was before.
    fn patch<'a>(&'a self, id: &'a ObjectRef, patch: &'a Value) -> PortFuture<'a, Value>;
    /// Deletes an object if it is the one meant, by its uid. Does not wait for finalizers. A namespace that holds what somebody
    /// else made is left alone.
    fn delete<'a>(&'a self, id: &'a ObjectRef, whose: Whose<'a>) -> PortFuture<'a, Deleted>;
    /// Gives an object that literal commands of this run have made its label; returns its uid. Nothing if there is none, or
    /// another run has made it.
    fn adopt<'a>(&'a self, id: &'a ObjectRef) -> PortFuture<'a, Option<String>>;
    /// Ends the pods of a namespace that is going away at once: nobody waits for their grace period.
    fn end_pods<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, ()>;
    /// Does what it can so that namespaces that were deleted are gone soon. What holds them shows when they are waited for.
    fn finish<'a>(&'a self, namespaces: &'a [String]) -> PortFuture<'a, ()>;
    /// The complete set as it is now and after each change: a watch, fed by lists whenever it breaks. Never ends; an
    /// item is an error when the outside will not come back by itself.
    fn observe(&self, query: &Query) -> BoxStream<'static, Result<Vec<Value>, PortError>>;
}

/// A pod behind a Gateway's address, reached without the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its namespace and name, `namespace/name`.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// Where the harness reaches it, and nothing else.
    pub address: std::net::SocketAddr,
}

/// The replicas of the data plane behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicas {
    /// All that a Service sends connections to; at least one.
    Each(Vec<Replica>),
    /// They cannot be told apart from here, and why.
    Unknown(String),
}

/// Sends requests.
pub trait Requests: Send + Sync {
    /// Sends one request. No answer from the target is an [`Answer`] with a failure, not an error.
    fn send<'a>(&'a self, from: Vantage, ask: &'a Ask) -> PortFuture<'a, Answer>;
    /// Where the harness reaches the frontend of this name from outside the cluster; errors while it has no address.
    fn frontend<'a>(&'a self, fqdn: &'a str) -> PortFuture<'a, std::net::SocketAddr>;
    /// The pods that serve this port of the frontend of this name, each with an address of its own.
    fn replicas<'a>(&'a self, fqdn: &'a str, port: u16) -> PortFuture<'a, Replicas>;
}

/// What a witness may look at.
#[derive(Debug, Clone, Default)]
pub struct WitnessContext {
    /// Id of the scenario.
    pub scenario: String,
    /// Namespace of the Gateway.
    pub namespace: String,
    /// Namespace of the backend, if it is another one.
    pub backend_namespace: Option<String>,
    /// Name of the Gateway.
    pub gateway: String,
    /// The Gateway's FQDN.
    pub fqdn: String,
    /// Workload expected behind the gateway, e.g. `backend-v1`: its Service and Deployment have this name.
    pub backend: String,
    /// Path of the requests.
    pub path: String,
    /// The answers since the claim held; at least one.
    pub answers: Vec<Answer>,
    /// From when to when they were given, by the clock here; nothing while no claim holds.
    pub window: Option<(Timestamp, Timestamp)>,
}

impl WitnessContext {
    /// Namespace of the backend.
    pub fn namespace_of_backend(&self) -> &str {
        self.backend_namespace.as_deref().unwrap_or(&self.namespace)
    }
}

/// What the gateway itself says of one request: which hop answered and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its reason, e.g. `upstream_tls_handshake_failed`.
    pub reason: String,
    /// Pod it chose, if it came so far.
    pub upstream_pod: Option<String>,
}

/// A request in a gateway's own log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logged {
    /// Status the client was sent.
    pub status: u16,
    /// Why, in the gateway's word.
    pub reason: String,
}

/// Evidence that makes a claim trustworthy.
pub trait Witnesses: Send + Sync {
    /// Hears one witness by name (see [`crate::scenario::vocabulary::WITNESSES`]).
    fn hear<'a>(&'a self, witness: &'a str, context: &'a WitnessContext) -> PortFuture<'a, Testimony>;
    /// A Gateway's own account of each of these answers (access log by request id), the first of which was asked for
    /// `since` ago; nothing where it kept none.
    fn accounts<'a>(
        &'a self,
        gateway: &'a ObjectRef,
        answers: &'a [Answer],
        since: Duration,
    ) -> PortFuture<'a, Vec<Option<Account>>>;
    /// What those proxies of a Gateway that are Ready now have logged of requests for this path, which ended in the last
    /// `since`; nothing if they keep no log. An error if a log does not reach back so far.
    fn logged<'a>(
        &'a self,
        gateway: &'a ObjectRef,
        path: &'a str,
        since: Duration,
    ) -> PortFuture<'a, Option<Vec<Logged>>>;
    /// What the API server's audit log has of the last `since`: writes by pods, and of Leases. An error if a log that has to be
    /// there is not, or cannot be read.
    fn audited<'a>(&'a self, election: &'a LeaderElection, since: Duration) -> PortFuture<'a, Audited>;
}

/// What evidence is wanted.
#[derive(Debug, Clone, Default)]
pub struct EvidenceRequest {
    /// Id of the scenario.
    pub scenario: String,
    /// Index and name of the step that did not end well.
    pub step: usize,
    /// Its word.
    pub word: String,
    /// Its name.
    pub name: String,
    /// What was expected and seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// The scenario's own namespace.
    pub namespace: String,
    /// The object that the claim is about, if it is about one; of a claim about pods, their namespace.
    pub about: Option<ObjectRef>,
    /// Namespaces the scenario touched.
    pub namespaces: Vec<String>,
    /// The gateway claim concerned, if it was one (its answers are those before the failure).
    pub witness: Option<WitnessContext>,
    /// Requests: the status that was expected.
    pub expected_status: Option<u16>,
    /// Requests: the reason that the gateway was to give for it.
    pub expected_reason: Option<String>,
    /// The witness that did not bear the claim out, if it was that.
    pub against: Option<String>,
    /// What was seen, structured, if the claim tells it so.
    pub detail: Value,
    /// When the step began (RFC 3339).
    pub since: String,
    /// When the scenario began (RFC 3339).
    pub scenario_since: String,
    /// Objects that the steps before have deleted, in words.
    pub deleted: Vec<String>,
    /// Where to write.
    pub directory: PathBuf,
}

/// What was collected.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Files written, relative to the directory.
    pub files: Vec<PathBuf>,
    /// The cause, if the evidence names one.
    pub diagnosis: Option<Diagnosis>,
    /// What could not be collected, and why.
    pub missing: Vec<String>,
}

/// Collects evidence of a failure, before any clean-up.
pub trait EvidenceCollector: Send + Sync {
    /// Collects all it can; what it cannot get is listed, not an error.
    fn collect<'a>(&'a self, request: &'a EvidenceRequest) -> BoxFuture<'a, Evidence>;
}

/// How to install the implementation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstallRequest {
    /// Overrides of chart values, as the scenario gives them: an object.
    pub values: Value,
    /// Also install the service-mesh extension.
    pub without_extension: bool,
    /// Only these releases; all if empty.
    pub only: Vec<String>,
    /// Namespace of the releases instead of the document's.
    pub namespace: Option<String>,
    /// Wait until its pods are ready, as `helm install --wait` does.
    pub wait: bool,
    /// The edition of the document that it is to follow.
    pub edition: String,
}

/// Installs and removes the gateway under test.
pub trait Installer: Send + Sync {
    /// Installs with helm; returns a line per release.
    fn install<'a>(&'a self, request: &'a InstallRequest) -> PortFuture<'a, Vec<String>>;
    /// Makes sure that it is installed with its own values, to follow an edition of the document, and ready; returns a line per
    /// release, as if it had just been installed.
    fn ensure<'a>(&'a self, edition: &'a str) -> PortFuture<'a, Vec<String>>;
    /// Uninstalls every release of the implementation and waits until nothing of it is left; says what was there.
    fn uninstall<'a>(&'a self) -> PortFuture<'a, Vec<String>>;
}

/// How to install Istio's control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshRequest {
    /// Namespace of istiod.
    pub namespace: String,
    /// Its revision; nothing for the default one.
    pub revision: Option<String>,
    /// Its version, by key or number (see [`meshproof_model::istio`]); nothing for that of the cluster.
    pub version: Option<String>,
}

/// Istio's control plane, for scenarios that begin without one.
pub trait Mesh: Send + Sync {
    /// Makes sure that these versions can be installed: built or pulled, and in every node.
    fn provide<'a>(&'a self, versions: &'a [String]) -> PortFuture<'a, ()>;
    /// Installs it with istioctl and waits until it injects; returns a line about it.
    fn install<'a>(&'a self, request: &'a MeshRequest) -> PortFuture<'a, String>;
    /// Removes every control plane, its namespaces and its definitions.
    fn uninstall<'a>(&'a self, namespaces: &'a [String]) -> PortFuture<'a, ()>;
    /// Replaces the root of the control plane in this namespace while everything runs; returns a line about each stage.
    fn rotate_root<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, Vec<String>>;
    /// Goes back to the root that it has made itself.
    fn restore_root<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, ()>;
}

/// What happens to machines and processes without anybody asking the API server.
pub trait Machines: Send + Sync {
    /// Ends every process of a running pod's own containers at once (SIGKILL, sidecars included); its object, too, if it is to
    /// be gone.
    fn kill<'a>(&'a self, namespace: &'a str, pod: &'a str, gone: bool) -> PortFuture<'a, ()>;
    /// Takes the power from a node.
    fn stop<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()>;
    /// Ends what the other nodes know of connections to the pods of a stopped node.
    fn forget<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()>;
    /// Starts a stopped node again and waits until it is Ready.
    fn start<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()>;
}

/// A command-line tool that talks to the cluster of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The kubectl of the cluster's version.
    Kubectl,
    /// helm.
    Helm,
}

/// What a tool did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

/// Commands as a person would type them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The commands.
    pub text: String,
    /// Files beside them: name and content.
    pub files: Vec<(String, String)>,
}

/// Runs kubectl and helm against the cluster of the run.
pub trait Tools: Send + Sync {
    /// Runs a tool; an exit code other than 0 is an output, not an error.
    fn run<'a>(&'a self, tool: Tool, args: &'a [String]) -> PortFuture<'a, ToolOutput>;
    /// Runs commands in a shell where kubectl and helm are those of the run, and know its cluster; the exit code is that of
    /// the last one.
    fn shell<'a>(&'a self, script: &'a Script) -> PortFuture<'a, ToolOutput>;
}
