//! The election itself: reads and writes of the Lease around the rules of [`super::record`].

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Leadership;
use super::config::{LeaseConfig, LeaseConfigError};
use super::record::{self, Next, Observation};

/// One participant. Made by [`Election::new`], driven by [`Election::run`].
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    config: LeaseConfig,
    leadership: Leadership,
    observed: Observation,
    metrics: Metrics,
}

#[derive(Clone, Debug, Default)]
struct Metrics {
    leader: Gauge,
    transitions: Counter,
}

/// Why a leader no longer leads.
#[derive(Debug, PartialEq)]
enum End {
    Shutdown,
    Lost(String),
}

/// What one try to write the Lease came to.
enum Attempt {
    Won(Box<Lease>),
    Held {
        until: Instant,
    },
    /// Somebody wrote the Lease between our read and our write.
    Raced,
    Failed(String),
}

impl Election {
    /// A participant in the election of `config`, and the handle that tells how it goes.
    ///
    /// # Errors
    /// When the durations would let two leaders overlap.
    pub fn new(client: Client, config: LeaseConfig) -> Result<(Self, Leadership), LeaseConfigError> {
        config.validate()?;
        Ok(Self::unchecked(client, config))
    }

    /// Without the check of the durations: tests show with it what the check prevents.
    pub(super) fn unchecked(client: Client, config: LeaseConfig) -> (Self, Leadership) {
        let api = Api::namespaced(client, &config.namespace);
        let leadership = Leadership::new(&config);
        let election = Self {
            api,
            config,
            leadership: leadership.clone(),
            observed: Observation::default(),
            metrics: Metrics::default(),
        };
        (election, leadership)
    }

    /// Sets [`LeaseConfig::owner`], where it is known only later.
    pub fn set_owner(&mut self, owner: OwnerReference) {
        self.config.owner = Some(owner);
    }

    /// Adds `leader` (1 while this process leads) and `leader_transitions_total` (times it began to).
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register("leader", "1 while this process holds the Lease", self.metrics.leader.clone());
        registry.register(
            "leader_transitions",
            "Times this process began to lead",
            self.metrics.transitions.clone(),
        );
    }

    /// Takes part until `shutdown` is cancelled; then, if it leads, stops leading and releases the Lease.
    ///
    /// Cancel `shutdown` when everything that acts as leader has stopped: another takes over within milliseconds.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.participate(&shutdown).await;
    }

    /// As [`Self::run`], but another round can follow: for programs that stand only while they are fit to lead.
    pub async fn participate(&mut self, shutdown: &CancellationToken) {
        let mut watching =
            pin!(watch_holder(self.api.clone(), self.config.name.clone(), self.leadership.clone()));
        let mut electing = pin!(self.elect(shutdown));
        // The watch only hastens; it never ends by itself, and must not outlive the election.
        tokio::select! {
            () = &mut electing => {}
            () = &mut watching => electing.await,
        }
    }

    async fn elect(&mut self, shutdown: &CancellationToken) {
        loop {
            let Some((lease, until)) = self.stand_by(shutdown).await else { return };
            tracing::info!(lease = %self.config.name, identity = %self.config.identity, "leading");
            self.leadership.set_holder(Some(&self.config.identity));
            self.leadership.lead_until(until);
            self.metrics.leader.set(1);
            self.metrics.transitions.inc();
            let (end, last) = self.lead(lease, until, shutdown).await;
            self.leadership.stop();
            self.metrics.leader.set(0);
            match end {
                End::Shutdown => return self.release(last).await,
                End::Lost(reason) => {
                    tracing::warn!(lease = %self.config.name, identity = %self.config.identity, reason, "no longer leading");
                }
            }
        }
    }

    /// Tries to take the Lease until that succeeds; `None` on shutdown.
    async fn stand_by(&mut self, shutdown: &CancellationToken) -> Option<(Lease, Instant)> {
        let mut holder = self.leadership.state.holder.subscribe();
        let mut complained = false;
        loop {
            holder.mark_unchanged();
            let started = Instant::now();
            let deadline = started + self.config.renew_deadline;
            let attempt = tokio::select! {
                () = shutdown.cancelled() => return None,
                attempt = timeout_at(started + self.request_limit(), self.try_acquire()) => attempt,
            };
            let mut wake = Instant::now() + self.pause();
            match attempt.unwrap_or_else(|_| Attempt::Failed(self.no_answer())) {
                Attempt::Won(lease) if Instant::now() < deadline => return Some((*lease, deadline)),
                // Answered too late, or somebody was quicker: look again, when the watch or the clock says so.
                Attempt::Won(_) | Attempt::Raced => {}
                Attempt::Held { until } => {
                    complained = false;
                    wake = wake.min(until);
                }
                Attempt::Failed(reason) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(lease = %self.config.name, reason, "cannot take part in the election; trying on");
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = sleep_until(wake) => {}
                () = other_holder(&mut holder, &self.config.identity) => {}
            }
        }
    }

    /// Renews until the Lease is lost or the process ends. Also returns the Lease as last written.
    async fn lead(
        &mut self,
        mut lease: Lease,
        mut until: Instant,
        shutdown: &CancellationToken,
    ) -> (End, Lease) {
        let mut holder = self.leadership.state.holder.subscribe();
        holder.mark_unchanged();
        loop {
            let pause = sleep_until(until.min(Instant::now() + self.pause()));
            tokio::select! {
                () = shutdown.cancelled() => return (End::Shutdown, lease),
                () = pause => {}
                () = other_holder(&mut holder, &self.config.identity) => {}
            }
            let started = Instant::now();
            let limit = until.min(started + self.request_limit());
            let attempt = tokio::select! {
                () = shutdown.cancelled() => return (End::Shutdown, lease),
                attempt = timeout_at(limit, self.try_renew(&lease)) => attempt,
            };
            let reason = match attempt.unwrap_or_else(|_| Attempt::Failed(self.no_answer())) {
                Attempt::Won(renewed) => {
                    lease = *renewed;
                    // A renewal that was answered after the deadline is no renewal: the flag was down meanwhile.
                    if Instant::now() < until {
                        until = started + self.config.renew_deadline;
                        self.leadership.lead_until(until);
                        continue;
                    }
                    "renewed too late".to_owned()
                }
                Attempt::Held { .. } => {
                    return (End::Lost("another process holds the Lease".to_owned()), lease);
                }
                Attempt::Raced => "somebody else changed the Lease at the same time".to_owned(),
                Attempt::Failed(reason) => reason,
            };
            if Instant::now() >= until {
                let waited = self.config.renew_deadline;
                return (End::Lost(format!("not renewed within {waited:?}: {reason}")), lease);
            }
            tracing::warn!(lease = %self.config.name, reason, "renewing failed; trying again");
        }
    }

    /// Reads the Lease, and writes our name if it is free.
    async fn try_acquire(&mut self) -> Attempt {
        let current = match self.api.get_opt(&self.config.name).await {
            Ok(current) => current,
            Err(error) => return Attempt::Failed(format!("reading the Lease: {error}")),
        };
        let now = Instant::now();
        self.observed.note(current.as_ref(), &self.config, now);
        self.leadership.set_holder(current.as_ref().and_then(record::holder));
        if let Next::Wait(until) = self.observed.next(&self.config, now) {
            return Attempt::Held { until };
        }
        let claim = record::claim(current.as_ref(), &self.config, jiff::Timestamp::now());
        match self.write(current.is_none(), &claim).await {
            Ok(lease) => Attempt::Won(Box::new(lease)),
            Err(error) if is_conflict(&error) => Attempt::Raced,
            Err(error) => Attempt::Failed(format!("writing the Lease: {error}")),
        }
    }

    /// Writes the Lease anew on top of what we wrote last; on a conflict, finds out whether it is still ours.
    async fn try_renew(&mut self, last: &Lease) -> Attempt {
        let claim = record::claim(Some(last), &self.config, jiff::Timestamp::now());
        match self.write(false, &claim).await {
            Ok(lease) => Attempt::Won(Box::new(lease)),
            Err(error) if is_conflict(&error) || is_missing(&error) => self.try_acquire().await,
            Err(error) => Attempt::Failed(format!("renewing the Lease: {error}")),
        }
    }

    async fn write(&mut self, create: bool, claim: &Lease) -> kube::Result<Lease> {
        let parameters = PostParams::default();
        let lease = match create {
            true => self.api.create(&parameters, claim).await?,
            false => self.api.replace(&self.config.name, &parameters, claim).await?,
        };
        self.observed.note(Some(&lease), &self.config, Instant::now());
        Ok(lease)
    }

    async fn release(&mut self, last: Lease) {
        let limit = Instant::now() + self.request_limit();
        let outcome = timeout_at(limit, self.try_release(last)).await;
        match outcome.unwrap_or_else(|_| Err(self.no_answer())) {
            Ok(()) => tracing::info!(lease = %self.config.name, "released the Lease"),
            Err(reason) => tracing::warn!(
                lease = %self.config.name, reason,
                "could not release the Lease; it runs out after {:?}", self.config.lease_duration
            ),
        }
        self.leadership.set_holder(None);
    }

    async fn try_release(&mut self, last: Lease) -> Result<(), String> {
        let released = record::release(&last, jiff::Timestamp::now());
        let error = match self.write(false, &released).await {
            Ok(_) => return Ok(()),
            Err(error) if is_conflict(&error) => error,
            Err(error) => return Err(error.to_string()),
        };
        // A renewal that was under way when we stopped may have arrived: release what is there, if it is ours.
        match self.api.get(&self.config.name).await {
            Ok(lease) if record::holder(&lease) == Some(self.config.identity.as_str()) => {
                let released = record::release(&lease, jiff::Timestamp::now());
                self.write(false, &released).await.map(drop).map_err(|error| error.to_string())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(error.to_string()),
        }
    }

    /// One request may take at most half the deadline, so that a lost connection leaves time for another try.
    fn request_limit(&self) -> Duration {
        self.config.renew_deadline / 2
    }

    fn no_answer(&self) -> String {
        format!("no answer from the API server within {:?}", self.request_limit())
    }

    fn pause(&self) -> Duration {
        // A fresh RandomState hashes with fresh random keys: random enough to spread, and no dependency.
        let random = RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64;
        self.config.retry_period.mul_f64(1.0 + random * self.config.jitter)
    }
}

/// Returns when the Lease gets a holder other than `identity`, or none.
async fn other_holder(holder: &mut watch::Receiver<Option<String>>, identity: &str) {
    while holder.changed().await.is_ok() {
        if holder.borrow_and_update().as_deref() != Some(identity) {
            return;
        }
    }
    // Cannot happen while the election holds the sender; then only the clock wakes it.
    futures::future::pending::<()>().await;
}

/// Keeps `leadership.holder()` up to date, which wakes the election.
async fn watch_holder(api: Api<Lease>, name: String, leadership: Leadership) {
    let mut events = pin!(watcher::watch_object(api, &name).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(lease) => leadership.set_holder(lease.as_ref().and_then(record::holder)),
            Err(error) => tracing::debug!(lease = %name, %error, "watching the Lease failed; watching again"),
        }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    // 409 both for a resourceVersion that is no longer current and for a creation that came second.
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
