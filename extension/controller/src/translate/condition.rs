//! Conditions as they should be, without the times that only the writing side knows.

use serde::Serialize;

/// A condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// Type.
    pub r#type: &'static str,
    /// Status: `True` or `False`.
    pub status: &'static str,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// Why something is not so: reason and message of a negative condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// Whether something is so.
pub type Verdict<T = ()> = Result<T, Refusal>;

impl Refusal {
    /// A refusal.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Condition {
    /// A positive condition.
    pub fn met(r#type: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { r#type, status: "True", reason, message: message.into() }
    }

    /// A negative condition.
    pub fn unmet(r#type: &'static str, refusal: &Refusal) -> Self {
        Self { r#type, status: "False", reason: refusal.reason, message: refusal.message.clone() }
    }

    /// One or the other.
    pub fn of<T>(r#type: &'static str, verdict: &Verdict<T>, reason: &'static str, message: &str) -> Self {
        match verdict {
            Ok(_) => Self::met(r#type, reason, message),
            Err(refusal) => Self::unmet(r#type, refusal),
        }
    }
}

/// Whether a status is about to change by itself, so that writing it can wait for a moment. Without this, every
/// change of a route would write `Programmed: False` and, some milliseconds later, `True` again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub enum Settling {
    /// It stands.
    #[default]
    No,
    /// Only the number of attached routes differs, and the next route may be on its way: a fraction of a second.
    AttachedRoutes,
    /// Proxies have yet to connect, or to acknowledge: seconds.
    Acknowledgement,
    /// What was programmed seems not to be, and nothing else has changed: proxies that restart, or connect to a new leader. A
    /// quarter of a minute.
    Connection,
}
