//! ALB Controller Istio Extension: workload certificate in, Secret out.
//!
//! The pod carries an Istio sidecar that captures no traffic: all it does is obtain the pod's workload certificate from
//! istiod and write it to files. [`files`] follows the files, [`certificate`] checks them, and the replica that holds
//! the Lease publishes them, by [`publish`], as the Secret that ALB Controller reads. [`environment`] judges whether
//! there is what it takes: ALB Controller, a sidecar, an Istio that is new enough.

pub mod app;
pub mod certificate;
pub mod cli;
pub mod environment;
#[cfg(feature = "faults")]
mod faults;
pub mod files;
pub mod metrics;
pub mod publish;
pub mod run;
pub mod status;
#[cfg(test)]
mod testing;
