//! ALB Controller: Gateway API in, data-plane configuration and status out.
//!
//! Watches feed one [`world::World`]; a pure [`translate::translate`] says what should be; [`plan`] compares that with
//! what is and names the writes; [`controller`] ties them together, and the rest of the crate does I/O.

pub mod apply;
pub mod auth;
pub mod authority;
pub mod cli;
pub mod controller;
pub mod events;
#[cfg(feature = "faults")]
mod faults;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod references;
pub mod request;
pub mod run;
pub mod schedule;
pub mod translate;
pub mod watch;
pub mod world;
