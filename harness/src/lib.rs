//! Proves, on a real cluster, what a document promises about a gateway in front of an Istio mesh.

// First: its macros stand for the standard ones in every module after it.
#[macro_use]
mod visible;

mod chain;
pub mod claim;
pub mod cli;
pub mod cluster;
pub mod coverage;
pub mod diagnosis;
pub mod digest;
pub mod doctor;
pub mod document;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod foreign;
pub mod host_changes;
pub mod implementation;
pub mod mesh;
pub mod mutant;
pub mod ports;
pub mod probe;
pub mod progress;
pub mod report;
pub mod requirement;
pub mod runner;
pub mod scenario;
pub mod supply;
pub mod witness;
pub mod yaml;
