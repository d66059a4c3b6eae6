//! Readiness with names: a program is ready when nothing blocks it, and `/readyz` says what does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What a program waits for, and remarks that do not keep it from being ready.
///
/// Cheap to clone; all clones see the same state. A program starts ready: everything it must wait for is a
/// [`Blocker`], taken out before the admin server starts.
#[derive(Clone, Debug)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    entries: Mutex<Entries>,
    ready: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Reason it blocks, or `None` when the blocker exists but is clear.
    blockers: BTreeMap<String, Option<String>>,
    notes: BTreeMap<String, String>,
}

impl Entries {
    fn is_ready(&self) -> bool {
        self.blockers.values().all(Option::is_none)
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self { inner: Arc::new(Inner { entries: Mutex::default(), ready: watch::Sender::new(true) }) }
    }
}

impl Readiness {
    /// A registry that nothing blocks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out a blocker that blocks from now on, because of `reason` ("waiting for the first certificate").
    ///
    /// Dropping the handle removes it. Two blockers of the same name share one entry: give each its own name.
    #[must_use = "a dropped blocker blocks nothing"]
    pub fn block(&self, name: impl Into<String>, reason: impl Into<String>) -> Blocker {
        let blocker = Blocker { name: name.into(), readiness: self.clone() };
        blocker.block(reason);
        blocker
    }

    /// Takes out a remark that `/readyz` prints and that never blocks.
    #[must_use = "a dropped note says nothing"]
    pub fn note(&self, name: impl Into<String>, text: impl Into<String>) -> Note {
        let note = Note { name: name.into(), readiness: self.clone() };
        note.set(text);
        note
    }

    /// Whether nothing blocks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.inner.ready.borrow()
    }

    /// Follows [`Self::is_ready`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.inner.ready.subscribe()
    }

    /// What blocks now: `(name, reason)`, in the order of the names.
    #[must_use]
    pub fn blocked_by(&self) -> Vec<(String, String)> {
        let entries = self.entries();
        entries.blockers.iter().filter_map(|(name, reason)| Some((name.clone(), reason.clone()?))).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A poisoned lock holds plain text that is whole after every statement: go on with it.
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Entries)) {
        let mut entries = self.entries();
        change(&mut entries);
        let ready = entries.is_ready();
        // Under the lock, so that subscribers see changes in the order they were made.
        self.inner.ready.send_if_modified(|now| std::mem::replace(now, ready) != ready);
    }
}

/// The text of `/readyz`: `ready` or `not ready`, then a line for each blocker (`-` waits, `+` done) and note (`*`).
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        writeln!(f, "{}", if entries.is_ready() { "ready" } else { "not ready" })?;
        for (name, reason) in &entries.blockers {
            match reason {
                Some(reason) => writeln!(f, "- {name}: {reason}")?,
                None => writeln!(f, "+ {name}")?,
            }
        }
        for (name, text) in &entries.notes {
            writeln!(f, "* {name}: {text}")?;
        }
        Ok(())
    }
}

/// Something the program waits for. Made by [`Readiness::block`]; removed on drop.
#[derive(Debug)]
pub struct Blocker {
    name: String,
    readiness: Readiness,
}

impl Blocker {
    /// Blocks (again), because of `reason`. Returns whether that is news.
    pub fn block(&self, reason: impl Into<String>) -> bool {
        self.set(Some(reason.into()))
    }

    /// Blocks no longer. Returns whether that is news.
    pub fn clear(&self) -> bool {
        self.set(None)
    }

    /// Blocks because of the reason, or clears without one. Returns whether that is news.
    pub fn set(&self, reason: Option<String>) -> bool {
        let mut changed = false;
        self.readiness.update(|entries| {
            changed = entries.blockers.get(&self.name) != Some(&reason);
            entries.blockers.insert(self.name.clone(), reason);
        });
        changed
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.readiness.update(|entries| {
            entries.blockers.remove(&self.name);
        });
    }
}

/// A remark in `/readyz`. Made by [`Readiness::note`]; removed on drop.
#[derive(Debug)]
pub struct Note {
    name: String,
    readiness: Readiness,
}

impl Note {
    /// Replaces the text. Returns whether that is news.
    pub fn set(&self, text: impl Into<String>) -> bool {
        let text = text.into();
        let mut changed = false;
        self.readiness.update(|entries| {
            changed = entries.notes.get(&self.name) != Some(&text);
            entries.notes.insert(self.name.clone(), text);
        });
        changed
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.readiness.update(|entries| {
            entries.notes.remove(&self.name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_only_when_nothing_blocks() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let config = readiness.block("configuration", "waiting for the first one");
        let certificate = readiness.block("certificate", "none yet");
        assert!(!readiness.is_ready());
        config.clear();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.blocked_by(), [("certificate".to_owned(), "none yet".to_owned())]);
        certificate.clear();
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_dropped_blocker_no_longer_blocks() {
        let readiness = Readiness::new();
        let blocker = readiness.block("listener", "not bound");
        drop(blocker);
        assert!(readiness.is_ready());
        assert_eq!(readiness.to_string(), "ready\n");
    }

    #[test]
    fn says_what_it_waits_for_and_what_it_remarks() {
        let readiness = Readiness::new();
        let _waits = readiness.block("a", "not yet");
        let done = readiness.block("b", "not yet");
        done.clear();
        let _note = readiness.note("mesh", "not integrated");
        assert_eq!(readiness.to_string(), "not ready\n- a: not yet\n+ b\n* mesh: not integrated\n");
    }

    #[test]
    fn tells_subscribers_only_of_changes() {
        let readiness = Readiness::new();
        let mut seen = readiness.subscribe();
        let blocker = readiness.block("a", "one");
        assert!(seen.has_changed().unwrap());
        assert!(!*seen.borrow_and_update());
        assert!(blocker.block("two"), "another reason is news");
        assert!(!blocker.block("two"));
        assert!(!seen.has_changed().unwrap(), "still not ready: nothing to tell");
        blocker.clear();
        assert!(*seen.borrow_and_update());
    }
}
