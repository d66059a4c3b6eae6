//! Who held a Lease when: by its writes as the API server did them, not by the word of whoever holds it.

use jiff::{SignedDuration, Timestamp};

use super::entry::{Holding, Pod, Write};

/// How long a Lease holds that does not say.
const USUAL: u32 = 15;

/// From one pod's taking a Lease until it was given up, ran out or was taken by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What the holder calls itself.
    pub identity: String,
    /// Which pod it was: the one whose token the Lease was taken with.
    pub pod: Option<Pod>,
    /// When the request came that took it. Before that the pod cannot have known.
    pub from: Timestamp,
    /// When it had run out, counted from the last renewal's answer.
    expires: Timestamp,
    /// The last renewal, as the holder calls it.
    renewed: String,
    /// When the write was done that ended it.
    ended: Option<Timestamp>,
}

impl Term {
    /// The last moment at which a write of the holder can have come in time. A request that came while the one was under way that
    /// ended the term cannot be told from one before.
    pub fn until(&self) -> Timestamp {
        self.ended.map_or(self.expires, |ended| ended.min(self.expires))
    }

    fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until()
    }
}

/// A Lease over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Terms, in order.
    pub terms: Vec<Term>,
    /// When the first write of the Lease in the log came. Who held it before has to be seen elsewhere.
    pub first: Option<Timestamp>,
    /// When the last one came.
    pub last: Option<Timestamp>,
    /// How long the Lease held at first, without a renewal.
    pub seconds: u32,
}

impl History {
    /// What the writes of one Lease, in any order, tell.
    pub fn of<'a>(writes: impl Iterator<Item = &'a Write>) -> Self {
        let mut known: Vec<(&Write, &Holding)> =
            writes.filter_map(|write| Some((write, write.holding.as_ref()?))).collect();
        // Each write of an object gets a higher version than the one before; by that they are ordered even if one was answered late.
        match known.iter().all(|(_, holding)| holding.version.is_some()) {
            true => known.sort_by_key(|(write, holding)| (holding.version, write.done)),
            false => known.sort_by_key(|(write, _)| write.done),
        }
        let mut history = Self { seconds: USUAL, ..Self::default() };
        if let Some((_, holding)) = known.first() {
            history.seconds = holding.seconds.unwrap_or(USUAL);
        }
        for (write, holding) in known {
            history.first = Some(history.first.map_or(write.received, |first| first.min(write.received)));
            history.last = Some(history.last.map_or(write.received, |last| last.max(write.received)));
            history.note(write, holding);
        }
        history
    }

    fn note(&mut self, write: &Write, holding: &Holding) {
        let expires = after(write.done, holding.seconds.unwrap_or(USUAL));
        let open = self.terms.last_mut().filter(|term| term.ended.is_none());
        if let Some(term) = open {
            if term.identity == holding.identity && write.received <= term.expires {
                // Somebody may have changed a label before the first renewal that the log has.
                if term.pod.is_none() {
                    term.pod.clone_from(&write.pod);
                }
                // A write that is no renewal does not lengthen it, nor one in its name by another.
                if write.pod == term.pod && holding.renewed != term.renewed {
                    term.expires = expires;
                    term.renewed.clone_from(&holding.renewed);
                }
                return;
            }
            term.ended = Some(write.done);
        }
        if !holding.identity.is_empty() {
            self.terms.push(Term {
                identity: holding.identity.clone(),
                pod: write.pod.clone(),
                from: write.received,
                expires,
                renewed: holding.renewed.clone(),
                ended: None,
            });
        }
    }

    /// Whether a pod held it when a request came.
    pub fn held_by(&self, pod: &Pod, at: Timestamp) -> bool {
        self.terms.iter().any(|term| term.pod.as_ref() == Some(pod) && term.covers(at))
    }

    /// Who held it when a request came: the last who had taken it by then.
    pub fn holder(&self, at: Timestamp) -> Option<&Term> {
        self.terms.iter().rev().find(|term| term.covers(at))
    }

    /// Whether a pod has ever held it before, and until when.
    pub fn held_until(&self, pod: &Pod, at: Timestamp) -> Option<Timestamp> {
        let before = |term: &&Term| term.pod.as_ref() == Some(pod) && term.until() < at;
        self.terms.iter().rev().find(before).map(Term::until)
    }
}

/// So many seconds later.
pub(super) fn after(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX)
}
