//! The data plane in this process: real sockets and real TLS on loopback, a certificate authority of our own, echoing
//! pods. Milliseconds each, no sleeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod affinity;
mod client_certificates;
mod damaged;
mod early;
mod filters;
mod forwarding;
mod grpc;
mod grpc_routes;
mod http;
mod https;
mod lifecycle;
mod limits;
mod messages;
mod mirrors;
mod mtls;
mod neighbours;
mod pods;
mod pool;
mod server_tls;
mod support;
mod tenants;
mod timeouts;
mod tls_client;
mod tls_policies;
mod tls_routes;
mod uploads;
mod websocket;
