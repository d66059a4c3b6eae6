//! The data plane of an ApplicationLoadBalancer: HTTP/1.1 and HTTP/2 in, either to pods, over clear text, Istio mutual TLS
//! or TLS.
//!
//! [`run()`] is the program; [`Proxy`] is the data plane without controller, signals and admin pages, as tests use it.

mod accept;
mod account;
mod activity;
mod affinity;
mod body;
mod client;
mod config;
mod deadline;
mod ending;
mod error;
#[cfg(feature = "faults")]
mod faults;
mod filters;
mod headers;
mod idle;
mod keepalive;
mod limits;
mod matching;
mod metrics;
mod mirrors;
mod options;
mod parse;
mod pipeline;
mod proxy;
mod run;
mod settings;
mod termination;
mod tls_info;
mod tunnel;
mod upload;
mod upstream;
mod workers;

pub use account::{AccessLog, DownstreamTls, Record, Stdout, UpstreamTls};
pub use error::{Reason, Side};
pub use metrics::Metrics;
pub use options::Options;
pub use proxy::Proxy;
pub use run::run;
pub use settings::{Bind, MinimumRate, Settings};
pub use workers::Workers;
