//! The loop: world in, configuration and writes out. Configuration is published before any status is written.

mod inspect;
mod pace;

use self::pace::Pace;
use crate::apply::{Outcome, apply};
use crate::events::{REPORT_AGAIN, Reporter};
use crate::metrics::Metrics;
use crate::plan::{Write, plan};
use crate::references::References;
use crate::schedule::{Ended, Schedule};
use crate::translate::{Settings, Translation, translate};
use crate::world::{Change, Difference, Scope, Seen, Watched, World};
use alb_config::server::{Acks, Hub};
use alb_runtime::Blocker;
use alb_runtime::lease::Leadership;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A question for the loop: what do you know and want? Answered with JSON, without secrets.
pub type Inquiry = oneshot::Sender<Value>;

/// Everything the loop works with.
pub struct Controller {
    /// For writes.
    pub client: kube::Client,
    /// Flags.
    pub settings: Settings,
    /// Where configuration goes.
    pub hub: Hub,
    /// Who leads.
    pub leadership: Leadership,
    /// Readiness, as long as not every kind has been listed.
    pub blocker: Blocker,
    /// Events.
    pub reporter: Reporter,
    /// Metrics.
    pub metrics: Metrics,
}

struct State {
    world: World,
    seen: Seen,
    references: References,
    unsynced: BTreeSet<Watched>,
    /// What has changed since the last translation.
    untranslated: Difference,
    translation: Translation,
    schedule: Schedule,
    writes: JoinSet<(Write, Outcome)>,
    pace: Pace,
}

impl Controller {
    /// Runs until `shutdown`; returns when no write is under way any more.
    pub async fn run(
        self,
        mut changes: mpsc::Receiver<Change>,
        mut inquiries: mpsc::Receiver<Inquiry>,
        shutdown: CancellationToken,
    ) {
        let mut acks = self.hub.acks();
        let mut leading = self.leadership.subscribe();
        let (references, mut answers) = References::new(self.client.clone());
        let mut state = State {
            world: World::default(),
            seen: Seen::new(),
            references,
            unsynced: Watched::ALL.into_iter().filter(|kind| kind.scope() != Scope::Referenced).collect(),
            untranslated: Difference::Content,
            translation: Translation::default(),
            schedule: Schedule::default(),
            writes: JoinSet::new(),
            pace: Pace::default(),
        };
        self.report_unsynced(&state);
        let mut deadline: Option<Instant> = None;
        loop {
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                change = changes.recv() => {
                    let Some(change) = change else { break };
                    if self.absorb(&mut state, change) {
                        deadline = sooner(deadline, self.turn(&state));
                    }
                }
                Some(answer) = answers.recv() => {
                    if state.references.absorb(answer, &mut state.world) {
                        state.untranslated = Difference::Content;
                        deadline = sooner(deadline, self.turn(&state));
                    }
                }
                Ok(()) = acks.changed() => {
                    acks.borrow_and_update();
                    state.untranslated = Difference::Content;
                    deadline = sooner(deadline, self.turn(&state));
                }
                Ok(()) = leading.changed() => {
                    leading.borrow_and_update();
                    state.schedule.reset();
                    self.reporter.reset();
                    state.untranslated = Difference::Content;
                    deadline = Some(Instant::now());
                }
                Some(ended) = state.writes.join_next() => {
                    if let Ok((write, outcome)) = ended {
                        self.ended(&mut state, &write, outcome);
                    }
                    deadline = sooner(deadline, self.turn(&state));
                }
                Some(inquiry) = inquiries.recv() => {
                    let _ = inquiry.send(self.answer(&state));
                }
                () = timer => {
                    // Whatever else has arrived belongs to the same translation.
                    while let Ok(change) = changes.try_recv() {
                        self.absorb(&mut state, change);
                    }
                    deadline = self.reconcile(&mut state, &mut acks);
                }
            }
        }
        while let Some(ended) = state.writes.join_next().await {
            if let Ok((write, outcome)) = ended {
                self.ended(&mut state, &write, outcome);
            }
        }
    }

    /// When what has just changed is to be translated.
    fn turn(&self, state: &State) -> Instant {
        #[cfg(not(feature = "faults"))]
        let hurries = false;
        // Whoever looks later than the leader finds nothing left to write.
        #[cfg(feature = "faults")]
        let hurries = alb_runtime::faults::is("standby-writes");
        state.pace.next(Instant::now(), self.leadership.is_leader() || hurries)
    }

    /// Returns whether there is something to be done about it.
    fn absorb(&self, state: &mut State, change: Change) -> bool {
        let kind = change.kind;
        let listed = matches!(change.event, Event::InitDone);
        let difference = state.world.absorb(change, &mut state.seen);
        state.untranslated = state.untranslated.max(difference);
        if listed && state.unsynced.remove(&kind) {
            self.report_unsynced(state);
            return true;
        }
        difference != Difference::None
    }

    fn report_unsynced(&self, state: &State) {
        let kinds: Vec<String> = state.unsynced.iter().map(|kind| kind.resource().plural).collect();
        self.blocker.set((!kinds.is_empty()).then(|| format!("waiting for a list of {}", kinds.join(", "))));
    }

    /// Translates and publishes if need be, and writes. Returns when to look again.
    fn reconcile(&self, state: &mut State, acks: &mut watch::Receiver<Acks>) -> Option<Instant> {
        if !state.unsynced.is_empty() {
            return None;
        }
        if state.untranslated == Difference::Content {
            let acks = acks.borrow_and_update().clone();
            if !self.publish(state, &acks) {
                return None;
            }
        }
        state.untranslated = Difference::None;
        #[cfg(not(feature = "faults"))]
        let writes_too = false;
        #[cfg(feature = "faults")]
        let writes_too = alb_runtime::faults::is("standby-writes");
        if !self.leadership.is_leader() && !writes_too {
            return None;
        }
        let reported = self.reporter.report(&state.translation.warnings);
        let plan = plan(&state.world, &state.translation, jiff::Timestamp::now());
        let due = state.schedule.due(plan, Instant::now());
        #[cfg(feature = "faults")]
        let due = match self.leadership.is_leader() {
            true => due,
            false => crate::schedule::Due { writes: crate::faults::of_standby(due.writes), ..due },
        };
        for write in due.writes {
            let (client, leadership) = (self.client.clone(), self.leadership.clone());
            state.writes.spawn(async move {
                // The lease may have run out between the plan and now.
                let outcome = if leadership.is_leader() || writes_too {
                    apply(client, &write).await
                } else {
                    Outcome::Stale
                };
                (write, outcome)
            });
        }
        match reported {
            true => due.again,
            false => sooner(due.again, Instant::now() + REPORT_AGAIN),
        }
    }

    /// Translates and publishes. Returns false if that has to wait for answers of the API server.
    fn publish(&self, state: &mut State, acks: &Acks) -> bool {
        let started = Instant::now();
        let translation = translate(&state.world, &self.settings, acks);
        // Nothing is published before the API server has answered for every reference: a backend whose CA certificates
        // are on their way is no backend without any.
        if !state.references.follow(&translation.config_maps, &mut state.world) {
            return false;
        }
        for (load_balancer, snapshot) in &translation.snapshots {
            self.hub.publish(load_balancer, snapshot.clone());
        }
        for gone in state.translation.snapshots.keys().filter(|id| !translation.snapshots.contains_key(*id)) {
            self.hub.remove(gone);
        }
        self.metrics.translated(started.elapsed());
        state.pace.translated(Instant::now());
        state.translation = translation;
        true
    }

    fn ended(&self, state: &mut State, write: &Write, outcome: Outcome) {
        let (kind, key) = &write.target;
        let resource = kind.resource().plural;
        let ended = match outcome {
            Outcome::Written => {
                tracing::debug!(resource, object = %key, "written");
                Ended::Well
            }
            Outcome::Stale => Ended::Stale,
            Outcome::Failed(error) => {
                tracing::warn!(resource, object = %key, %error, "write failed; it will be tried again");
                Ended::Badly
            }
        };
        self.metrics.wrote(&resource, ended);
        state.schedule.ended(write, ended, Instant::now());
    }

    fn answer(&self, state: &State) -> Value {
        let translation = &state.translation;
        let configuration: serde_json::Map<String, Value> = translation
            .snapshots
            .iter()
            .map(|(load_balancer, snapshot)| {
                let resources: serde_json::Map<String, Value> = snapshot
                    .resources()
                    .map(|(name, kind)| (name.to_owned(), serde_json::to_value(kind).unwrap_or_default()))
                    .collect();
                (load_balancer.clone(), Value::Object(resources))
            })
            .collect();
        json!({
            "leader": self.leadership.is_leader(),
            "holder": self.leadership.holder(),
            "unsynced": state.unsynced,
            "world": inspect::world(&state.world),
            "translation": {
                "configuration": configuration,
                "deployments": translation.deployments.keys().collect::<Vec<_>>(),
                "services": translation.services.keys().collect::<Vec<_>>(),
                "statuses": inspect::statuses(&translation.statuses),
                "warnings": translation.warnings,
            },
            "proxies": inspect::proxies(&self.hub.acks().borrow()),
        })
    }
}

fn sooner(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}
