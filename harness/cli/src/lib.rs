//! Proves, on a real cluster, what a document promises about a gateway in front of an Istio mesh.

// First: its macros stand for the standard ones in every module after it.
#[macro_use]
extern crate meshproof_model;

mod built_in;
pub mod cli;
pub mod mutant;
