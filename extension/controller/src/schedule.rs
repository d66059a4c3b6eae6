//! When to send which write: one at a time for each object and a handful in all, never the same one twice, not yet while a
//! status is about to change by itself, later after a failure, and what only counts not too often. Pure: time comes from
//! outside. What one change costs does not grow with the number of objects.

use crate::plan::{Target, Urgency, Write};
use crate::translate::Settling;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Writes under way at a time. The API server serves everybody: a thousand at once, and it turns others away.
pub const MAX_IN_FLIGHT: usize = 16;
/// How long proxies may take to acknowledge before `Pending` is written.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(2);
/// How long what was programmed may look as if it were not (proxies that restart, or connect to a new leader) before
/// that is written.
const CONNECTION: Duration = Duration::from_secs(15);
/// The number of attached routes is written at once when it changes after a pause, and otherwise when it has not changed
/// for so long: routes that come one after the other are two or three writes of their Gateway.
const QUIET: Duration = Duration::from_millis(200);
/// The longest that the number of attached routes may be wrong while routes keep coming.
const COUNTING: Duration = Duration::from_secs(20);
/// First pause after a failure; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Pause after a conflict: the newer object usually arrives well before.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// Remembers what is wanted, under way, done, and waiting.
#[derive(Debug, Default)]
pub struct Schedule {
    objects: HashMap<Target, State>,
    /// To be sent as soon as there is room: what is needed most comes first, then what has waited longest.
    ready: BTreeSet<(Urgency, u64, Target)>,
    /// To be looked at again at some time.
    waiting: BTreeSet<(Instant, Target)>,
    in_flight: usize,
    turns: u64,
}

/// What is known of the writes of one object.
#[derive(Debug, Default)]
struct State {
    wanted: Option<Write>,
    in_flight: bool,
    /// Done, but not yet seen in the world: version decided upon, and wish.
    done: Option<(String, String)>,
    settling: Option<Instant>,
    pause: Option<Pause>,
    counting: Counting,
    place: Place,
}

/// Where an object stands in the queues.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    Nowhere,
    Ready(Urgency, u64),
    Waiting(Instant),
}

/// Writes that only bring a number up to date.
#[derive(Debug, Default, Clone, Copy)]
struct Counting {
    /// When the number last changed.
    last: Option<Instant>,
    /// When it first changed after it was written.
    first: Option<Instant>,
    /// When to write it.
    due: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// How a write ended, as far as the schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Done.
    Well,
    /// Decided upon an object that has changed since.
    Stale,
    /// Failed.
    Badly,
}

/// What to do now.
#[derive(Debug, Default)]
pub struct Due {
    /// To be sent now; counted as under way.
    pub writes: Vec<Write>,
    /// When to look again, if something waits for time alone.
    pub again: Option<Instant>,
}

impl Schedule {
    /// Says what is to be written to an object; nothing when it is as it should be.
    pub fn want(&mut self, target: &Target, write: Option<Write>, now: Instant) {
        if write.is_none() && !self.objects.contains_key(target) {
            return;
        }
        let state = self.objects.entry(target.clone()).or_default();
        match &write {
            None => {
                state.done = None;
                state.settling = None;
                if !state.in_flight {
                    state.pause = None;
                }
            }
            Some(write) => {
                match write.settling {
                    Settling::No | Settling::AttachedRoutes => state.settling = None,
                    Settling::Acknowledgement | Settling::Connection => {
                        state.settling.get_or_insert(now);
                    }
                }
                let known = state.wanted.as_ref().map(|known| &known.fingerprint);
                if write.settling == Settling::AttachedRoutes && known != Some(&write.fingerprint) {
                    state.counting.changed(now);
                }
            }
        }
        state.wanted = write;
        self.place(target, now);
    }

    /// Objects about which something is wanted.
    pub fn wanted(&self) -> impl Iterator<Item = &Target> {
        self.objects.iter().filter(|(_, state)| state.wanted.is_some()).map(|(target, _)| target)
    }

    /// Chooses what is to be sent now.
    pub fn due(&mut self, now: Instant) -> Due {
        while let Some((at, target)) = self.waiting.first().cloned() {
            if at > now {
                break;
            }
            self.place(&target, now);
        }
        let mut writes = Vec::new();
        while self.in_flight < MAX_IN_FLIGHT
            && let Some((_, _, target)) = self.ready.pop_first()
        {
            let Some(state) = self.objects.get_mut(&target) else { continue };
            state.place = Place::Nowhere;
            let Some(write) = state.wanted.clone() else { continue };
            state.in_flight = true;
            state.counting.written();
            self.in_flight += 1;
            writes.push(write);
        }
        Due { writes, again: self.waiting.first().map(|(at, _)| *at) }
    }

    /// Notes the end of a write.
    pub fn ended(&mut self, write: &Write, ended: Ended, now: Instant) {
        let target = &write.target;
        let Some(state) = self.objects.get_mut(target).filter(|state| state.in_flight) else { return };
        state.in_flight = false;
        self.in_flight = self.in_flight.saturating_sub(1);
        match ended {
            Ended::Well => {
                state.pause = None;
                state.done = Some((write.seen.clone(), write.fingerprint.clone()));
            }
            Ended::Stale => {
                state.pause = Some(Pause { until: now + CONFLICT_PAUSE, length: Duration::ZERO });
            }
            Ended::Badly => {
                let last = state.pause.map_or(Duration::ZERO, |pause| pause.length);
                let length = (last * 2).clamp(MIN_PAUSE, MAX_PAUSE);
                state.pause = Some(Pause { until: now + length, length });
            }
        }
        self.place(target, now);
    }

    /// Forgets everything that is not under way: another replica may have written meanwhile.
    pub fn reset(&mut self) {
        self.objects.retain(|_, state| state.in_flight);
        for state in self.objects.values_mut() {
            *state = State { in_flight: true, ..State::default() };
        }
        self.ready.clear();
        self.waiting.clear();
    }

    /// Puts an object where it belongs.
    fn place(&mut self, target: &Target, now: Instant) {
        let Some(state) = self.objects.get_mut(target) else { return };
        let before = std::mem::take(&mut state.place);
        let after = match state.next(now) {
            None => Place::Nowhere,
            Some((_, at)) if at > now => Place::Waiting(at),
            Some((urgency, _)) => match before {
                Place::Ready(other, turn) if other == urgency => Place::Ready(urgency, turn),
                _ => {
                    self.turns += 1;
                    Place::Ready(urgency, self.turns)
                }
            },
        };
        state.place = after;
        let idle = state.wanted.is_none() && !state.in_flight && state.counting.last.is_none();
        if before != after {
            match before {
                Place::Nowhere => {}
                Place::Ready(urgency, turn) => drop(self.ready.remove(&(urgency, turn, target.clone()))),
                Place::Waiting(at) => drop(self.waiting.remove(&(at, target.clone()))),
            }
            match after {
                Place::Nowhere => {}
                Place::Ready(urgency, turn) => drop(self.ready.insert((urgency, turn, target.clone()))),
                Place::Waiting(at) => drop(self.waiting.insert((at, target.clone()))),
            }
        }
        if idle {
            self.objects.remove(target);
        }
    }
}

impl State {
    /// How urgent the next write is and when it may be sent; none if there is nothing to be sent, or not yet.
    fn next(&self, now: Instant) -> Option<(Urgency, Instant)> {
        let write = self.wanted.as_ref().filter(|_| !self.in_flight)?;
        let is_done =
            self.done.as_ref().is_some_and(|(seen, wish)| *seen == write.seen && *wish == write.fingerprint);
        if is_done {
            return None;
        }
        let settled = match write.settling {
            Settling::No => None,
            Settling::AttachedRoutes => self.counting.due,
            Settling::Acknowledgement => self.settling.map(|since| since + ACKNOWLEDGEMENT),
            Settling::Connection => self.settling.map(|since| since + CONNECTION),
        };
        let at = settled.max(self.pause.map(|pause| pause.until)).unwrap_or(now);
        Some((write.urgency, at))
    }
}

impl Counting {
    fn changed(&mut self, now: Instant) {
        let quiet = self.last.replace(now).is_none_or(|last| now >= last + QUIET) && self.due.is_none();
        let first = *self.first.get_or_insert(now);
        self.due = Some(if quiet { now } else { (now + QUIET).min(first + COUNTING) });
    }

    fn written(&mut self) {
        (self.first, self.due) = (None, None);
    }
}

#[cfg(test)]
mod tests;
