//! The data plane of an ApplicationLoadBalancer: HTTP/1.1 and HTTP/2 in, HTTP/1.1 to pods, over clear text, Istio mutual
//! TLS or TLS.
//!
//! [`run()`] is the program; [`Proxy`] is the data plane without controller, signals and admin pages, as tests use it.

mod access_log;
mod body;
mod client;
mod config;
mod error;
mod exchange;
#[cfg(feature = "faults")]
mod faults;
mod handle;
mod headers;
mod metrics;
mod options;
mod proxy;
mod run;
mod settings;
mod shared;
mod stall;
mod tapped;
mod upstream;

pub use access_log::{AccessLog, Record, Stdout, UpstreamTls};
pub use error::{Reason, Side};
pub use metrics::Metrics;
pub use options::Options;
pub use proxy::Proxy;
pub use run::run;
pub use settings::{Bind, Settings};
