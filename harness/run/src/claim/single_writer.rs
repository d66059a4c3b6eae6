//! `single-writer: lease/alb-controller`: from the start of the scenario until now, also while it changed hands, each write by
//! the pods that elect a leader by this Lease was by the pod that held it, as the API server's audit log shows.
//!
//! Which pods those are the implementation's file says (`leader-election`). Where there is no such log, or it cannot tell, nothing is
//! shown, and nothing proved.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use super::leads;
use crate::audit::{Audited, Finding, Offence, Pod, judge};
use crate::context::{Context, Trouble};
use crate::probe::deployment_of;
use crate::word::{Definition, LEASE, NAMESPACE, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::implementation::LeaderElection;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;

/// The word.
pub const WORD: Definition = Definition::claim("single-writer", Staying::No, parse).says(Reference {
    summary: "From the start of the scenario until now, each write by the pods that elect a leader by this Lease was by the pod that held it, as the API server's audit log shows.",
    subject: LEASE,
    fields: &[
        NAMESPACE,
    ],
    examples: &[
        "single-writer: lease/alb-controller\nnamespace: azure-alb-system\nwithin: answers",
    ],
});

/// So much of the log before the scenario is read: who held the Lease when it began is seen in renewals before it.
const BEFORE: Duration = Duration::from_secs(60);
/// A log cannot be watched: it is read again after this.
const PACE: Duration = Duration::from_secs(1);
/// So many writes are told one by one.
const TOLD: usize = 20;

#[derive(Debug)]
struct SingleWriter {
    lease: ObjectRef,
    /// Nothing for a gateway that elects no leader.
    election: Option<LeaderElection>,
    implementation: String,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let lease = leads::lease(subject, fields, scope)?;
    let (namespace, name) = (lease.namespace.as_deref().unwrap_or_default(), lease.name.as_str());
    let known = &scope.implementation.leader_election;
    let election = known.iter().find(|LeaderElection { lease: (in_namespace, called), .. }| {
        (in_namespace.as_str(), called.as_str()) == (namespace, name)
    });
    if election.is_none() && !known.is_empty() {
        let leases: Vec<String> = known
            .iter()
            .map(|LeaderElection { lease: (namespace, name), .. }| format!("{namespace}/{name}"))
            .collect();
        return Err(subject
            .problem(format!(
                "no pods of {} elect a leader by lease/{name} in {namespace}",
                scope.implementation.name
            ))
            .help(format!("`leader-election` in its file names {}", leases.join(", "))));
    }
    Ok(Box::new(SingleWriter {
        election: election.cloned(),
        implementation: scope.implementation.name.clone(),
        lease,
    }))
}

impl SingleWriter {
    async fn prove(&self, context: &mut Context<'_>) -> Result<Observed, Trouble> {
        let doing = format!("reading the audit log for writes by others than the holder of {}", self.lease);
        let not_shown = |because: &str| Trouble::not_shown(&doing, self.name(), because);
        let Some(election) = &self.election else {
            let none = format!("{} names no pods that elect a leader by {}", self.implementation, self.lease);
            return Err(not_shown(&none));
        };
        let mut told = String::new();
        loop {
            let log =
                match context.outside.witnesses.audited(election, context.begun.elapsed() + BEFORE).await? {
                    Audited::Log(log) => log,
                    Audited::NotKept(because) => return Err(not_shown(&because)),
                };
            let (begun, started) =
                (ago(log.now, context.begun.elapsed()), ago(log.now, context.started.elapsed()));
            let because = match judge(election, &log, begun, started) {
                Finding::Alone { writes, holders } => return Ok(self.observed(context, writes, &holders)),
                Finding::Others(offences) => return Err(self.failed(&doing, &offences)),
                Finding::Unshown(because) => return Err(not_shown(&because)),
                Finding::NotYet(because) => because,
            };
            let next = Instant::now() + PACE;
            if next > context.deadline() {
                // Our own log would have it: nobody holds the Lease.
                return Err(match log.own {
                    true => Trouble::failed(&doing, self.name(), because),
                    false => not_shown(&because),
                });
            }
            if because != told {
                context.not_yet(&because);
                told = because;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    fn observed(&self, context: &Context<'_>, writes: usize, holders: &[Pod]) -> Observed {
        let of = holders.first().and_then(|pod| deployment_of(&pod.name)).unwrap_or("nobody");
        let summary = format!("each write by a pod of {of} was by the one that held {}", self.lease);
        let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
        let detail = json!({"measured": {"writes": writes, "holders": holders}});
        Observed { summary, detail, became_ms: Some(context.elapsed_ms()), ..Observed::default() }
    }

    fn failed(&self, doing: &str, offences: &[Offence]) -> Trouble {
        let seen = match offences {
            [] => String::new(),
            [one] => one.to_string(),
            [first, rest @ ..] => format!("{first}; {} more such writes", rest.len()),
        };
        let others: Vec<_> = offences
            .iter()
            .take(TOLD)
            .map(|offence| {
                let Offence { pod, target, at, holder, held_until, .. } = offence;
                json!({
                    "pod": pod.to_string(),
                    "object": target.to_string(),
                    "at": at,
                    "holder": holder,
                    "held_until": held_until,
                    "in_words": offence.to_string(),
                })
            })
            .collect();
        let mut trouble = Trouble::failed(doing, self.name(), seen);
        trouble.observed.detail =
            json!({"lease": self.lease.to_string(), "writes_by_others": offences.len(), "others": others});
        trouble
    }
}

/// The time by the clock of the log, so long ago.
fn ago(now: Timestamp, passed: Duration) -> Timestamp {
    let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
    now.checked_sub(passed).unwrap_or(Timestamp::MIN)
}

impl Word for SingleWriter {
    fn name(&self) -> String {
        format!("nobody but the holder of {} has written", self.lease)
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}
