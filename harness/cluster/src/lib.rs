//! What the runner needs of the outside, on a real cluster: its objects, requests from a vantage, witnesses, evidence, and the
//! facts that causes are named by; and clusters that somebody else made.

pub mod conformance;
pub mod evidence;
pub mod existing;
pub mod live;
pub mod mesh;
pub mod objects;
pub mod probe;
pub mod witness;
