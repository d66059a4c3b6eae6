//! One request and its answer: collects what the access log and the metrics say about it.

use crate::access_log::{AccessLog, Record, UpstreamTls};
use crate::body::Upload;
use crate::client::Progress;
use crate::error::Reason;
use crate::metrics::Metrics;
use crate::upstream::{TlsInfo, Upstream};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Where finished exchanges are reported.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) log: Arc<dyn AccessLog>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Reporter {
    /// A request that nobody has handled. How long it took is not known.
    pub(crate) fn refused(&self, mut record: Record) {
        record.time = jiff::Timestamp::now().to_string();
        self.metrics.request(&record);
        self.log.write(record);
    }
}

/// Reports itself when dropped; until it is complete, dropping it means that the client went away.
pub(crate) struct Exchange {
    record: Option<Record>,
    started: Instant,
    upload: Arc<Upload>,
    progress: Arc<Progress>,
    reporter: Reporter,
    /// The answer is known: its status stands, whatever the client does.
    answered: bool,
    finished: bool,
}

impl Exchange {
    pub(crate) fn start(
        record: Record,
        upload: Arc<Upload>,
        progress: Arc<Progress>,
        reporter: Reporter,
    ) -> Self {
        reporter.metrics.active_requests.inc();
        Self {
            record: Some(record),
            started: Instant::now(),
            upload,
            progress,
            reporter,
            answered: false,
            finished: false,
        }
    }

    /// Changes what is known so far.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.request_id)
    }

    /// What the client does meanwhile.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Which pod was asked, and how.
    pub(crate) fn asked(&mut self, upstream: &Upstream, tls: &TlsInfo, reused: bool) {
        self.update(|record| {
            record.upstream_pod = Some(upstream.pod.clone());
            record.upstream_address = Some(upstream.address.to_string());
            record.upstream_tls = Some(UpstreamTls(tls.clone()));
            record.connection_reused = reused;
        });
    }

    /// The answer's header is known.
    pub(crate) fn answer(&mut self, status: u16, reason: Reason, detail: Option<String>) {
        self.answered = true;
        self.update(|record| {
            record.status = status;
            record.reason = reason.as_str();
            record.detail = detail;
        });
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.update(|record| record.bytes_out += bytes as u64);
    }

    /// The body broke off; the status is sent already.
    pub(crate) fn fail(&mut self, reason: Reason, detail: String) {
        self.finished = true;
        self.update(|record| {
            record.reason = reason.as_str();
            record.detail = Some(detail);
        });
    }

    /// Every byte was handed over.
    pub(crate) fn complete(&mut self) {
        self.finished = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        if !self.finished {
            record.reason = Reason::ClientClosed.as_str();
            if !self.answered {
                record.status = Reason::ClientClosed.status().as_u16();
            }
            if self.progress.has_stalled() {
                record.detail = Some("closed here: the client took nothing of the response".to_owned());
            }
        }
        self.progress.end_exchange();
        record.bytes_in = self.upload.bytes.load(Ordering::Relaxed);
        record.duration_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        record.time = jiff::Timestamp::now().to_string();
        self.reporter.metrics.active_requests.dec();
        self.reporter.metrics.request(&record);
        self.reporter.metrics.duration.observe(record.duration_ms / 1000.0);
        self.reporter.log.write(record);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("record", &self.record).finish_non_exhaustive()
    }
}
