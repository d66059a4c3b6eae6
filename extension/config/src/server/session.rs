//! One proxy's stream as a pure state machine: snapshots and requests in, responses and acknowledgements out.

use crate::proto::{DeltaRequest, DeltaResponse, Error, Resource};
use crate::{Kind, Snapshot, capability};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What the server knows about the other end of one stream.
///
/// At most one response is outstanding: what changes meanwhile goes into the next one, so that a slow proxy
/// gets fewer and larger responses instead of a queue.
#[derive(Debug, Default)]
pub struct Session {
    /// What the proxy holds: name -> version, as acknowledged or as it claimed at the start.
    known: HashMap<Arc<str>, Arc<str>>,
    /// The newest snapshot that it should hold.
    target: Option<Snapshot>,
    /// Names under which it may hold something else than that: nothing else is looked at.
    differing: BTreeSet<Arc<str>>,
    /// The response it has not answered yet.
    pending: Option<Pending>,
    /// Resources that it refused: not sent again until their version changes.
    refused: BTreeMap<Arc<str>, (Arc<str>, String)>,
    /// A snapshot it refused without naming resources: not sent again.
    refused_snapshot: Option<(Snapshot, String)>,
    /// The snapshot it holds, but for refused resources.
    acknowledged: Option<Snapshot>,
    /// What the proxy can do: resources that need more are not sent.
    capabilities: BTreeSet<String>,
    /// Whether any response was sent. The first one is sent even when it is empty: it tells a proxy that what
    /// it holds is complete.
    answered: bool,
    next_nonce: u64,
}

#[derive(Debug)]
struct Pending {
    nonce: String,
    snapshot: Snapshot,
    updates: Vec<(Arc<str>, Arc<str>)>,
    removals: Vec<Arc<str>>,
    /// What was looked at, and is to be looked at again if it is refused.
    examined: BTreeSet<Arc<str>>,
}

/// What a request of the proxy meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It holds this snapshot now, but for [refused resources](Session::refusals).
    Applied {
        /// The snapshot it holds.
        snapshot: Snapshot,
    },
    /// It refused the response and holds what it held before.
    Refused {
        /// The snapshot that the response was meant to bring about.
        snapshot: Snapshot,
        /// The proxy's explanation.
        message: String,
    },
    /// An answer to something that is not outstanding: no meaning.
    Stale,
}

impl Session {
    /// This session, with a proxy that says it can do this (`Node.capabilities`).
    #[must_use]
    pub fn capable_of(self, capabilities: impl IntoIterator<Item = String>) -> Self {
        Self { capabilities: capabilities.into_iter().collect(), ..self }
    }

    /// Starts a session with what the proxy says it holds (`DeltaRequest.initial_versions`).
    pub fn new(initial: impl IntoIterator<Item = (String, String)>) -> Self {
        let known: HashMap<Arc<str>, Arc<str>> =
            initial.into_iter().map(|(name, version)| (name.into(), version.into())).collect();
        Self { differing: known.keys().cloned().collect(), known, ..Self::default() }
    }

    /// Sets what the proxy should hold and returns the response to send now, if any.
    pub fn publish(&mut self, snapshot: Snapshot) -> Option<DeltaResponse> {
        match &self.target {
            Some(target) => self.differing.extend(target.differences(&snapshot)),
            None => self.differing.extend(snapshot.names().cloned()),
        }
        self.target = Some(snapshot);
        self.next_response()
    }

    /// Takes the proxy's answer; call [`next_response`](Self::next_response) afterwards.
    pub fn receive(&mut self, request: DeltaRequest) -> Acknowledgement {
        let Some(pending) = self.pending.take_if(|pending| pending.nonce == request.response_nonce) else {
            return Acknowledgement::Stale;
        };
        match request.error {
            None => self.applied(pending),
            Some(error) => self.refused(pending, error),
        }
    }

    /// The response that brings the proxy to the newest snapshot: none when one is outstanding or nothing
    /// differs. In the latter case the snapshot is [acknowledged](Self::acknowledged) from now on.
    pub fn next_response(&mut self) -> Option<DeltaResponse> {
        if self.pending.is_some() {
            return None;
        }
        let target = self.target.clone()?;
        if self.refused_snapshot.as_ref().is_some_and(|(refused, _)| *refused == target) {
            return None;
        }
        let examined = std::mem::take(&mut self.differing);
        let (mut updates, mut resources, mut removals) = (Vec::new(), Vec::new(), Vec::new());
        for name in &examined {
            let held = self.known.get(name);
            let Some(stored) = target.stored(name) else {
                removals.extend(held.map(|_| name.clone()));
                continue;
            };
            let version = &stored.version;
            // What it holds is better than what nobody knows.
            let keeps = stored.unknown && held.is_some();
            let refused = self.refused.get(name).is_some_and(|(refused, _)| refused == version);
            if refused {
                self.differing.insert(name.clone());
            }
            if let Some(kind) = &stored.kind
                && needs(kind).is_none_or(|capability| self.capabilities.contains(capability))
                && held != Some(version)
                && !keeps
                && !refused
            {
                updates.push((name.clone(), version.clone()));
                resources.push(Resource {
                    name: name.to_string(),
                    version: version.to_string(),
                    kind: Some(kind.clone()),
                });
            }
        }
        if self.answered && updates.is_empty() && removals.is_empty() {
            // A change that it refused may have been taken back: it holds what is wanted now, and has nothing to answer.
            self.holds(target);
            return None;
        }
        self.answered = true;
        self.next_nonce += 1;
        let nonce = self.next_nonce.to_string();
        let removed = removals.iter().map(ToString::to_string).collect();
        self.pending = Some(Pending { nonce: nonce.clone(), snapshot: target, updates, removals, examined });
        Some(DeltaResponse { nonce, resources, removed })
    }

    /// The snapshot that the proxy holds, but for [refused resources](Self::refusals): none while the first answer is
    /// outstanding.
    pub fn acknowledged(&self) -> Option<&Snapshot> {
        self.acknowledged.as_ref()
    }

    /// Resources of the newest snapshot that the proxy refused: name, version, message.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.refused.iter().map(|(name, (version, message))| (&**name, &**version, message.as_str()))
    }

    /// The snapshot that the proxy refused without naming a resource, and its explanation.
    pub fn refused_snapshot(&self) -> Option<&(Snapshot, String)> {
        self.refused_snapshot.as_ref()
    }

    fn applied(&mut self, pending: Pending) -> Acknowledgement {
        for name in &pending.removals {
            self.known.remove(name);
        }
        self.known.extend(pending.updates);
        self.holds(pending.snapshot.clone());
        Acknowledgement::Applied { snapshot: pending.snapshot }
    }

    /// The proxy holds `snapshot`, but for what it has refused of it. Older refusals no longer matter.
    fn holds(&mut self, snapshot: Snapshot) {
        self.refused_snapshot = None;
        self.refused.retain(|name, (version, _)| snapshot.version(name) == Some(version));
        self.acknowledged = Some(snapshot);
    }

    fn refused(&mut self, pending: Pending, error: Error) -> Acknowledgement {
        let mut named = false;
        self.differing.extend(pending.examined);
        for name in error.resources {
            // Only what was in the response: a name from elsewhere would hold back an innocent resource.
            if let Some((name, version)) = pending.updates.iter().find(|(update, _)| **update == *name) {
                self.refused.insert(name.clone(), (version.clone(), error.message.clone()));
                named = true;
            }
        }
        if !named {
            self.refused_snapshot = Some((pending.snapshot.clone(), error.message.clone()));
        }
        Acknowledgement::Refused { snapshot: pending.snapshot, message: error.message }
    }
}

/// What a proxy must be able to do to be given such a resource.
fn needs(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Certificate(_) | Kind::TlsRoute(_) => Some(capability::TLS_LISTENERS),
        Kind::GrpcRouteRule(_) => Some(capability::GRPC_ROUTES),
        _ => None,
    }
}
