//! Who wrote what, and who held a Lease meanwhile, from the API server's audit log (pure).
//!
//! A Lease says who calls himself its holder; whether the others keep from writing it does not say. The audit log does: each
//! entry is a request, with the token it came with, and the token that the kubelet gives a pod names that pod. All times are of
//! one clock, the API server's, so that they can be compared with one another.
//!
//! | module | question |
//! |---|---|
//! | [`LeaderElection`] | of which pods, and by which Lease? |
//! | [`entry`] | what does a line of the log say? |
//! | [`holders`] | who held the Lease when? |
//! | [`judge`] | was every write by the pod that held it? |

pub mod entry;
pub mod holders;
pub mod judge;

use jiff::Timestamp;

pub use entry::{Holding, Pod, Target, Write};
pub use judge::{Finding, Offence, judge};
pub use meshproof_model::implementation::LeaderElection;

/// What was read of an API server's audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditLog {
    /// The time by the API server's clock when it was read.
    pub now: Timestamp,
    /// It holds everything from then on; from the start of the API server if nothing is said.
    pub from: Option<Timestamp>,
    /// It is kept by our own policy, which leaves out no write that matters.
    pub own: bool,
    /// Writes by pods, and of the Lease, in the order of the log.
    pub writes: Vec<Write>,
}

/// Whether there is a log to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audited {
    /// There is.
    Log(AuditLog),
    /// There is none, or it cannot be read: why.
    NotKept(String),
}

#[cfg(test)]
mod tests;
