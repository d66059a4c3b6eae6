//! When to send which write: one at a time for each object, never the same one twice, not yet while a status is about
//! to change by itself, later after a failure, and what only counts not too often. Pure: time comes from outside.

use crate::plan::{Target, Write};
use crate::translate::Settling;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long proxies may take to acknowledge before `Pending` is written.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(2);
/// How long running proxies may take to connect (to a new leader, say) before that is written.
const CONNECTION: Duration = Duration::from_secs(15);
/// Least time between a write and one that only brings the number of attached routes up to date: many routes that come
/// one after the other are a few writes of their Gateway, a single one waits for nothing.
const ATTACHED_ROUTES: Duration = Duration::from_millis(200);
/// First pause after a failure; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Pause after a conflict: the newer object usually arrives well before.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// Remembers what is under way, done, and waiting.
#[derive(Debug, Default)]
pub struct Schedule {
    in_flight: HashSet<Target>,
    /// Done, but not yet seen in the world: version decided upon, and wish.
    done: HashMap<Target, (String, String)>,
    settling: HashMap<Target, Instant>,
    /// When the last write was done, for as long as that matters.
    written: HashMap<Target, Instant>,
    pauses: HashMap<Target, Pause>,
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
    /// Chooses from a plan what is to be sent now.
    pub fn due(&mut self, plan: Vec<Write>, now: Instant) -> Due {
        let planned: HashSet<&Target> = plan.iter().map(|write| &write.target).collect();
        self.done.retain(|target, _| planned.contains(target));
        self.pauses.retain(|target, _| planned.contains(target) || self.in_flight.contains(target));
        self.settling.retain(|target, _| planned.contains(target));
        self.written.retain(|_, at| *at + ATTACHED_ROUTES > now);
        let mut due = Due::default();
        for write in plan {
            let target = &write.target;
            if self.in_flight.contains(target) {
                continue;
            }
            let is_done = self
                .done
                .get(target)
                .is_some_and(|(seen, wish)| *seen == write.seen && *wish == write.fingerprint);
            if is_done {
                continue;
            }
            let patience = match write.settling {
                Settling::No | Settling::AttachedRoutes => None,
                Settling::Acknowledgement => Some(ACKNOWLEDGEMENT),
                Settling::Connection => Some(CONNECTION),
            };
            let settled = match patience {
                None => {
                    self.settling.remove(target);
                    let counts = write.settling == Settling::AttachedRoutes;
                    self.written.get(target).filter(|_| counts).map(|at| *at + ATTACHED_ROUTES)
                }
                Some(patience) => Some(*self.settling.entry(target.clone()).or_insert(now) + patience),
            };
            let paused = self.pauses.get(target).map(|pause| pause.until);
            match settled.max(paused).filter(|until| *until > now) {
                Some(until) => due.again = Some(due.again.map_or(until, |again| again.min(until))),
                None => {
                    self.in_flight.insert(target.clone());
                    due.writes.push(write);
                }
            }
        }
        due
    }

    /// Notes the end of a write.
    pub fn ended(&mut self, write: &Write, ended: Ended, now: Instant) {
        let target = &write.target;
        self.in_flight.remove(target);
        match ended {
            Ended::Well => {
                self.pauses.remove(target);
                self.written.insert(target.clone(), now);
                self.done.insert(target.clone(), (write.seen.clone(), write.fingerprint.clone()));
            }
            Ended::Stale => {
                let pause = Pause { until: now + CONFLICT_PAUSE, length: Duration::ZERO };
                self.pauses.insert(target.clone(), pause);
            }
            Ended::Badly => {
                let last = self.pauses.get(target).map_or(Duration::ZERO, |pause| pause.length);
                let length = (last * 2).clamp(MIN_PAUSE, MAX_PAUSE);
                self.pauses.insert(target.clone(), Pause { until: now + length, length });
            }
        }
    }

    /// Forgets everything that is not under way: another replica may have written meanwhile.
    pub fn reset(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        *self = Self { in_flight, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Action;
    use crate::world::{Key, Watched};

    fn write(seen: &str, wish: &str, settling: Settling) -> Write {
        Write {
            target: (Watched::Gateway, Key::new("ns", "gateway")),
            action: Action::PatchStatus(serde_json::Value::Null),
            seen: seen.to_owned(),
            fingerprint: wish.to_owned(),
            settling,
        }
    }

    fn wish(seen: &str, wish: &str) -> Vec<Write> {
        vec![write(seen, wish, Settling::No)]
    }

    #[test]
    fn a_write_is_not_sent_twice_while_its_effect_has_not_been_seen() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let sent = schedule.due(wish("1", "a"), now).writes;
        assert_eq!(sent.len(), 1);
        assert!(schedule.due(wish("1", "a"), now).writes.is_empty(), "under way");
        schedule.ended(&sent[0], Ended::Well, now);
        assert!(schedule.due(wish("1", "a"), now).writes.is_empty(), "done");
        assert_eq!(schedule.due(wish("1", "b"), now).writes.len(), 1, "another wish");
    }

    #[test]
    fn the_same_wish_is_sent_again_when_the_object_has_changed() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let sent = schedule.due(wish("1", "a"), now).writes;
        schedule.ended(&sent[0], Ended::Well, now);
        assert_eq!(schedule.due(wish("2", "a"), now).writes.len(), 1);
    }

    #[test]
    fn a_settling_status_waits_and_is_then_written() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let plan = || vec![write("1", "a", Settling::Acknowledgement)];
        let due = schedule.due(plan(), now);
        assert!(due.writes.is_empty());
        assert_eq!(due.again, Some(now + ACKNOWLEDGEMENT));
        assert_eq!(schedule.due(plan(), now + ACKNOWLEDGEMENT).writes.len(), 1);
    }

    #[test]
    fn a_status_that_has_settled_is_written_at_once() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.due(vec![write("1", "a", Settling::Acknowledgement)], now);
        assert_eq!(schedule.due(wish("1", "b"), now).writes.len(), 1);
    }

    #[test]
    fn numbers_of_routes_are_written_at_once_and_then_not_too_often() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let plan = |seen: &str| vec![write(seen, seen, Settling::AttachedRoutes)];
        let sent = schedule.due(plan("1"), now).writes;
        assert_eq!(sent.len(), 1, "the first");
        schedule.ended(&sent[0], Ended::Well, now);
        let soon = now + ATTACHED_ROUTES / 2;
        let due = schedule.due(plan("2"), soon);
        assert!(due.writes.is_empty());
        assert_eq!(due.again, Some(now + ATTACHED_ROUTES));
        assert_eq!(schedule.due(plan("3"), now + ATTACHED_ROUTES).writes.len(), 1);
    }

    #[test]
    fn what_is_more_than_a_number_does_not_wait_for_one() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let sent = schedule.due(vec![write("1", "a", Settling::AttachedRoutes)], now).writes;
        schedule.ended(&sent[0], Ended::Well, now);
        assert_eq!(schedule.due(wish("2", "b"), now).writes.len(), 1);
    }

    #[test]
    fn failures_are_retried_after_longer_and_longer_pauses() {
        let (mut schedule, mut now) = (Schedule::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let sent = schedule.due(wish("1", "a"), now).writes;
            schedule.ended(&sent[0], Ended::Badly, now);
            let again = schedule.due(wish("1", "a"), now).again.unwrap();
            pauses.push(again - now);
            now = again;
        }
        assert_eq!(pauses[0], MIN_PAUSE);
        assert!(pauses.windows(2).all(|pair| pair[1] >= pair[0]));
        assert_eq!(pauses[9], MAX_PAUSE);
    }

    #[test]
    fn a_conflict_is_retried_soon() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let sent = schedule.due(wish("1", "a"), now).writes;
        schedule.ended(&sent[0], Ended::Stale, now);
        assert_eq!(schedule.due(wish("1", "a"), now).again, Some(now + CONFLICT_PAUSE));
        assert_eq!(schedule.due(wish("1", "a"), now + CONFLICT_PAUSE).writes.len(), 1);
    }
}
