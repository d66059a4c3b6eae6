//! What the three programs share: readiness, admin server, Lease, logging, shutdown.
