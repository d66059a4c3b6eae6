//! Data-plane resources and the delta protocol between controller and proxy.
//!
//! The controller publishes whole [`Snapshot`]s into a [`server::Hub`]; every proxy of that load balancer gets
//! what differs from what it holds, applies it whole or refuses it, and says so. [`server::Acks`] is how
//! the controller learns that a route is programmed. The two state machines ([`server::Session`] and
//! [`client::Store`]) are pure; tonic is a thin layer over them.

pub mod client;
mod secret;
pub mod server;
mod snapshot;

pub use snapshot::{Snapshot, version_of};

/// The generated protocol types; `proto/alb/config/v1/config.proto` documents every field.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("alb.config.v1");
}

pub use proto::resource::Kind;

/// Largest message either side accepts, in bytes: room for tens of thousands of routes in one response.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Audience of the service-account token with which a proxy authenticates.
pub const TOKEN_AUDIENCE: &str = "alb-controller";
