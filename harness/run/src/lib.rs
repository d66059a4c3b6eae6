//! What scenarios mean: the vocabulary, one file a word, which reads and runs it; the runner; what it needs of the outside, as
//! traits; the rules by which causes are named. Nothing here knows how a cluster is reached.

pub mod action;
pub mod audit;
mod byte_string;
pub mod claim;
pub mod conformance;
pub mod context;
pub mod diagnosis;
pub mod matching;
pub mod ports;
pub mod probe;
pub mod reference;
pub mod runner;
pub mod scenario;
pub mod word;
