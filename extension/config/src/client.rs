//! The proxy's side: the store that responses are applied to, and the connection that keeps it current.

mod connection;
mod store;

pub use connection::{ClientOptions, ConnectionState, run};
pub use store::{Rejection, Resources, Store};
