//! Wiring: everything started in order, and stopped in the order that lets the other replica take over at once.

use crate::auth::TokenReviews;
use crate::cli::Args;
use crate::controller::{Controller, Inquiry};
use crate::events::Reporter;
use crate::leader::Leader;
use crate::metrics::Metrics;
use crate::watch;
use alb_api::names;
use alb_config::server::Hub;
use alb_runtime::lease::{Election, LeaseConfig};
use alb_runtime::{Admin, Readiness};
use anyhow::Context as _;
use prometheus_client::registry::Registry;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Changes that may wait for the loop; the watches wait beyond that.
const CHANGES: usize = 256;

/// Runs the controller until it is told to stop.
///
/// # Errors
/// When it cannot start: a port is taken, there is no API server to be found, the flags contradict each other.
pub fn run(args: Args) -> anyhow::Result<()> {
    alb_runtime::install_crypto_provider();
    // Two threads: one translates, the other keeps the Lease and the streams alive. They are started here and not in the
    // program: whoever polls a future has it compiled, and all that is in it.
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(start(args))
}

async fn start(args: Args) -> anyhow::Result<()> {
    alb_runtime::telemetry::init(&args.log).context("setting up logs")?;
    #[cfg(feature = "faults")]
    crate::faults::begin();
    tracing::info!("following edition {} of the document", args.edition);
    let shutdown = alb_runtime::shutdown_on_signals().context("handling signals")?;
    let readiness = Readiness::new();
    let blocker = readiness.block("watches", "waiting for the API server");

    let client = kube::Client::try_default().await.context("finding the API server")?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let mut config = LeaseConfig::new(names::CONTROLLER_NAMESPACE, names::CONTROLLER_LEASE, &args.pod_name);
    config.lease_duration = args.lease_duration;
    config.renew_deadline = args.lease_renew_deadline;
    config.retry_period = args.lease_retry_period;
    let (election, leadership) = Election::new(client.clone(), config).context("the Lease's durations")?;
    election.register_metrics(&mut registry);

    let (inquiries, questions) = mpsc::channel::<Inquiry>(4);
    let admin = Admin::new(readiness.clone(), registry).json("/debug/world", move || {
        let inquiries = inquiries.clone();
        async move {
            let (answer, receiver) = oneshot::channel();
            if inquiries.send(answer).await.is_err() {
                return json!({"error": "shutting down"});
            }
            match receiver.await {
                // In a thread of its own: what the loop and the streams run on has better things to do.
                Ok(inspection) => tokio::task::spawn_blocking(move || inspection.page())
                    .await
                    .unwrap_or_else(|error| json!({"error": error.to_string()})),
                Err(_) => json!({"error": "shutting down"}),
            }
        }
    });
    let listener = TcpListener::bind(&args.admin_address)
        .await
        .with_context(|| format!("listening on {} for the admin server", args.admin_address))?;
    let last = CancellationToken::new();
    let admin = tokio::spawn(admin.serve(listener, last.clone()));

    let hub = Hub::new();
    let (tls, serving) = tokio::sync::watch::channel(None);
    let listener = TcpListener::bind(args.config_address)
        .await
        .with_context(|| format!("listening on {} for proxies", args.config_address))?;
    let served = {
        let (hub, last) = (hub.clone(), last.clone());
        let reviews = Arc::new(TokenReviews::new(client.clone()));
        tokio::spawn(async move { alb_config::server::serve(listener, serving, &hub, reviews, last).await })
    };

    let (changes, receiver) = mpsc::channel(CHANGES);
    let watches = watch::spawn(&client, &changes);
    drop(changes);
    let (reporter, events) = Reporter::new(client.clone(), &args.pod_name);
    let events = tokio::spawn(events);
    let leader = Leader {
        client: client.clone(),
        hub: hub.clone(),
        leadership: leadership.clone(),
        tls,
        address: args.pod_ip,
    };
    let leader = tokio::spawn(leader.run(shutdown.clone()));
    let lease = CancellationToken::new();
    let election = tokio::spawn(election.run(lease.clone()));
    let controller =
        Controller { client, settings: args.settings(), hub, leadership, blocker, reporter, metrics };
    // Returns when no write is under way: only then may the other replica begin.
    controller.run(receiver, questions, shutdown.clone()).await;
    if !shutdown.is_cancelled() {
        tracing::error!("the watches have ended although nothing told them to");
        shutdown.cancel();
    }
    let _ = leader.await;
    lease.cancel();
    let _ = election.await;
    drop(watches);
    events.abort();
    last.cancel();
    let _ = served.await;
    let _ = admin.await;
    Ok(())
}
