//! Putting the parts together.

use std::path::PathBuf;
use std::time::Duration;

use alb_runtime::lease::{Election, LeaseConfig};
use alb_runtime::{Admin, Readiness};
use anyhow::Context;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::environment::{self, Facts, Names, Verdict, judge};
use crate::files::{self, Certificate};
use crate::metrics::Metrics;
use crate::publish::{Publication, Publisher, Target};
use crate::status::Status;

/// Longest time to wait for the API server's answer.
const LIMIT: Duration = Duration::from_secs(5);

/// What the extension must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names for lookups and messages.
    pub names: Names,
    /// This pod's name: our name in the election.
    pub pod: String,
    /// This pod's uid, so that `kubectl describe pod` shows our Events.
    pub pod_uid: Option<String>,
    /// Where the sidecar writes the certificate.
    pub certificates: PathBuf,
    /// The Secret to publish.
    pub secret: String,
    /// The election.
    pub lease: LeaseConfig,
}

/// Runs until `shutdown` is cancelled, then releases the Lease.
///
/// # Errors
/// When the Lease's durations are inconsistent.
pub async fn run(
    client: Client,
    settings: Settings,
    admin: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Settings { names, pod, pod_uid, certificates, secret, lease } = settings;
    let certificate = files::follow(certificates);
    let facts = environment::watch::facts(client.clone(), names.clone(), pod.clone());
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, certificate.clone());
    let (mut election, leadership) =
        Election::new(client.clone(), lease).context("setting up the election")?;
    election.register_metrics(&mut registry);
    let readiness = Readiness::new();
    let reporter = Reporter { controller: names.deployment.clone(), instance: Some(pod.clone()) };
    let pod = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(names.namespace.clone()),
        name: Some(pod),
        uid: pod_uid,
        ..ObjectReference::default()
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let status = Status::new(&readiness, metrics.clone(), recorder, pod);
    let blocker = readiness.block("identity-secret", "");
    blocker.clear();

    let last = CancellationToken::new();
    let admin = tokio::spawn(Admin::new(readiness, registry).serve(admin, last.clone()));
    let (publications, receiver) = watch::channel(None);
    let watching = tokio::spawn(watch_surroundings(facts, certificate, names.clone(), status, publications));
    let owner = owner(&client, &names, &shutdown).await;
    if let Some(owner) = &owner {
        election.set_owner(owner.clone());
    }
    let target = Target { namespace: names.namespace, name: secret, owner };
    let publisher = Publisher::new(client, target, leadership, receiver.clone(), metrics, blocker);
    stand(election, publisher, receiver, shutdown).await;
    watching.abort();
    last.cancel();
    admin.await.context("the admin server")
}

/// Judges, tells, and hands on what is to be published, whenever something changes.
async fn watch_surroundings(
    mut facts: watch::Receiver<Facts>,
    mut certificate: watch::Receiver<Certificate>,
    names: Names,
    mut status: Status,
    publications: watch::Sender<Option<Publication>>,
) {
    loop {
        let known = facts.borrow_and_update().clone();
        let files = certificate.borrow_and_update().clone();
        let now = Timestamp::now();
        let verdict = judge(&known, &names);
        let newest = files.identity.clone();
        #[cfg(feature = "faults")]
        let newest = crate::faults::identity(newest);
        let valid = newest.filter(|identity| identity.leaf.expires_after(now));
        let publication = match (&verdict, &valid) {
            (Verdict::Integrated(istio), Some(identity)) => {
                Some(Publication { identity: identity.clone(), istio: *istio })
            }
            _ => None,
        };
        publications.send_if_modified(|current| {
            let news = *current != publication;
            *current = publication;
            news
        });
        status.show(known.injection.as_ref(), &verdict, &files, now);
        let left = valid.map(|identity| identity.leaf.not_after.as_second() - now.as_second());
        let expiry = left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_secs);
        tokio::select! {
            // The watchers live as long as their receivers, so neither channel closes.
            _ = facts.changed() => {}
            _ = certificate.changed() => {}
            () = tokio::time::sleep(expiry.unwrap_or(Duration::MAX)), if expiry.is_some() => {}
        }
    }
}

/// Stands for election while there is something to publish: a replica without a valid certificate must not lead.
async fn stand(
    mut election: Election,
    mut publisher: Publisher,
    mut publications: watch::Receiver<Option<Publication>>,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            fit = publications.wait_for(Option::is_some) => if fit.is_err() { return },
        }
        let stop = CancellationToken::new();
        let electing = election.participate(&stop);
        let publishing = async {
            tokio::select! {
                () = publisher.run() => {}
                () = shutdown.cancelled() => {}
                _ = publications.wait_for(Option::is_none) => {}
            }
            // Nothing is written any more: another may lead.
            stop.cancel();
        };
        tokio::join!(electing, publishing);
    }
}

/// The Deployment, as the owner of the Secret and the Lease; `None` when it cannot be read, after a few tries.
async fn owner(client: &Client, names: &Names, shutdown: &CancellationToken) -> Option<OwnerReference> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &names.namespace);
    for pause in [0, 1, 2, 4] {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(pause)) => {}
        }
        match timeout(LIMIT, deployments.get_opt(&names.deployment)).await {
            Ok(Ok(deployment)) => {
                return deployment.and_then(|deployment| {
                    let uid = deployment.metadata.uid?;
                    Some(OwnerReference {
                        api_version: "apps/v1".to_owned(),
                        kind: "Deployment".to_owned(),
                        name: names.deployment.clone(),
                        uid,
                        ..OwnerReference::default()
                    })
                });
            }
            Ok(Err(error)) => tracing::warn!(%error, "reading our Deployment failed"),
            Err(_) => tracing::warn!("reading our Deployment: no answer within {LIMIT:?}"),
        }
    }
    tracing::warn!("the Secret and the Lease get no owner: they will stay when the extension is uninstalled");
    None
}

#[cfg(test)]
mod tests;
