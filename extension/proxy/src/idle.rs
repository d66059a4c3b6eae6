//! Noticing that nothing moves, or too little: the one way in which the data plane finds out that somebody has fallen silent.
//!
//! [`Timer`] is for whoever is polled while it waits, [`Since`] for whoever must find out about somebody else.

mod since;
mod timer;

pub(crate) use since::Since;
pub(crate) use timer::{Stalled, Timer};
