//! The proxy as a whole: takes configurations, owns the listening sockets, ends gracefully.

use crate::accept::accept;
use crate::account::{AccessLog, Reporter};
use crate::config::{Config, build};
use crate::ending::Ending;
use crate::limits::Limits;
use crate::metrics::{Metrics, SecretLabel};
use crate::mirrors::Mirrors;
use crate::parse::Parse;
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::upstream::Exchange;
use alb_config::client::{Rejection, Resources};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A running data plane. Needs a tokio runtime with time and I/O.
pub struct Proxy {
    pipeline: Arc<Pipeline>,
    limits: Limits,
    /// Bound ports; cancelling the token closes the port and, gracefully, its connections.
    listeners: Mutex<HashMap<u16, CancellationToken>>,
}

impl Proxy {
    /// A proxy without configuration: no port is bound yet.
    pub fn new(settings: Settings, log: Arc<dyn AccessLog>, metrics: Arc<Metrics>) -> Self {
        let limits = Limits::new(&settings);
        let settings = Arc::new(settings);
        let exchange = Exchange { settings: settings.clone(), metrics: metrics.clone() };
        let pipeline = Pipeline {
            config: ArcSwap::default(),
            parse: Parse::new(&settings),
            mirrors: Mirrors::new(exchange.clone(), metrics.clone()),
            exchange,
            reporter: Reporter { log, metrics },
            ending: Ending::default(),
            settings,
        };
        Self { pipeline: Arc::new(pipeline), limits, listeners: Mutex::default() }
    }

    /// Makes `resources` the configuration, whole or not at all, at once for all new requests.
    ///
    /// Connections of clients stay open unless their port is gone. Requests in flight finish as they began.
    ///
    /// # Errors
    /// Names the resources that cannot be used: they do not parse, or their port cannot be bound.
    pub fn apply(&self, resources: &Resources) -> Result<(), Rejection> {
        let result = self.try_apply(resources);
        self.pipeline.reporter.metrics.config_update(result.is_ok());
        result
    }

    fn try_apply(&self, resources: &Resources) -> Result<(), Rejection> {
        let pipeline = &self.pipeline;
        let previous = pipeline.config.load_full();
        let config = build(resources, &previous, &pipeline.settings, &self.limits)?;

        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bound = Vec::new();
        for (port, served) in &config.ports {
            if !listeners.contains_key(port) {
                let listener = (pipeline.settings.bind)(*port).map_err(|error| Rejection {
                    message: format!("listening on port {port} for {}: {error}", served.fqdn),
                    resources: vec![served.frontend.to_string()],
                })?;
                bound.push((*port, listener));
            }
        }

        // From here on nothing can fail.
        self.limits.divide(config.frontends());
        self.report(&config, &previous);
        let config = Arc::new(config);
        pipeline.config.store(config.clone());
        previous.retire_for(&config);
        listeners.retain(|port, stop| {
            let kept = config.ports.contains_key(port);
            if !kept {
                tracing::info!(port, "listener removed");
                stop.cancel();
            }
            kept
        });
        for (port, listener) in bound {
            tracing::info!(port, "listening");
            let stop = CancellationToken::new();
            pipeline.ending.tasks.spawn(accept(listener, port, pipeline.clone(), stop.clone()));
            listeners.insert(port, stop);
        }
        Ok(())
    }

    /// Tells what is applied, and drops the metrics of what is gone.
    fn report(&self, config: &Config, previous: &Config) {
        let metrics = &self.pipeline.reporter.metrics;
        metrics.config_resources.set(i64::try_from(config.versions.len()).unwrap_or(i64::MAX));
        let certificates = config.certificates_end();
        for (name, _) in previous.certificates_end() {
            if !certificates.contains_key(name) {
                metrics.certificate_not_after.remove(&SecretLabel { secret: name.to_string() });
            }
        }
        for (name, not_after) in certificates {
            let label = SecretLabel { secret: name.to_string() };
            metrics.certificate_not_after.get_or_create(&label).set(not_after);
        }
        metrics.retain_requests(|frontend, route| config.serves(frontend, route));
    }

    /// Names and versions of what is applied, and idle connections per endpoint; no key material.
    pub fn debug(&self) -> serde_json::Value {
        let config = self.pipeline.config.load();
        let resources: serde_json::Map<_, _> = config
            .versions
            .iter()
            .map(|(name, version)| (name.to_string(), version.as_str().into()))
            .collect();
        let ports: serde_json::Map<_, _> = config
            .ports
            .iter()
            .map(|(port, served)| {
                (port.to_string(), serde_json::json!({"frontend": *served.frontend, "fqdn": *served.fqdn}))
            })
            .collect();
        let upstreams: Vec<_> = config
            .upstreams
            .values()
            .map(|upstream| {
                serde_json::json!({
                    "pod": upstream.pod,
                    "address": upstream.address,
                    "tls": upstream.security.mode(),
                    "idle_connections": upstream.idle(),
                })
            })
            .collect();
        serde_json::json!({"resources": resources, "ports": ports, "upstreams": upstreams})
    }

    /// Closes connections to pods that have been idle for too long, until `stop`.
    pub async fn sweep(&self, every: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(every);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = Instant::now();
            for upstream in self.pipeline.config.load().upstreams.values() {
                upstream.sweep(now);
            }
        }
    }

    /// Ends gracefully: announces it to clients, goes on accepting for `notice` (until load balancers have heard
    /// that this proxy is not ready), then finishes what is in flight, for at most `deadline`.
    pub async fn shutdown(&self, notice: Duration, deadline: Duration) {
        let ending = &self.pipeline.ending;
        ending.draining.cancel();
        // Nobody tells when the last load balancer has heard of it: this is the time they are given.
        tokio::time::sleep(notice).await;
        for (_, stop) in self.listeners.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            stop.cancel();
        }
        ending.tasks.close();
        let to_close = (2 * self.pipeline.settings.linger).min(deadline);
        if tokio::time::timeout(deadline - to_close, ending.tasks.wait()).await.is_ok() {
            return;
        }
        ending.closing.cancel();
        if tokio::time::timeout(to_close, ending.tasks.wait()).await.is_err() {
            tracing::warn!(connections = ending.tasks.len(), "cutting off what is still open");
            ending.abort.cancel();
            ending.tasks.wait().await;
        }
    }
}
