//! Flags. The chart sets them, by environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alb_api::{Edition, names};
use alb_runtime::lease::LeaseConfig;
use anyhow::Context;
use clap::Parser;

use crate::app::Settings;
use crate::environment::Names;

/// Publishes this pod's Istio workload certificate for ALB Controller.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Namespace of this pod and of ALB Controller.
    #[arg(long, env = "POD_NAMESPACE", default_value = names::CONTROLLER_NAMESPACE)]
    pub namespace: String,
    /// This pod's name.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,
    /// This pod's uid.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: Option<String>,
    /// This pod's Deployment; also the name of the Lease.
    #[arg(long, default_value = "alb-controller-istio-extension")]
    pub deployment: String,
    /// ALB Controller's Deployment, which must be there.
    #[arg(long, default_value = "alb-controller")]
    pub controller: String,
    /// The Secret to publish.
    #[arg(long, default_value = names::IDENTITY_SECRET)]
    pub secret: String,
    /// Where the sidecar writes the certificate (its OUTPUT_CERTS).
    #[arg(long, default_value = "/etc/istio-output-certs")]
    pub certificates: PathBuf,
    /// Where /healthz, /readyz and /metrics are.
    #[arg(long, default_value_t = alb_runtime::admin::DEFAULT_ADDRESS)]
    pub admin_address: SocketAddr,
    /// How long a standby waits after the last renewal it saw, in whole seconds.
    #[arg(long, default_value_t = 15)]
    pub lease_duration: u64,
    /// How long after its last renewal a leader still leads, in seconds; less than the lease duration.
    #[arg(long, default_value_t = 10.0)]
    pub renew_deadline: f64,
    /// Time between renewals, in seconds.
    #[arg(long, default_value_t = 2.0)]
    pub retry_period: f64,
    /// The edition of the document to follow, by its date.
    #[arg(long, default_value_t)]
    pub edition: Edition,
    /// What to log.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

impl Args {
    /// What [`crate::app`] must be told.
    ///
    /// # Errors
    /// A time is no number of seconds.
    pub fn settings(self) -> anyhow::Result<Settings> {
        let seconds = |name, value| {
            Duration::try_from_secs_f64(value).with_context(|| format!("--{name} {value}: expected seconds"))
        };
        let lease = LeaseConfig {
            lease_duration: Duration::from_secs(self.lease_duration),
            renew_deadline: seconds("renew-deadline", self.renew_deadline)?,
            retry_period: seconds("retry-period", self.retry_period)?,
            ..LeaseConfig::new(&self.namespace, &self.deployment, &self.pod_name)
        };
        let names = Names {
            namespace: self.namespace,
            deployment: self.deployment,
            controller: self.controller,
            custom_resource: format!("applicationloadbalancers.{}", names::GROUP),
            edition: self.edition,
        };
        Ok(Settings {
            names,
            pod: self.pod_name,
            pod_uid: self.pod_uid,
            certificates: self.certificates,
            secret: self.secret,
            lease,
        })
    }
}
