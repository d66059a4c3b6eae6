//! Matching and precedence of HTTPRoutes and GRPCRoutes, pure.
//!
//! A [`Table`] answers, for one bound port, which rule a request belongs to: first the listener with the most
//! specific hostname, then, among the rules attached to it, the first in Gateway API precedence
//! (HTTPRouteRule.matches). It is built once per configuration; a lookup allocates nothing and costs a few
//! hash look-ups however many routes there are.

mod grpc;
mod hostname;
mod matching;
mod path;
mod precedence;
mod table;
mod weight;

pub use grpc::is_grpc;
pub use hostname::{HostMap, Hostname, InvalidHostname};
pub use matching::{Match, PathMatch, RequestParts};
pub use path::{EncodedSlashes, Normalization, PathError, PathPolicy};
pub use precedence::{Order, Precedence};
pub use table::{Found, Listener, Lookup, Rule, Table};
pub use weight::Weighted;
