//! Proves, on a real cluster, what a document promises about a gateway in front of an Istio mesh.

pub mod probe;
pub mod progress;
pub mod yaml;
