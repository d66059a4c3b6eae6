//! Events of type Warning, each written once as long as its cause lasts.

use crate::translate::Warning;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Warnings that may wait for the API server. More are dropped: an Event is not worth a delay.
const QUEUE: usize = 256;

/// Where warnings go. They are written by a task of their own.
pub struct Reporter {
    queue: mpsc::Sender<Warning>,
    reported: Mutex<BTreeSet<Warning>>,
}

impl Reporter {
    /// A reporter, and the task that writes what it reports; the task ends when the reporter is dropped.
    pub fn new(client: kube::Client, pod: &str) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, mut warnings) = mpsc::channel::<Warning>(QUEUE);
        let reporter = kube::runtime::events::Reporter {
            controller: alb_api::names::CONTROLLER_NAME.to_owned(),
            instance: Some(pod.to_owned()),
        };
        let recorder = Recorder::new(client, reporter);
        let task = async move {
            while let Some(warning) = warnings.recv().await {
                let (event, reference) = event(&warning);
                if let Err(error) = recorder.publish(&event, &reference).await {
                    tracing::warn!(%error, object = %warning.subject.key, "writing an event failed");
                }
            }
        };
        (Self { queue, reported: Mutex::default() }, task)
    }

    /// Reports the warnings that are new. One that has gone and comes back is new.
    pub fn report(&self, warnings: &BTreeSet<Warning>) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings.difference(&reported) {
            let (reason, message, object) = (&warning.reason, &warning.message, &warning.subject.key);
            tracing::warn!(kind = ?warning.subject.kind, %object, reason, message, "object with a problem");
            if self.queue.try_send(warning.clone()).is_err() {
                tracing::warn!(%object, reason, "too many events at once: one dropped");
            }
        }
        reported.clone_from(warnings);
    }

    /// Forgets what has been reported: after a change of leader every warning that stands is reported once more.
    pub fn reset(&self) {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn event(warning: &Warning) -> (Event, ObjectReference) {
    let resource = warning.subject.kind.resource();
    let event = Event {
        type_: EventType::Warning,
        reason: warning.reason.clone(),
        note: Some(warning.message.chars().take(1024).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let key = &warning.subject.key;
    let reference = ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(key.name.clone()),
        namespace: (!key.namespace.is_empty()).then(|| key.namespace.clone()),
        uid: Some(warning.subject.uid.clone()),
        ..ObjectReference::default()
    };
    (event, reference)
}
