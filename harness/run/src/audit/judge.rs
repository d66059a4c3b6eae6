//! Whether nobody but the holder of a Lease has written, and if not: which pod wrote what, when.
//!
//! What is tolerated, because nobody could do better:
//! - A request that came while the Lease was changing hands, that is until the request had been answered that changed it. One that
//!   came before the Lease was even asked for is not: whoever asks does not know yet that it will be his.
//! - A request that came in time and took effect later.
//!
//! The time of the claim ends with the last write of the Lease in the log: what came after may be by somebody whose taking it is
//! not written down yet.

use jiff::Timestamp;

use super::AuditLog;
use super::entry::{Pod, Target, Write};
use super::holders::{History, after};
use crate::probe::deployment_of;
use meshproof_model::implementation::LeaderElection;

/// What the log says of the time from the beginning of a claim until now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Every write was by the pod that held the Lease.
    Alone {
        /// How many there were besides those of the Lease.
        writes: usize,
        /// Who has held it, in order.
        holders: Vec<Pod>,
    },
    /// Some were not, the first of them first.
    Others(Vec<Offence>),
    /// The log cannot tell, and never will: why.
    Unshown(String),
    /// The log cannot tell yet: why.
    NotYet(String),
}

/// A write by a pod that did not hold the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// Whose.
    pub pod: Pod,
    /// What was done.
    pub verb: String,
    /// To what.
    pub target: Target,
    /// When the request came.
    pub at: Timestamp,
    /// Who held the Lease then, by the name in it.
    pub holder: Option<String>,
    /// Until when the pod itself had held it, if it ever had.
    pub held_until: Option<Timestamp>,
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pod, target, at, .. } = self;
        let did = match self.verb.as_str() {
            "create" => "created",
            "update" => "updated",
            "patch" => "patched",
            _ => "deleted",
        };
        let holder = self.holder.as_deref().unwrap_or("nobody");
        write!(f, "{pod} {did} {target} at {at}, when {holder} held the Lease")?;
        match self.held_until {
            Some(until) => write!(f, " (it had held it itself until {until})"),
            None => Ok(()),
        }
    }
}

/// What the log says of the writes by a Deployment's pods between `since` and now. `asked` is when this was first asked for: the
/// log has to reach beyond that. Both are times by the API server's clock.
pub fn judge(election: &LeaderElection, log: &AuditLog, since: Timestamp, asked: Timestamp) -> Finding {
    let (namespace, name) = &election.lease;
    let lease = format!("lease/{name} in {namespace}");
    if let Some(from) = log.from.filter(|from| *from > since) {
        return Finding::Unshown(format!("the audit log reaches back to {from} only, the claim to {since}"));
    }
    let history = History::of(log.writes.iter().filter(|write| is_lease(write, election)));
    let (Some(first), Some(last)) = (history.first, history.last) else {
        return match log.own {
            true => Finding::NotYet(format!("nobody has written {lease} so far")),
            false => Finding::Unshown(format!("the audit log has nothing of who holds {lease}")),
        };
    };
    let judged = || log.writes.iter().filter(|write| since <= write.received && write.received <= last);
    if let Some(write) = judged().find(|write| write.pod.is_none() && election.is_account(&write.user)) {
        let Write { user, target, received, .. } = write;
        return Finding::Unshown(format!(
            "{user} wrote {target} at {received}, and its token does not say which pod that was"
        ));
    }
    let (mut writes, mut offences, mut unknown) = (0, Vec::new(), None);
    for write in judged() {
        let Some(pod) = write.pod.as_ref().filter(|pod| is_of(pod, election)) else { continue };
        let (at, about_lease) = (write.received, is_lease(write, election));
        writes += usize::from(!about_lease);
        let holder = history.holder(at);
        // Whoever finds it free may take it.
        if history.held_by(pod, at) || (about_lease && holder.is_none()) {
            continue;
        }
        // Somebody may have held it since before the log begins.
        if at < first && log.from.is_some_and(|from| at <= after(from, history.seconds)) {
            unknown.get_or_insert(at);
            continue;
        }
        offences.push(Offence {
            pod: pod.clone(),
            verb: write.verb.clone(),
            target: write.target.clone(),
            at,
            holder: holder.map(|term| term.identity.clone()),
            held_until: history.held_until(pod, at),
        });
    }
    offences.sort_by_key(|offence| offence.at);
    let in_time = history.terms.iter().filter(|term| term.until() >= since);
    match unknown {
        _ if !offences.is_empty() => Finding::Others(offences),
        Some(at) => Finding::Unshown(format!("who held {lease} at {at} is not in the audit log any more")),
        None if last < asked => Finding::NotYet(format!("{lease} was last written at {last}")),
        // Of another's policy nothing is known but what it has written down.
        None if writes == 0 && !log.own => {
            Finding::Unshown("the audit log has no write of these pods but those of the Lease".to_owned())
        }
        None => Finding::Alone { writes, holders: in_time.filter_map(|term| term.pod.clone()).collect() },
    }
}

fn is_lease(write: &Write, election: &LeaderElection) -> bool {
    let Target { group, resource, namespace, name } = &write.target;
    let (in_namespace, called) = &election.lease;
    group == "coordination.k8s.io" && resource == "leases" && namespace == in_namespace && name == called
}

fn is_of(pod: &Pod, election: &LeaderElection) -> bool {
    let (namespace, name) = &election.deployment;
    pod.namespace == *namespace && deployment_of(&pod.name) == Some(name)
}
