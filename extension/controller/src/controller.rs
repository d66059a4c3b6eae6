//! The loop: world in, configuration and writes out. Configuration is published before any status is written.

mod inspect;
mod pace;

pub use self::inspect::Inspection;

use self::pace::Pace;
use crate::apply::{Outcome, apply};
use crate::events::{REPORT_AGAIN, Reporter};
use crate::metrics::Metrics;
use crate::plan::{Target, Write, targets, write};
use crate::references::References;
#[cfg(feature = "faults")]
use crate::request::LIMIT;
use crate::schedule::{Ended, Schedule};
use crate::translate::{Settings, Translator};
use crate::world::{Change, Changes, Difference, Scope, Seen, Watched, World};
use alb_config::server::{Acks, Hub};
use alb_runtime::Blocker;
use alb_runtime::lease::Leadership;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A question for the loop: what do you know and want? The loop hands out what it has; making a page of it, which takes
/// its time, is the asker's.
pub type Inquiry = oneshot::Sender<Inspection>;

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
    /// Shared with nobody but those who inspect it.
    world: Arc<World>,
    seen: Seen,
    references: References,
    unsynced: BTreeSet<Watched>,
    translator: Translator,
    /// What the proxies had acknowledged when that was last looked at.
    acks: Acks,
    /// Objects of which it is to be found out whether something is to be written to them.
    unplanned: Unplanned,
    /// Whether there are warnings that have not been reported.
    unreported: bool,
    schedule: Schedule,
    writes: JoinSet<(Write, Outcome)>,
    pace: Pace,
}

/// Objects to be planned for.
enum Unplanned {
    /// All: another replica has led, or nobody.
    All,
    These(BTreeSet<Target>),
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
            world: Arc::new(World { edition: self.settings.edition, ..World::default() }),
            seen: Seen::new(),
            references,
            unsynced: Watched::ALL.into_iter().filter(|kind| kind.scope() != Scope::Referenced).collect(),
            translator: Translator::new(self.settings.clone()),
            acks: Acks::default(),
            unplanned: Unplanned::All,
            unreported: true,
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
                    if state.references.absorb(answer, Arc::make_mut(&mut state.world)) {
                        deadline = sooner(deadline, self.turn(&state));
                    }
                }
                Ok(()) = acks.changed() => {
                    acks.borrow_and_update();
                    deadline = sooner(deadline, self.turn(&state));
                }
                Ok(()) = leading.changed() => {
                    leading.borrow_and_update();
                    state.schedule.reset();
                    self.reporter.reset();
                    state.unplanned = Unplanned::All;
                    state.unreported = true;
                    deadline = Some(Instant::now());
                }
                Some(ended) = state.writes.join_next() => {
                    if let Ok((write, outcome)) = ended {
                        self.ended(&mut state, &write, outcome);
                    }
                    deadline = sooner(deadline, self.turn(&state));
                }
                Some(inquiry) = inquiries.recv() => {
                    let _ = inquiry.send(self.inspection(&state));
                }
                () = timer => {
                    // Whatever else has arrived belongs to the same translation.
                    while let Ok(change) = changes.try_recv() {
                        self.absorb(&mut state, change);
                    }
                    while let Ok(answer) = answers.try_recv() {
                        state.references.absorb(answer, Arc::make_mut(&mut state.world));
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
        let difference = Arc::make_mut(&mut state.world).absorb(change, &mut state.seen);
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
        self.translate(state, &acks.borrow_and_update().clone());
        #[cfg(feature = "faults")]
        let writes_too = alb_runtime::faults::is("standby-writes");
        #[cfg(not(feature = "faults"))]
        let writes_too = false;
        if !self.leadership.is_leader() && !writes_too {
            // When it leads, it looks at everything.
            state.unplanned = Unplanned::All;
            return None;
        }
        let translation = state.translator.translation().clone();
        if state.unreported {
            state.unreported = !self.reporter.report(&translation.warnings);
        }
        let targets = match std::mem::replace(&mut state.unplanned, Unplanned::These(BTreeSet::new())) {
            Unplanned::All => targets(&state.world, &translation),
            Unplanned::These(targets) => targets,
        };
        #[cfg(feature = "faults")]
        let targets = match self.leadership.is_leader() {
            true => targets,
            false => crate::faults::of_standby(targets),
        };
        let (now, clock) = (Instant::now(), jiff::Timestamp::now());
        for target in targets {
            let write = write(&state.world, &translation, &target, clock);
            state.schedule.want(&target, write, now);
        }
        let due = state.schedule.due(now);
        for write in due.writes {
            let (client, leadership) = (self.client.clone(), self.leadership.clone());
            state.writes.spawn(async move {
                // The Lease may have run out between the plan and now.
                let until = leadership.acts_until();
                #[cfg(feature = "faults")]
                let until = until.or_else(|| writes_too.then(|| tokio::time::Instant::now() + LIMIT));
                let outcome = match until {
                    Some(until) => apply(client, &write, until).await,
                    None => Outcome::Stale,
                };
                (write, outcome)
            });
        }
        match state.unreported {
            false => due.again,
            true => sooner(due.again, Instant::now() + REPORT_AGAIN),
        }
    }

    /// Translates what has changed, and publishes it.
    fn translate(&self, state: &mut State, acks: &Acks) {
        let started = Instant::now();
        let answered = acks.since(&state.acks);
        let changes = match state.world.changes.is_empty() {
            true => Changes::default(),
            false => std::mem::take(&mut Arc::make_mut(&mut state.world).changes),
        };
        if changes.is_empty() && answered.load_balancers.is_empty() {
            return;
        }
        state.acks = acks.clone();
        let delta = state.translator.update(&state.world, &changes, &answered, acks);
        let translation = state.translator.translation();
        if delta.references {
            // What rests on an object that the API server has not answered for yet is left as it is.
            state.references.follow(&translation.references, Arc::make_mut(&mut state.world));
        }
        for id in &delta.snapshots {
            if let Some(snapshot) = translation.snapshots.get(id) {
                self.hub.publish(id, snapshot.clone());
            }
        }
        for gone in &delta.removed {
            self.hub.remove(gone);
        }
        state.unreported |= delta.warnings;
        if let Unplanned::These(targets) = &mut state.unplanned {
            targets.extend(delta.targets);
        }
        self.metrics.translated(started.elapsed());
        state.pace.translated(Instant::now());
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

    fn inspection(&self, state: &State) -> Inspection {
        Inspection {
            leader: self.leadership.is_leader(),
            holder: self.leadership.holder(),
            unsynced: state.unsynced.clone(),
            world: state.world.clone(),
            translation: state.translator.translation().clone(),
            acks: self.hub.acks().borrow().clone(),
        }
    }
}

fn sooner(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}
