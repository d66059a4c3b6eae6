//! How often the world is translated. Pure: time comes from outside.

use std::time::{Duration, Instant};

/// Least time between two translations of the leader: a burst of changes is one translation, a single change waits for
/// nothing.
const LEADER: Duration = Duration::from_millis(10);
/// The same for a replica that nobody reads from. It stays warm without taking the leader's processor time.
const STANDBY: Duration = Duration::from_millis(250);

/// Remembers when the last translation ended.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
}

impl Pace {
    /// When a change that arrives `now` is to be translated.
    pub(super) fn next(&self, now: Instant, leader: bool) -> Instant {
        let pause = if leader { LEADER } else { STANDBY };
        self.last.map_or(now, |last| now.max(last + pause))
    }

    /// A translation ended.
    pub(super) fn translated(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_after_a_pause_is_translated_at_once() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.next(start, true), start, "the first");
        pace.translated(start);
        let later = start + LEADER * 2;
        assert_eq!(pace.next(later, true), later);
    }

    #[test]
    fn changes_in_a_burst_wait_for_each_other() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.translated(start);
        assert_eq!(pace.next(start + LEADER / 2, true), start + LEADER);
    }

    #[test]
    fn a_standby_translates_less_often() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.translated(start);
        assert_eq!(pace.next(start + LEADER * 2, false), start + STANDBY);
    }
}
