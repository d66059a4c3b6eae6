//! The program: connects the proxy with the controller, the admin server and the signals.

use crate::account::Stdout;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::workers::Workers;
use alb_config::client::{ConnectionState, Store, run as follow};
use alb_runtime::{Admin, Note, Readiness, install_crypto_provider, shutdown_on_signals, telemetry};
use anyhow::Context;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often idle connections to pods are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);

/// Runs until SIGTERM or SIGINT and the end of the drain.
///
/// # Errors
/// When the program cannot start: logging, ports, threads.
pub fn run(options: Options) -> anyhow::Result<()> {
    telemetry::init(&options.log)?;
    #[cfg(feature = "faults")]
    crate::faults::begin();
    install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Requests are served by threads of their own.
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the tokio runtime")?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let shutdown = shutdown_on_signals().context("installing signal handlers")?;
    let readiness = Readiness::new();
    let configured = readiness.block("configuration", "waiting for the first one from alb-controller");
    let controller = readiness.note("controller", "not connected yet");

    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let (log, log_thread) =
        Stdout::start(metrics.access_log_dropped.clone()).context("starting the access log")?;
    let workers = Workers::start(options.workers).context("starting the threads that serve requests")?;
    let settings = Settings { workers, ..options.settings() };
    if !settings.upstream_alpn.is_empty() {
        tracing::warn!(alpn = ?options.upstream_alpn_for_tests, "offering application protocols upstream: for tests only");
    }
    let proxy = Arc::new(Proxy::new(settings, Arc::new(log), metrics));

    let listener = TcpListener::bind(options.admin_address)
        .await
        .with_context(|| format!("listening on {} for the admin pages", options.admin_address))?;
    // The admin pages stay until the very end, so that they can say that the proxy drains.
    let end = CancellationToken::new();
    let debug = proxy.clone();
    let admin = Admin::new(readiness.clone(), registry).json("/debug/config", move || {
        let proxy = debug.clone();
        async move { proxy.debug() }
    });
    let admin = tokio::spawn(admin.serve(listener, end.clone()));
    let sweeper = tokio::spawn({
        let (proxy, end) = (proxy.clone(), end.clone());
        async move { proxy.sweep(SWEEP_INTERVAL, end).await }
    });

    let (state, mut changes) = watch::channel(ConnectionState::default());
    let client = tokio::spawn({
        let (proxy, end, options) = (proxy.clone(), end.clone(), options.client());
        async move {
            let mut store = Store::default();
            let apply = |resources: &_| {
                #[cfg(feature = "faults")]
                if let Some(applied) = crate::faults::later(&proxy, resources) {
                    return applied;
                }
                // Thousands of resources take a while: meanwhile another thread serves what this one would.
                tokio::task::block_in_place(|| proxy.apply(resources))
            };
            follow(options, &mut store, apply, &state, end).await;
        }
    });
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
        let state = changes.borrow_and_update().clone();
        if state.configured {
            configured.clear();
        }
        #[cfg(feature = "faults")]
        crate::faults::connected(state.connected);
        tell(&controller, &state);
    }

    let draining = readiness.block("shutdown", "draining");
    let (notice, deadline) =
        (Duration::from_secs(options.drain_notice_seconds), Duration::from_secs(options.drain_seconds));
    proxy.shutdown(notice, deadline).await;
    end.cancel();
    let _ = tokio::join!(admin, sweeper, client);
    drop((draining, proxy));
    // The last owner of the log is gone: its thread writes what is queued and ends.
    let _ = tokio::task::spawn_blocking(move || log_thread.join()).await;
    Ok(())
}

fn tell(note: &Note, state: &ConnectionState) {
    let text = match (state.connected, &state.failure) {
        (true, None) => "connected".to_owned(),
        (true, Some(failure)) => format!("connected again after: {failure}"),
        (false, Some(failure)) => format!("not connected, serving what is known: {failure}"),
        (false, None) => "connecting".to_owned(),
    };
    note.set(text);
}
