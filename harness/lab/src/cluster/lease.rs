//! Who works with a cluster: a Lease in it, held by one run at a time, whatever host it is on.
//!
//! A run that finds another one's Lease is refused by that run's name. It takes over what has run out, and what a process of
//! this machine held that has ended.

mod record;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use record::Holder;
use record::Next;

/// Name of the Lease.
pub const NAME: &str = "meshproof";
/// Its namespace: there in every cluster, and never one that a run makes or removes.
pub const NAMESPACE: &str = "default";
/// Between two renewals.
const RENEWAL: Duration = Duration::from_secs(10);
/// How long a Lease that has run out is watched before it is taken, for clocks may differ.
const WATCHED: Duration = Duration::from_secs(15);

/// The cluster is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else works with it.
    #[error("{0}")]
    Held(String),
    /// No right to say that one works with it.
    #[error(
        "a run says in Lease {NAME} in {NAMESPACE} that it works with the cluster, and is not allowed to: {0}; it wants the verbs \
         get, create, update and delete for leases.coordination.k8s.io there"
    )]
    Denied(String),
    /// The API server could not be asked.
    #[error("taking Lease {NAME} in {NAMESPACE}: {0}")]
    Kube(Box<kube::Error>),
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::Denied(status.message.clone()),
            error => Self::Kube(Box::new(error)),
        }
    }
}

/// A Lease that is held, and renewed until it is given back or dropped.
#[derive(Debug)]
pub struct Held {
    api: Api<Lease>,
    holder: Holder,
    renewing: JoinHandle<()>,
}

/// Takes the cluster for a run. `lost` is cancelled if it can no longer be held: somebody else may work with it from then on.
///
/// # Errors
/// Another run works with it, or the API server does not let us.
pub async fn hold(client: &Client, run: &str, lost: CancellationToken) -> Result<Held, LeaseError> {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let holder = Holder::this(run);
    let lease = take(&api, &holder).await?;
    let renewing = tokio::spawn(renew(api.clone(), holder.clone(), lease, lost));
    Ok(Held { api, holder, renewing })
}

async fn take(api: &Api<Lease>, holder: &Holder) -> Result<Lease, LeaseError> {
    let mut watched: Option<(String, Instant)> = None;
    loop {
        let Some(current) = api.get_opt(NAME).await? else {
            match api.create(&PostParams::default(), &record::claim(None, holder)).await {
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => continue,
                made => return Ok(made?),
            }
        };
        let version = current.resource_version().unwrap_or_default();
        let next = match record::next(&current, holder, jiff::Timestamp::now(), record::is_alive) {
            // Not renewed while it was watched.
            Next::Watch(_)
                if watched
                    .as_ref()
                    .is_some_and(|(known, until)| *known == version && Instant::now() >= *until) =>
            {
                Next::Take
            }
            next => next,
        };
        match next {
            Next::Take => {
                match api.replace(NAME, &PostParams::default(), &record::claim(Some(&current), holder)).await
                {
                    // Somebody was quicker, or has given it back.
                    Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
                    taken => return Ok(taken?),
                }
            }
            Next::Refuse(why) => return Err(LeaseError::Held(why)),
            Next::Watch(limit) => {
                if watched.as_ref().is_none_or(|(known, _)| *known != version) {
                    watched = Some((version, Instant::now() + limit.max(WATCHED)));
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn renew(api: Api<Lease>, holder: Holder, mut lease: Lease, lost: CancellationToken) {
    let mut pace = interval(RENEWAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held = Instant::now();
    loop {
        pace.tick().await;
        match renewed(&api, &holder, &lease).await {
            Ok(Some(new)) => (lease, held) = (new, Instant::now()),
            Ok(None) => {
                eprintln!("another run has taken the cluster (Lease {NAME} in {NAMESPACE}): this one ends");
                return lost.cancel();
            }
            Err(error) if held.elapsed() < record::DURATION => {
                tracing::debug!(%error, "the Lease is not renewed yet");
            }
            Err(error) => {
                eprintln!(
                    "Lease {NAME} in {NAMESPACE} could not be renewed for {:?}, and this run ends: {error}",
                    record::DURATION
                );
                return lost.cancel();
            }
        }
    }
}

/// The Lease, renewed; nothing if it is not ours any more.
async fn renewed(api: &Api<Lease>, holder: &Holder, lease: &Lease) -> kube::Result<Option<Lease>> {
    match api.replace(NAME, &PostParams::default(), &record::claim(Some(lease), holder)).await {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
            // Somebody may have put a label on it, no more.
            let current = api.get_opt(NAME).await?.filter(|lease| record::is_held_by(lease, holder));
            let Some(current) = current else { return Ok(None) };
            api.replace(NAME, &PostParams::default(), &record::claim(Some(&current), holder)).await.map(Some)
        }
        Err(error) => Err(error),
    }
}

impl Held {
    /// Gives the cluster back.
    ///
    /// # Errors
    /// The API server could not be asked; the Lease runs out by itself.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        self.renewing.abort();
        // A renewal under way may have been cut off: what it wrote is read anew.
        let _ = (&mut self.renewing).await;
        let current = self.api.get_opt(NAME).await?.filter(|lease| record::is_held_by(lease, &self.holder));
        let Some(current) = current else { return Ok(()) };
        let (uid, resource_version) = (current.uid(), current.resource_version());
        let same = DeleteParams::default().preconditions(Preconditions { uid, resource_version });
        match self.api.delete(NAME, &same).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            given => Ok(given.map(drop)?),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

#[cfg(test)]
mod tests;
