//! The active replica's work.

use std::pin::pin;
use std::time::Duration;

use alb_runtime::Blocker;
use alb_runtime::lease::Leadership;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Decision, Publication, Target, decide};
use crate::metrics::Metrics;

/// How long to wait after a failed write.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time for one look and one write: a lost connection must not keep us from the next try.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest time without a look, though nothing was heard: the watch is what tells.
const IDLE: Duration = Duration::from_secs(300);

/// Keeps the Secret right while this replica leads.
#[derive(Debug)]
pub struct Publisher {
    api: Api<Secret>,
    target: Target,
    leadership: Leadership,
    publications: watch::Receiver<Option<Publication>>,
    metrics: Metrics,
    /// Blocks while the Secret cannot be written.
    blocker: Blocker,
    /// What was logged last, so that it is said once.
    told: Option<String>,
}

impl Publisher {
    /// A publisher of what `publications` holds. `blocker` is cleared when a write succeeds or is not ours to make.
    #[must_use]
    pub fn new(
        client: Client,
        target: Target,
        leadership: Leadership,
        publications: watch::Receiver<Option<Publication>>,
        metrics: Metrics,
        blocker: Blocker,
    ) -> Self {
        let api = Api::namespaced(client, &target.namespace);
        Self { api, target, leadership, publications, metrics, blocker, told: None }
    }

    /// Works for as long as it is polled; writes only while this replica leads.
    pub async fn run(&mut self) {
        loop {
            #[cfg(feature = "faults")]
            if alb_runtime::faults::is("standby-publishes") {
                self.lead().await;
            }
            self.leadership.wait_for(true).await;
            self.lead().await;
            self.blocker.clear();
        }
    }

    /// From the beginning to the end of one leadership.
    async fn lead(&mut self) {
        let leadership = self.leadership.clone();
        let mut publications = self.publications.clone();
        // Somebody else's change of the Secret, or its deletion, is repaired at once.
        let mut events = pin!(watcher::watch_object(self.api.clone(), &self.target.name).default_backoff());
        loop {
            let publication = publications.borrow_and_update().clone();
            let pause = match publication {
                Some(publication) => self.settle(&publication).await,
                None => IDLE,
            };
            tokio::select! {
                () = ended(&leadership) => return,
                // The sender outlives us; if not, there is nothing new to publish, ever.
                changed = publications.changed() => if changed.is_err() { return },
                _ = events.next() => {}
                () = tokio::time::sleep_until(Instant::now() + pause) => {}
            }
        }
    }

    /// One look, and at most one write. Returns when to look again.
    async fn settle(&mut self, publication: &Publication) -> Duration {
        let error = match timeout(LIMIT, self.try_settle(publication)).await {
            Ok(Ok(pause)) => {
                self.blocker.clear();
                return pause;
            }
            // Whoever wrote in between is heard first: look again at once, at what is there now.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => return Duration::ZERO,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer from the API server within {LIMIT:?}"),
        };
        self.metrics.publish_errors.inc();
        let Target { namespace, name, .. } = &self.target;
        let reason = format!("writing the Secret {name} in {namespace} failed: {error}; trying again");
        if self.blocker.block(&reason) {
            tracing::error!("{reason}");
        }
        RETRY
    }

    async fn try_settle(&mut self, publication: &Publication) -> kube::Result<Duration> {
        let current = self.api.get_opt(&self.target.name).await?;
        let now = Timestamp::now();
        let secret = match decide(current.as_ref(), publication, &self.target, now) {
            Decision::Keep => return Ok(IDLE),
            Decision::KeepNewer { until } => {
                let text = format!(
                    "the certificate published by the other replica is newer and valid until {until}"
                );
                if self.told.as_ref() != Some(&text) {
                    tracing::info!("{text}: ours waits for its next rotation");
                    self.told = Some(text);
                }
                let left = u64::try_from(until.as_second() - now.as_second()).unwrap_or_default();
                return Ok(Duration::from_secs(left).clamp(RETRY, IDLE));
            }
            Decision::Write(secret) => secret,
        };
        #[cfg(feature = "faults")]
        let publishes_too = !self.leadership.is_leader() && crate::faults::fault("standby-publishes");
        #[cfg(not(feature = "faults"))]
        let publishes_too = false;
        if !self.leadership.is_leader() && !publishes_too {
            return Ok(RETRY);
        }
        let parameters = PostParams::default();
        let written = match current {
            None => self.api.create(&parameters, &secret).await?,
            Some(_) => self.api.replace(&self.target.name, &parameters, &secret).await?,
        };
        self.metrics.publishes.inc();
        self.told = None;
        let annotation =
            |name: &str| written.metadata.annotations.as_ref().and_then(|all| all.get(name).cloned());
        tracing::info!(
            secret = %self.target.name,
            serial = annotation(super::SERIAL),
            not_after = annotation(super::NOT_AFTER),
            "published the certificate"
        );
        Ok(IDLE)
    }
}

/// Resolves when this replica no longer leads.
async fn ended(leadership: &Leadership) {
    #[cfg(feature = "faults")]
    if alb_runtime::faults::is("standby-publishes") {
        return std::future::pending().await;
    }
    leadership.wait_for(false).await;
}
