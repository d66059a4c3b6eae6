//! Leader election over a `coordination.k8s.io/v1` Lease, with the rules of Kubernetes' own client-go.
//!
//! Every write is conditional on the resourceVersion that was read, so of two writers one fails. A leader acts as one
//! until its renew deadline, counted from *before* it sent its last successful renewal; a standby waits the lease
//! duration from when it *saw* that renewal, which is later. As long as clocks run at about the same speed, one has
//! stopped before the other starts.
//!
//! On a clean shutdown the leader clears the holder; standbys watch the Lease and take over at once.

mod config;
mod election;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use config::{LeaseConfig, LeaseConfigError};
pub use election::Election;

/// Whether this process leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    leading: watch::Sender<bool>,
    /// Until when a leader may act as one.
    until: watch::Sender<Option<Instant>>,
    holder: watch::Sender<Option<String>>,
    /// How long after that what it has begun may go on.
    grace: Duration,
}

impl Leadership {
    fn new(config: &LeaseConfig) -> Self {
        let state = State {
            leading: watch::Sender::new(false),
            until: watch::Sender::new(None),
            holder: watch::Sender::new(None),
            // Half: the other half is for clocks that do not run alike, and for what is still on the wire.
            grace: config.lease_duration.saturating_sub(config.renew_deadline) / 2,
        };
        Self { state: Arc::new(state) }
    }

    /// Whether this process leads now.
    ///
    /// Looks at the clock too: false once the renew deadline has passed, even if the election had no time to notice.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        *self.state.leading.borrow() && self.state.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// When a request that this leader sends now must have been answered or given up: well before another may lead. `None`
    /// when it does not lead.
    #[must_use]
    pub fn acts_until(&self) -> Option<Instant> {
        let until = *self.state.until.borrow();
        until.filter(|_| self.is_leader()).map(|until| until + self.state.grace)
    }

    /// Follows the election: true when this process starts to lead, false when it stops.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.state.leading.subscribe()
    }

    /// Returns when this process leads (`true`), or does not (`false`); at once if that is so already.
    pub async fn wait_for(&self, leading: bool) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.subscribe().wait_for(|now| *now == leading).await;
    }

    /// Who holds the Lease as last seen: `None` when nobody does or it has not been read.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        self.state.holder.borrow().clone()
    }

    fn lead_until(&self, until: Instant) -> bool {
        self.state.until.send_replace(Some(until));
        self.set_leading(true)
    }

    fn stop(&self) -> bool {
        self.state.until.send_replace(None);
        self.set_leading(false)
    }

    fn set_leading(&self, leading: bool) -> bool {
        self.state.leading.send_if_modified(|now| std::mem::replace(now, leading) != leading)
    }

    fn set_holder(&self, holder: Option<&str>) {
        self.state.holder.send_if_modified(|now| {
            let changed = now.as_deref() != holder;
            if changed {
                *now = holder.map(str::to_owned);
            }
            changed
        });
    }
}
