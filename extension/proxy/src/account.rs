//! The last stage: what the access log and the metrics say about a request.

mod log;
mod record;

pub use log::{AccessLog, Stdout};
pub(crate) use record::cut;
pub use record::{DownstreamTls, Record, UpstreamTls};

use crate::activity::Activity;
use crate::error::Reason;
use crate::limits::Permit;
use crate::metrics::Metrics;
use crate::tls_info::TlsInfo;
use crate::upload::Upload;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Where accounts are closed.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) log: Arc<dyn AccessLog>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Reporter {
    /// A request that nobody has handled. How long it took is not known.
    pub(crate) fn refused(&self, mut record: Record) {
        record.time = jiff::Timestamp::now().to_string();
        self.count(&record);
        self.log.write(record);
    }

    fn count(&self, record: &Record) {
        let route = record.route.as_deref().unwrap_or_default();
        self.metrics.request(&record.frontend, route, record.status, record.reason);
    }
}

/// Of one request and its answer. It closes when it is dropped; until it is complete, dropping it means that the client went
/// away.
pub(crate) struct Account {
    record: Option<Record>,
    started: Instant,
    upload: Arc<Upload>,
    activity: Arc<Activity>,
    reporter: Reporter,
    /// Held as long as the account is open.
    permit: Option<Permit>,
    /// The answer is known: its status stands, whatever the client does.
    answered: bool,
    finished: bool,
}

impl Account {
    pub(crate) fn open(
        record: Record,
        upload: Arc<Upload>,
        activity: Arc<Activity>,
        reporter: Reporter,
    ) -> Self {
        reporter.metrics.active_requests.inc();
        activity.begin_exchange();
        Self {
            record: Some(record),
            started: Instant::now(),
            upload,
            activity,
            reporter,
            permit: None,
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

    /// Name of the frontend, as clients use it.
    pub(crate) fn frontend(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.frontend)
    }

    /// What the client does meanwhile.
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Keeps the request's place until the account is closed.
    pub(crate) fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Which pod was asked, and how.
    pub(crate) fn asked(&mut self, pod: &str, address: SocketAddr, tls: &TlsInfo, reused: bool) {
        self.update(|record| {
            record.upstream_pod = Some(pod.to_owned());
            record.upstream_address = Some(address.to_string());
            record.upstream_tls = Some(UpstreamTls(tls.clone()));
            record.connection_reused = reused;
        });
    }

    /// The answer's header is known.
    pub(crate) fn answer(&mut self, status: u16, reason: Reason, detail: Option<String>) {
        self.answered = true;
        self.upload.answer();
        self.update(|record| {
            record.status = status;
            record.reason = reason.as_str();
            record.detail = detail;
        });
    }

    /// Bytes of what is no body, but comes after the request.
    pub(crate) fn received(&self, bytes: u64) {
        self.upload.add(bytes);
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

impl Drop for Account {
    fn drop(&mut self) {
        self.upload.end();
        if self.upload.is_unfinished() {
            self.activity.cut_short();
        }
        let Some(mut record) = self.record.take() else { return };
        if !self.finished {
            record.reason = Reason::ClientClosed.as_str();
            if !self.answered {
                record.status = Reason::ClientClosed.status().as_u16();
            }
            if self.activity.has_stalled() {
                record.detail = Some("closed here: the client took nothing of the response".to_owned());
            }
        }
        self.activity.end_exchange();
        record.bytes_in = self.upload.bytes();
        record.duration_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        record.time = jiff::Timestamp::now().to_string();
        self.reporter.metrics.active_requests.dec();
        self.reporter.count(&record);
        self.reporter.metrics.duration.observe(record.duration_ms / 1000.0);
        self.reporter.log.write(record);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("record", &self.record).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Kept(mpsc::Sender<Record>);

    impl AccessLog for Kept {
        fn write(&self, record: Record) {
            self.0.send(record).unwrap();
        }
    }

    fn account() -> (Account, mpsc::Receiver<Record>) {
        let (sender, records) = mpsc::channel();
        let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default());
        let reporter = Reporter { log: Arc::new(Kept(sender)), metrics };
        // As `Kept` shows, a log may be anything that takes records.
        let record = Record::new(([192, 0, 2, 7], 1).into());
        (Account::open(record, Arc::default(), Arc::default(), reporter), records)
    }

    #[tokio::test]
    async fn an_account_that_is_dropped_says_how_far_the_request_came() {
        let closed = |change: fn(&mut Account)| {
            let (mut account, records) = account();
            change(&mut account);
            drop(account);
            let record = records.recv().unwrap();
            (record.status, record.reason)
        };
        assert_eq!(closed(|_| {}), (499, "client_closed"));
        assert_eq!(closed(|account| account.answer(200, Reason::Ok, None)), (200, "client_closed"));
        assert_eq!(
            closed(|account| {
                account.answer(200, Reason::Ok, None);
                account.complete();
            }),
            (200, "ok")
        );
        assert_eq!(
            closed(|account| {
                account.answer(200, Reason::Ok, None);
                account.fail(Reason::UpstreamReset, "gone".to_owned());
            }),
            (200, "upstream_reset")
        );
    }
}
