//! Listeners to the stream, and what brings events to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Event;

/// A listener to the stream. Must be quick: it is called in line. What goes wrong in a reporter is its own to tell.
pub trait EventSink: Send + Sync {
    /// Takes notice of an event.
    fn emit(&self, event: &Event);
}

/// Hands each event to several listeners, in order.
#[derive(Clone, Default)]
pub struct Fanout(Vec<Arc<dyn EventSink>>);

impl Fanout {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a listener.
    #[must_use]
    pub fn with(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.0.push(sink);
        self
    }
}

impl EventSink for Fanout {
    fn emit(&self, event: &Event) {
        for sink in &self.0 {
            sink.emit(event);
        }
    }
}

/// Keeps every event, for reporters that write once at the end and for tests.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Recorder {
    fn emit(&self, event: &Event) {
        self.lock().push(event.clone());
    }
}

/// Turns progress into phase events, so that work which knows only [`Progress`](crate::progress::Progress) is heard.
pub struct PhaseEvents<'a>(pub &'a dyn EventSink);

impl crate::progress::Progress for PhaseEvents<'_> {
    fn started(&self, phase: &str, expected: Option<std::time::Duration>) {
        let expected_ms = expected.map(milliseconds);
        self.0.emit(&Event::PhaseStarted { phase: phase.to_owned(), expected_ms });
    }

    fn note(&self, phase: &str, message: &str) {
        self.0.emit(&Event::PhaseNote { phase: phase.to_owned(), message: message.to_owned() });
    }

    fn finished(&self, phase: &str, elapsed: std::time::Duration, error: Option<&str>) {
        self.0.emit(&Event::PhaseFinished {
            phase: phase.to_owned(),
            elapsed_ms: milliseconds(elapsed),
            error: error.map(str::to_owned),
        });
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
