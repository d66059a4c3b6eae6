//! The answers of one claim: all of them, and those in a row that are as wanted.

use tokio::time::Instant;

use crate::claim::manner;
use crate::claim::tally::Tally;
use crate::probe::replayed::Answered;
use crate::probe::strip::Strip;
use crate::probe::{Answer, Ask};
use meshproof_model::scenario::limits::{CONSECUTIVE, Stays};

/// How many answers a failure keeps for the evidence.
const KEPT: usize = 20;

/// Why a claim about many requests does not hold.
pub(super) struct Against {
    pub(super) because: String,
    /// It cannot come to hold any more.
    pub(super) for_good: bool,
    /// What speaks against it, where that is no answer alone.
    pub(super) by: Option<&'static str>,
}

impl Against {
    pub(super) fn answer(because: String, for_good: bool) -> Self {
        Self { because, for_good, by: None }
    }
}

/// The answers of one claim so far.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) count: usize,
    pub(super) all: Tally,
    pub(super) over_time: Strip,
    pub(super) latest: Vec<Answer>,
    answered: Answered,
}

impl Answers {
    /// Counts an answer. What is wrong with it, if it was given to an earlier request as well.
    pub(super) fn add(&mut self, at_ms: u64, ask: &Ask, answer: Answer) -> Option<String> {
        self.count += 1;
        self.all.count(&answer);
        self.over_time.add(at_ms, &answer);
        if !manner::tells_who(ask) {
            return None;
        }
        let again = self.answered.again(&answer);
        if self.latest.len() >= KEPT {
            self.latest.remove(0);
        }
        self.latest.push(answer);
        again
    }
}

/// Right answers in a row.
pub(super) struct Run {
    pub(super) since: Instant,
    pub(super) answers: Vec<Answer>,
}

impl Run {
    pub(super) fn since(since: Instant) -> Self {
        Self { since, answers: Vec::new() }
    }

    pub(super) fn and(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Whether it is long enough to count as having become true.
    pub(super) fn became(&self) -> bool {
        self.answers.len() >= CONSECUTIVE
    }

    /// Whether it went on as long as was asked for.
    pub(super) fn stayed(&self, stays: Option<Stays>) -> bool {
        match stays {
            None => true,
            Some(Stays::Requests(count)) => self.answers.len() >= count,
            Some(Stays::Time(time)) => self.since.elapsed() >= time,
            // Said in time before anything is asked.
            Some(Stays::Drains(_)) => false,
        }
    }
}
