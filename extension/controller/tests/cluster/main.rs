//! The controller against an API server in this process, with proxies on loopback. (TLS is covered by the tests of
//! `authority` and by those of alb-config; the stream is clear text here.)
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod references;
mod status;
mod support;
