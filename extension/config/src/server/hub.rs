//! Where the controller puts snapshots and reads acknowledgements.

use super::acks::{Acks, ProxyState};
use crate::Snapshot;
use crate::proto::Node;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Connects the controller's loop with the streams of all proxies. Cheap to clone; a new hub does not serve.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    snapshots: Mutex<HashMap<String, watch::Sender<Option<Snapshot>>>>,
    serving: watch::Sender<bool>,
    acks: watch::Sender<Acks>,
    streams: AtomicU64,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub without snapshots that refuses streams until [`set_serving`](Self::set_serving).
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                snapshots: Mutex::default(),
                serving: watch::Sender::new(false),
                acks: watch::Sender::new(Acks::default()),
                streams: AtomicU64::new(0),
            }),
        }
    }

    /// Sets what the proxies of `load_balancer` should hold. Publishing an equal snapshot does nothing.
    ///
    /// Streams that wait for their load balancer's first snapshot are answered now: publish an empty snapshot
    /// for a load balancer without resources, or its proxies never become ready.
    pub fn publish(&self, load_balancer: &str, snapshot: Snapshot) {
        self.sender(load_balancer).send_if_modified(|current| {
            let changed = current.as_ref() != Some(&snapshot);
            if changed {
                *current = Some(snapshot);
            }
            changed
        });
    }

    /// Forgets a deleted load balancer. Streams that are still open keep what they hold.
    pub fn remove(&self, load_balancer: &str) {
        let mut snapshots = self.inner.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = snapshots.get(load_balancer) {
            sender.send_replace(None);
            if sender.receiver_count() == 0 {
                snapshots.remove(load_balancer);
            }
        }
    }

    /// Only the leader serves. Switching off ends every stream with UNAVAILABLE, so that the proxies connect to
    /// the new leader; they keep serving what they hold.
    pub fn set_serving(&self, serving: bool) {
        self.inner.serving.send_if_modified(|current| std::mem::replace(current, serving) != serving);
    }

    /// Connected proxies and what they acknowledged; changes at each connect, answer and disconnect.
    pub fn acks(&self) -> watch::Receiver<Acks> {
        self.inner.acks.subscribe()
    }

    pub(super) fn snapshots(&self, load_balancer: &str) -> watch::Receiver<Option<Snapshot>> {
        self.sender(load_balancer).subscribe()
    }

    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.inner.serving.subscribe()
    }

    /// Registers a stream; it disappears from the acknowledgements when the guard is dropped.
    pub(super) fn register(&self, node: &Node, capabilities: &BTreeSet<String>) -> Registration {
        let stream = self.inner.streams.fetch_add(1, Ordering::Relaxed);
        let registration =
            Registration { hub: self.clone(), load_balancer: node.load_balancer.clone(), stream };
        registration.report(ProxyState {
            node: node.id.clone(),
            capabilities: capabilities.clone(),
            acknowledged: None,
            refused: Default::default(),
            refused_snapshot: None,
        });
        registration
    }

    fn sender(&self, load_balancer: &str) -> watch::Sender<Option<Snapshot>> {
        let mut snapshots = self.inner.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        match snapshots.get(load_balancer) {
            Some(sender) => sender.clone(),
            None => {
                snapshots.entry(load_balancer.to_owned()).or_insert_with(|| watch::Sender::new(None)).clone()
            }
        }
    }
}

/// One open stream in [`Acks`].
pub(super) struct Registration {
    hub: Hub,
    load_balancer: String,
    stream: u64,
}

impl Registration {
    /// Sets what is known of the proxy.
    pub(super) fn report(&self, state: ProxyState) {
        let update = |acks: &mut Acks| acks.update(&self.load_balancer, self.stream, state);
        self.hub.inner.acks.send_if_modified(update);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.hub.inner.acks.send_modify(|acks| acks.remove(&self.load_balancer, self.stream));
    }
}
