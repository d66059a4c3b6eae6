//! ALB Controller: Gateway API in, data-plane configuration and status out.
