//! From flags to a running extension: logs, signals, the admin server's port, the API server.

use anyhow::Context;
use tokio::net::TcpListener;

use crate::app;
use crate::cli::Args;

/// Runs the extension until it is told to stop.
///
/// # Errors
/// When it cannot start: the port is taken, there is no API server to be found, the flags contradict each other.
pub fn run(args: Args) -> anyhow::Result<()> {
    alb_runtime::install_crypto_provider();
    // Not in the program: whoever polls a future has it compiled, and all that is in it.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(start(args))
}

async fn start(args: Args) -> anyhow::Result<()> {
    alb_runtime::telemetry::init(&args.log)?;
    #[cfg(feature = "faults")]
    crate::faults::begin();
    tracing::info!("following edition {} of the document", args.edition);
    let shutdown = alb_runtime::shutdown_on_signals().context("listening for signals")?;
    let admin = TcpListener::bind(args.admin_address)
        .await
        .with_context(|| format!("listening on {}", args.admin_address))?;
    let client = kube::Client::try_default().await.context("finding the Kubernetes API server")?;
    app::run(client, args.settings()?, admin, shutdown).await
}
