//! The controller's side: sessions, the hub that snapshots are published to, and the gRPC service.

mod acks;
mod hub;
mod serve;
mod service;
mod session;

pub use acks::{AckChanges, Acks, ProxyState, Rejection, ResourceState};
pub use hub::Hub;
pub use serve::serve;
pub use service::{Authenticate, Caller, Refusal};
pub use session::{Acknowledgement, Session};
