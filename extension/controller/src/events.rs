//! Events of type Warning, each written once as long as its cause lasts.

use crate::request::answered;
use crate::translate::Warning;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Warnings that may wait for the API server. More are reported later: an Event is not worth a delay.
const QUEUE: usize = 256;
/// When to report again what did not fit.
pub const REPORT_AGAIN: Duration = Duration::from_secs(1);
/// How often writing one Event is tried. One more is not worth holding up the others.
const TRIES: u32 = 3;
/// How long nothing is written into a namespace that is going away: the controller has heard of it by then.
const TERMINATION: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

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
            let mut terminating: HashMap<String, Instant> = HashMap::new();
            while let Some(warning) = warnings.recv().await {
                terminating.retain(|_, since| since.elapsed() < TERMINATION);
                let namespace = &warning.subject.key.namespace;
                if !terminating.contains_key(namespace) && publish(&recorder, &warning).await.is_terminating {
                    terminating.insert(namespace.clone(), Instant::now());
                }
            }
        };
        (Self { queue, reported: Mutex::default() }, task)
    }

    /// Reports the warnings that are new. One that has gone and comes back is new.
    ///
    /// Returns whether all of them are on their way; otherwise they are to be reported again after [`REPORT_AGAIN`].
    pub fn report(&self, warnings: &BTreeSet<Warning>) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.retain(|warning| warnings.contains(warning));
        for warning in warnings {
            if reported.contains(warning) {
                continue;
            }
            let Ok(place) = self.queue.try_reserve() else { return false };
            let (reason, message, object) = (&warning.reason, &warning.message, &warning.subject.key);
            tracing::warn!(kind = ?warning.subject.kind, %object, reason, message, "object with a problem");
            place.send(warning.clone());
            reported.insert(warning.clone());
        }
        true
    }

    /// Forgets what has been reported: after a change of leader every warning that stands is reported once more.
    pub fn reset(&self) {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What came of an Event.
#[derive(Default)]
struct Published {
    /// Its namespace is going away and takes nothing new.
    is_terminating: bool,
}

/// Writes one Event. Whether one that nobody answered for was written is not known: rather twice than never.
async fn publish(recorder: &Recorder, warning: &Warning) -> Published {
    let (event, reference) = event(warning);
    for tried in 1..=TRIES {
        let Err(error) = answered(recorder.publish(&event, &reference)).await else { break };
        let is_terminating = error.is_of_terminating_namespace();
        if !is_terminating {
            tracing::warn!(%error, object = %warning.subject.key, tried, "writing an event failed");
        }
        if error.is_refusal() {
            return Published { is_terminating };
        }
        if tried < TRIES {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Published::default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::LIMIT;
    use crate::translate::Subject;
    use crate::world::{Key, Watched};
    use alb_runtime::fake_api::{FakeApi, Lost, Weather};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/ns/events";

    fn warnings(count: usize) -> BTreeSet<Warning> {
        let warning = |index| Warning {
            subject: Subject {
                kind: Watched::HttpRoute,
                key: Key::new("ns", format!("route-{index}")),
                uid: format!("uid-{index}"),
            },
            reason: "Unreadable".to_owned(),
            message: "no".to_owned(),
        };
        (0..count).map(warning).collect()
    }

    /// The API server, a client whose first `count` requests meet `weather`, and how many were made.
    fn api(count: usize, weather: Weather) -> (FakeApi, kube::Client, Arc<AtomicUsize>) {
        let (api, made) = (FakeApi::new(), Arc::new(AtomicUsize::new(0)));
        let counter = made.clone();
        let client = api.client_with(move |_, _| match counter.fetch_add(1, Ordering::Relaxed) < count {
            true => weather,
            false => Weather::default(),
        });
        (api, client, made)
    }

    async fn written(api: &FakeApi, count: usize) {
        let all = api.until(|api| api.list(EVENTS).len() == count);
        tokio::time::timeout(LIMIT * 10, all).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn warnings_that_do_not_fit_into_the_queue_are_reported_later() {
        let (api, client, _) = api(0, Weather::default());
        let (reporter, events) = Reporter::new(client, "pod");
        let all = warnings(QUEUE + 10);
        assert!(!reporter.report(&all), "nobody has taken any");
        tokio::spawn(events);
        written(&api, QUEUE).await;
        assert!(reporter.report(&all));
        written(&api, QUEUE + 10).await;
        assert!(reporter.report(&all), "and once only");
        assert!(reporter.report(&warnings(QUEUE + 11)));
        written(&api, QUEUE + 11).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_nobody_answers_for_is_tried_again() {
        let (api, client, _) = api(1, Weather { lost: Lost::Request, ..Weather::default() });
        let (reporter, events) = Reporter::new(client, "pod");
        tokio::spawn(events);
        reporter.report(&warnings(2));
        written(&api, 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_event_holds_up_the_others_for_a_few_tries_only() {
        let lost = Weather { lost: Lost::Request, ..Weather::default() };
        let (api, client, made) = api(TRIES as usize, lost);
        let (reporter, events) = Reporter::new(client, "pod");
        tokio::spawn(events);
        reporter.report(&warnings(2));
        written(&api, 1).await;
        assert_eq!(made.load(Ordering::Relaxed), TRIES as usize + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_is_refused_is_not_tried_again() {
        let forbidden = Weather { refuse: Some(http::StatusCode::FORBIDDEN), ..Weather::default() };
        let (api, client, made) = api(1, forbidden);
        let (reporter, events) = Reporter::new(client, "pod");
        tokio::spawn(events);
        reporter.report(&warnings(2));
        written(&api, 1).await;
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }
}
