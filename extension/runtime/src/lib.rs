//! What the programs of the extension share, so that they look alike from outside: readiness that names what it waits
//! for, one admin server, JSON logs, an orderly shutdown, and (feature `lease`) leader election.
//!
//! Nothing here knows what the programs do. The data plane uses it without the feature `lease`, so it links no
//! Kubernetes client.

pub mod admin;
pub mod process;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;

#[cfg(feature = "fake-api")]
pub mod fake_api;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "lease")]
pub mod lease;

pub use admin::Admin;
pub use process::install_crypto_provider;
pub use readiness::{Blocker, Note, Readiness};
pub use shutdown::shutdown_on_signals;
