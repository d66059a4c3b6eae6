//! Entry point: arguments, logs, signals, and [`alb_controller_istio_extension::app::run`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alb_api::names;
use alb_controller_istio_extension::app::{Settings, run};
use alb_controller_istio_extension::environment::Names;
use alb_runtime::lease::LeaseConfig;
use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Publishes this pod's Istio workload certificate for ALB Controller.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Namespace of this pod and of ALB Controller.
    #[arg(long, env = "POD_NAMESPACE", default_value = names::CONTROLLER_NAMESPACE)]
    namespace: String,
    /// This pod's name.
    #[arg(long, env = "POD_NAME")]
    pod_name: String,
    /// This pod's uid.
    #[arg(long, env = "POD_UID")]
    pod_uid: Option<String>,
    /// This pod's Deployment; also the name of the Lease.
    #[arg(long, default_value = "alb-controller-istio-extension")]
    deployment: String,
    /// ALB Controller's Deployment, which must be there.
    #[arg(long, default_value = "alb-controller")]
    controller: String,
    /// The Secret to publish.
    #[arg(long, default_value = names::IDENTITY_SECRET)]
    secret: String,
    /// Where the sidecar writes the certificate (its OUTPUT_CERTS).
    #[arg(long, default_value = "/etc/istio-output-certs")]
    certificates: PathBuf,
    /// Where /healthz, /readyz and /metrics are.
    #[arg(long, default_value_t = alb_runtime::admin::DEFAULT_ADDRESS)]
    admin_address: SocketAddr,
    /// How long a standby waits after the last renewal it saw, in whole seconds.
    #[arg(long, default_value_t = 15)]
    lease_duration: u64,
    /// How long after its last renewal a leader still leads, in seconds; less than the lease duration.
    #[arg(long, default_value_t = 10.0)]
    renew_deadline: f64,
    /// Time between renewals, in seconds.
    #[arg(long, default_value_t = 2.0)]
    retry_period: f64,
    /// What to log.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
}

impl Args {
    fn settings(self) -> anyhow::Result<Settings> {
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    alb_runtime::install_crypto_provider();
    alb_runtime::telemetry::init(&args.log)?;
    let shutdown = alb_runtime::shutdown_on_signals().context("listening for signals")?;
    let admin = TcpListener::bind(args.admin_address)
        .await
        .with_context(|| format!("listening on {}", args.admin_address))?;
    let client = kube::Client::try_default().await.context("finding the Kubernetes API server")?;
    run(client, args.settings()?, admin, shutdown).await
}
