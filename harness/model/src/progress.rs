//! Progress of anything that takes longer than a second: phases with a name, elapsed and expected time.
//!
//! Work reports to a [`Progress`]; what becomes of it (a bar on a terminal, plain lines in CI, nothing
//! in a test) is the caller's choice.

use std::time::{Duration, Instant};

/// Receiver of progress. Phases may nest and may run side by side; each is named by its [`Phase`].
pub trait Progress: Send + Sync {
    /// A phase begins. `expected` is what it took last time on this machine, if known.
    fn started(&self, phase: &str, expected: Option<Duration>);
    /// A phase says what it is doing now (one short line).
    fn note(&self, phase: &str, message: &str);
    /// A phase ended after `elapsed`; `error` holds the reason when it failed.
    fn finished(&self, phase: &str, elapsed: Duration, error: Option<&str>);
}

/// Discards everything.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str, _: Option<Duration>) {}
    fn note(&self, _: &str, _: &str) {}
    fn finished(&self, _: &str, _: Duration, _: Option<&str>) {}
}

/// One running phase. Dropping it without [`Phase::done`] or [`Phase::fail`] reports it as interrupted.
pub struct Phase<'a> {
    progress: &'a dyn Progress,
    name: String,
    since: Instant,
    ended: bool,
}

impl<'a> Phase<'a> {
    /// Begins a phase.
    pub fn start(progress: &'a dyn Progress, name: impl Into<String>, expected: Option<Duration>) -> Self {
        let name = name.into();
        progress.started(&name, expected);
        Self { progress, name, since: Instant::now(), ended: false }
    }

    /// Says what the phase is doing now.
    pub fn note(&self, message: &str) {
        self.progress.note(&self.name, message);
    }

    /// Ends the phase well; returns how long it took.
    pub fn done(mut self) -> Duration {
        self.ended = true;
        let elapsed = self.since.elapsed();
        self.progress.finished(&self.name, elapsed, None);
        elapsed
    }

    /// Ends the phase with a reason.
    pub fn fail(mut self, reason: &str) {
        self.ended = true;
        self.progress.finished(&self.name, self.since.elapsed(), Some(reason));
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.progress.finished(&self.name, self.since.elapsed(), Some("interrupted"));
        }
    }
}
