//! A machine's own clusters: what they are made of and where that comes from, the engine they run in, kind, Istio, and what the
//! host lacks for them. Of scenarios it knows nothing but what they need of a cluster.

// Its macros stand for the standard ones.
#[macro_use]
extern crate meshproof_model;

pub mod cache;
pub mod chain;
pub mod cluster;
pub mod command;
pub mod doctor;
pub mod engine;
pub mod groups;
pub mod host;
pub mod host_changes;
pub mod supply;
