//! The stages towards pods: choosing one ([`Backend`]), connecting to it, exchanging messages ([`Exchange`]); and the
//! connections to each that wait for the next request.

mod backend;
mod certificate;
mod connect;
mod exchange;
mod pool;
mod protocol;
mod secret;
mod security;
mod socket;
mod stream;
mod verify;

pub(crate) use backend::Backend;
pub(crate) use certificate::{Certificate, identity};
#[cfg(feature = "faults")]
pub(crate) use connect::{Connection, clear_text};
pub(crate) use exchange::{Exchange, Outcome, Timeouts};
pub(crate) use pool::{PodToken, Upstream};
pub(crate) use protocol::Protocol;
pub(crate) use secret::{provider, roots};
pub(crate) use security::{Identity, Security, server_tls};
pub(crate) use stream::{Stream, stream_to};
