//! Evidence that makes a claim trustworthy: a status code alone proves little.
//!
//! | witness | question |
//! |---|---|
//! | `clear-text-refused` | does the pod refuse a clear-text client outside the mesh? (R21) |
//! | `clear-text-answered` | does the pod answer one? |
//! | `mtls-from-extension` | did gateway *and* sidecar see mutual TLS with the gateway's identity? (R5, R17, R18) |
//! | `tls-without-istio-alpn-refused` | is every 503 what came of TLS that the backend's side did not understand? (R45) |
//! | `never-clear-text` | did the gateway try nothing but mutual TLS, as the program behind the sidecar bears out? (R18) |
//! | `issued-by-istio` | does that identity chain to istiod's root? (R2, R5) |
//! | `issued-by-new-root` | do both sides show certificates under the root plugged into Istio, and not the one before? (R2, R5) |
//! | `newest-certificate` | do new connections carry the certificate that is published now? (R2, R5) |
//! | `clear-text-to-backend` | do gateway *and* backend say that no TLS was spoken? (R19) |
//! | `verified-tls-to-backend` | do gateway *and* backend say that TLS was, with the name the BackendTLSPolicy asks for? (R19) |
//! | `certificate-on-the-wire` | did every proxy show a server in the mesh a certificate of Istio's, the newest? (R2, R5) |
//! | `server-certificate-refused` | did each 503 come of a TLS handshake that the gateway broke off? (R18) |
//! | `nothing-made-by-hand` | is there no certificate, CA or policy a user would have had to make? (R2, R6) |
//!
//! Of a gateway that keeps no log that can be read, `mtls-from-extension` and `tls-without-istio-alpn-refused` stand for
//! `never-clear-text`: they need no word of the gateway's.
//!
//! Beside them the audit log of the API server tells who wrote what (see [`crate::audit`]).
//!
//! Each witness gathers what it needs and hands it to a pure judgement, which is what the tests are about.

mod audit;
mod backend;
mod backend_tls;
mod clear_text;
mod hand_made;
mod issued;
mod logged;
mod mtls;
mod never_clear_text;
mod newest;
mod program;
mod server_refused;
mod sidecar;
mod tls_refused;
mod wire;

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::RwLock;

pub use self::backend::BackendPod;
pub use crate::mesh::SidecarEntry;
use crate::mesh::{self, LogForm, Mesh, whole::Does};
use crate::probe::{Prober, ProxyLogs};
use meshproof_model::event::Testimony;
use meshproof_model::implementation::{Implementation, LeaderElection};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_run::audit::Audited;
use meshproof_run::ports::{Account, Logged, PortError, PortFuture, WitnessContext, Witnesses};
use meshproof_run::probe::{AccessLogEntry, Answer};

/// How far back an answer's access log line may lie.
const RECENT: Duration = Duration::from_secs(120);

/// How long an access log line may take from the proxy's stdout to the API server.
const LOG_DELAY: Duration = Duration::from_secs(5);

/// What tells of each answer, in a sidecar's access log, over which connection it came and who called.
const WHO_CALLED: &[&str] = &[
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_PEER_URI_SAN",
    // Behind a port of which Istio knows no protocol a connection is known by its own end, behind an HTTP port a request by its id.
    "UPSTREAM_LOCAL_ADDRESS",
    "REQ(X-REQUEST-ID)",
];

/// Envoy's command operators that a sidecar's access log has to hold, or a witness has nothing to look at; also whether there is
/// constant traffic in the scenario.
pub(crate) fn needs_of_access_log(witness: &str, traffic: bool) -> &'static [&'static str] {
    match witness {
        // A policy shows it as well, but may cost connections that are counted.
        mtls::NAME if traffic => WHO_CALLED,
        newest::NAME => &[
            "START_TIME",
            "DOWNSTREAM_REMOTE_ADDRESS",
            "DOWNSTREAM_TLS_VERSION",
            "DOWNSTREAM_PEER_URI_SAN",
            "DOWNSTREAM_PEER_SERIAL",
        ],
        _ => &[],
    }
}

/// The witnesses that are heard in the place of one, where the gateway keeps no log that can be read.
pub(crate) fn without_the_gateways_log(witness: &str) -> &'static [&'static str] {
    match witness {
        never_clear_text::NAME => &[mtls::NAME, tls_refused::NAME],
        _ => &[],
    }
}

/// What a policy for the whole mesh must not do, or a witness is not heard for the gateway's sake.
pub(crate) fn needs_of_policies(witness: &str) -> Option<Does> {
    match witness {
        clear_text::ANSWERED | tls_refused::NAME | never_clear_text::NAME => Some(Does::Strict),
        hand_made::NAME => Some(Does::TellsTls),
        _ => None,
    }
}

/// Envoy's command operators that a witness needs as well where the backend's port is named after HTTP: the sidecar itself then
/// turns TLS without an Istio ALPN away, and the program behind it knows nothing of it.
pub(crate) fn needs_of_access_log_on_http(witness: &str) -> &'static [&'static str] {
    match witness {
        tls_refused::NAME => {
            &["START_TIME", "DOWNSTREAM_REMOTE_ADDRESS", "RESPONSE_FLAGS", "UPSTREAM_LOCAL_ADDRESS"]
        }
        _ => &[],
    }
}

/// Witnesses that ask a cluster.
pub struct ClusterWitnesses {
    client: Client,
    prober: Arc<Prober>,
    implementation: Arc<Implementation>,
    /// The cluster is one that meshproof has made.
    own: bool,
    /// Witnesses are heard side by side, but for one that lays down a policy: what the others see would come of that.
    policy: RwLock<()>,
}

impl ClusterWitnesses {
    /// Witnesses of the cluster of `client`, which is `own` if meshproof has made it.
    pub fn new(client: Client, prober: Arc<Prober>, implementation: Arc<Implementation>, own: bool) -> Self {
        Self { client, prober, implementation, own, policy: RwLock::new(()) }
    }

    /// The gateway's access log, if it keeps one.
    fn logs(&self, namespace: &str, gateway: &str) -> Option<ProxyLogs> {
        ProxyLogs::of(&self.client, &self.implementation.proxies, namespace, gateway)
    }

    /// The control plane that is responsible for the backend.
    async fn mesh(&self, context: &WitnessContext) -> Result<Option<Mesh>, PortError> {
        let found = mesh::of_namespace(&self.client, context.namespace_of_backend()).await;
        found.map_err(|error| PortError::new("looking for the mesh's settings", Chain(&error)))
    }

    async fn hear(&self, witness: &str, context: &WitnessContext) -> Result<Testimony, PortError> {
        let beside_others = self.policy.read().await;
        let logs = self.logs(&context.namespace, &context.gateway);
        match witness {
            clear_text::REFUSED | clear_text::ANSWERED => {
                let form = self.mesh(context).await?.map_or(LogForm::Off, |mesh| mesh.access_log.form);
                clear_text::hear(&self.client, &self.prober, &form, witness, context).await
            }
            backend_tls::CLEAR_TEXT | backend_tls::VERIFIED_TLS => {
                backend_tls::hear(&self.client, logs, witness, context).await
            }
            mtls::NAME | newest::NAME => {
                let Some(mesh) = self.mesh(context).await? else {
                    return Ok(nothing_to_see(witness, "there is no istiod: nobody vouches for identities"));
                };
                let Some(spiffe_id) = self.implementation.identity_of(&context.namespace, &context.gateway)
                else {
                    return Ok(nothing_to_see(witness, NO_IDENTITY));
                };
                let outside =
                    mtls::Outside { client: &self.client, prober: &self.prober, logs, mesh, spiffe_id };
                let told = WHO_CALLED.iter().all(|operator| outside.mesh.access_log.form.has(operator));
                match witness {
                    newest::NAME => newest::hear(&outside, &self.implementation, context).await,
                    _ if told => mtls::hear(&outside, context).await,
                    _ => {
                        drop(beside_others);
                        let _alone = self.policy.write().await;
                        mtls::by_policy::hear(&outside, context).await
                    }
                }
            }
            issued::new_root::NAME => {
                issued::new_root::hear(&self.client, &self.implementation, context).await
            }
            issued::NAME => issued::hear(&self.client, &self.implementation, context).await,
            hand_made::NAME => hand_made::hear(&self.client, &self.implementation, context).await,
            tls_refused::NAME => {
                let mesh = self.mesh(context).await?;
                // Without Istio nothing but the programs tells.
                let form = mesh.map_or(LogForm::Off, |mesh| mesh.access_log.form);
                let proxies = &self.implementation.proxies;
                tls_refused::hear(&self.client, &self.prober, proxies, &form, context).await
            }
            server_refused::NAME => {
                server_refused::hear(&self.client, &self.implementation.proxies, context).await
            }
            wire::NAME => wire::hear(&self.client, &self.implementation, context).await,
            never_clear_text::NAME => match logs {
                Some(logs) => never_clear_text::hear(&self.client, logs, context).await,
                None => {
                    drop(beside_others);
                    self.by_the_backends_side(witness, context).await
                }
            },
            other => Err(PortError::new(format!("hearing witness {other}"), "there is no such witness")),
        }
    }

    /// Of a gateway that keeps no log that can be read the backend's side alone tells whether it spoke clear text: the sidecar for
    /// what was answered 200, the program behind it for every 503.
    async fn by_the_backends_side(
        &self,
        witness: &str,
        context: &WitnessContext,
    ) -> Result<Testimony, PortError> {
        let answers = context.answers.iter().map(|answer| answer.status);
        let Some(other) = never_clear_text::on_the_backends_side(answers) else {
            let why =
                "the gateway keeps no log that can be read, and its answers are neither all 200 nor all 503";
            return Ok(nothing_to_see(witness, why));
        };
        // On the heap: it asks for itself.
        let heard = Box::pin(self.hear(other, context)).await?;
        Ok(Testimony { witness: witness.to_owned(), ..heard })
    }

    async fn accounts(
        &self,
        gateway: &ObjectRef,
        answers: &[Answer],
        since: Duration,
    ) -> Result<Vec<Option<Account>>, PortError> {
        let Some(logs) = self.logs(gateway.namespace.as_deref().unwrap_or_default(), &gateway.name) else {
            return Ok(vec![None; answers.len()]);
        };
        let ids: Vec<_> = answers.iter().map(Answer::logged_as).collect();
        let wanted: Vec<_> = ids.iter().flatten().cloned().collect();
        let entries = logs.accounts(&wanted, since + LOG_DELAY, LOG_DELAY).await?;
        let account = |entry: &AccessLogEntry| Account {
            reason: entry.reason.clone(),
            upstream_pod: entry.upstream_pod.clone(),
        };
        Ok(ids.iter().map(|id| entries.get(id.as_ref()?).map(account)).collect())
    }

    async fn logged(
        &self,
        gateway: &ObjectRef,
        path: &str,
        since: Duration,
    ) -> Result<Option<Vec<Logged>>, PortError> {
        let namespace = gateway.namespace.as_deref().unwrap_or_default();
        let Some(logs) = self.logs(namespace, &gateway.name) else { return Ok(None) };
        let began = Timestamp::now() - since;
        let living = logs.of_the_living().await?;
        logged::requests(&living, &format!("{namespace}/{}", gateway.name), path, began).map(Some)
    }
}

impl Witnesses for ClusterWitnesses {
    fn hear<'a>(&'a self, witness: &'a str, context: &'a WitnessContext) -> PortFuture<'a, Testimony> {
        Self::hear(self, witness, context).boxed()
    }

    fn accounts<'a>(
        &'a self,
        gateway: &'a ObjectRef,
        answers: &'a [Answer],
        since: Duration,
    ) -> PortFuture<'a, Vec<Option<Account>>> {
        Self::accounts(self, gateway, answers, since).boxed()
    }

    fn logged<'a>(
        &'a self,
        gateway: &'a ObjectRef,
        path: &'a str,
        since: Duration,
    ) -> PortFuture<'a, Option<Vec<Logged>>> {
        Self::logged(self, gateway, path, since).boxed()
    }

    fn audited<'a>(&'a self, _: &'a LeaderElection, since: Duration) -> PortFuture<'a, Audited> {
        audit::read(&self.client, self.own, since).boxed()
    }
}

/// An error with what it comes from.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |source| write!(f, ": {}", Chain(source)))
    }
}

/// A testimony.
fn testimony(witness: &str, held: bool, summary: impl Into<String>, detail: Value) -> Testimony {
    Testimony { witness: witness.into(), held, summary: summary.into(), detail }
}

/// Of a gateway that has not joined the mesh.
const NO_IDENTITY: &str = "its file says that the gateway shows no identity to the mesh (`identity: none`)";

/// A testimony that does not hold because something is missing.
fn nothing_to_see(witness: &str, summary: impl Into<String>) -> Testimony {
    testimony(witness, false, summary, json!(null))
}

/// An error of the API server while `doing` something.
fn trouble(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> PortError {
    move |error| PortError::new(doing, error)
}
