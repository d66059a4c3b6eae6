//! Saying how things stand: readiness, log, Event and metric, each when it changes.

use std::time::Duration;

use alb_runtime::{Blocker, Note, Readiness};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::environment::{Finding, Injection, Verdict, reason};
use crate::files::Certificate;
use crate::metrics::Metrics;

/// Longest time to wait for an Event to be accepted.
const EVENT_LIMIT: Duration = Duration::from_secs(10);

/// The channels of the extension's state.
pub struct Status {
    environment: Blocker,
    certificate: Blocker,
    integration: Note,
    metrics: Metrics,
    recorder: Recorder,
    pod: ObjectReference,
    told: Option<String>,
    serial: Option<String>,
}

impl Status {
    /// Blocks `readiness` from now on: nothing is known yet. Events are about `pod`, this one.
    #[must_use]
    pub fn new(readiness: &Readiness, metrics: Metrics, recorder: Recorder, pod: ObjectReference) -> Self {
        let certificate = readiness.block("certificate", "");
        certificate.clear();
        Self {
            environment: readiness.block("environment", "looking for ALB Controller and Istio"),
            certificate,
            integration: readiness.note("integration", "not known yet"),
            metrics,
            recorder,
            pod,
            told: None,
            serial: None,
        }
    }

    /// Says what there is to say about the surroundings and the certificate.
    pub fn show(
        &mut self,
        injection: Option<&Injection>,
        verdict: &Verdict,
        certificate: &Certificate,
        now: Timestamp,
    ) {
        self.show_certificate(injection, certificate, now);
        match verdict {
            Verdict::Looking => {}
            Verdict::Integrated(version) => {
                self.environment.clear();
                let version = version.map_or_else(|| "of unknown version".to_owned(), |v| v.to_string());
                let text = format!("integrated with Istio {version}");
                self.tell(reason::INTEGRATED, &text, false);
            }
            Verdict::NotIntegrated(Finding { reason, message, blocks }) => {
                self.environment.set(blocks.then(|| message.clone()));
                self.tell(reason, &format!("not integrated: {message}"), true);
            }
        }
    }

    /// With a sidecar there must be a certificate, and a valid one.
    fn show_certificate(&mut self, injection: Option<&Injection>, certificate: &Certificate, now: Timestamp) {
        let expected = matches!(injection, Some(Injection::Sidecar(_)));
        let problem = match &certificate.identity {
            None => {
                let detail = certificate.problem.as_deref().unwrap_or("no files yet");
                Some(format!("waiting for the sidecar to write the first certificate: {detail}"))
            }
            Some(identity) if !identity.leaf.expires_after(now) => Some(format!(
                "the certificate expired at {} and the sidecar has not renewed it: see the log of container istio-proxy",
                identity.leaf.not_after
            )),
            Some(_) => None,
        };
        let blocked = problem.filter(|_| expected);
        if self.certificate.set(blocked.clone())
            && let Some(reason) = blocked
        {
            tracing::warn!("{reason}");
        }
        if let (Some(identity), Some(problem)) = (&certificate.identity, &certificate.problem) {
            tracing::warn!(
                serial = identity.leaf.serial,
                problem,
                "the files are in disorder; keeping what was read"
            );
        }
        let leaf = certificate.identity.as_ref().map(|identity| &identity.leaf);
        let serial = leaf.map(|leaf| leaf.serial.clone());
        if serial != self.serial
            && let Some(leaf) = leaf
        {
            self.metrics.rotations.inc();
            tracing::info!(
                spiffe_id = leaf.spiffe_id, serial = leaf.serial,
                not_before = %leaf.not_before, not_after = %leaf.not_after,
                "read a certificate"
            );
        }
        self.serial = serial;
    }

    /// Log, note, metric and Event, if that is news.
    fn tell(&mut self, reason: &str, text: &str, warning: bool) {
        if self.told.as_deref() == Some(text) {
            return;
        }
        self.told = Some(text.to_owned());
        self.integration.set(text);
        self.metrics.set_integration(reason);
        let type_ = if warning {
            tracing::warn!(reason, "{text}");
            EventType::Warning
        } else {
            tracing::info!(reason, "{text}");
            EventType::Normal
        };
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(text.to_owned()),
            action: "Integrate".to_owned(),
            secondary: None,
        };
        let (recorder, pod) = (self.recorder.clone(), self.pod.clone());
        // Beside the rest: a certificate must not wait for an Event.
        tokio::spawn(async move {
            match tokio::time::timeout(EVENT_LIMIT, recorder.publish(&event, &pod)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "publishing an Event failed"),
                Err(_) => tracing::warn!("publishing an Event: no answer within {EVENT_LIMIT:?}"),
            }
        });
    }
}
