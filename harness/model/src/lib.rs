//! What is said: documents of YAML with places, kinds, requirements, implementation files, scenarios as trees, events,
//! verdicts. Pure: nothing here knows an async runtime or a cluster.

pub mod coverage;
pub mod diagnoses;
pub mod digest;
pub mod event;
pub mod foreign;
pub mod implementation;
pub mod istio;
pub mod pack;
pub mod progress;
pub mod provider;
pub mod requirement;
pub mod scenario;
pub mod schema;
pub mod vantage;
pub mod vars;
pub mod verdict;
pub mod visible;
pub mod workspace;
pub mod yaml;
