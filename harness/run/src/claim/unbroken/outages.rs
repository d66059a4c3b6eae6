//! Failures of constant traffic by the action that may have caused them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Account;
use crate::context::millis;
use crate::context::traffic::Begun;

/// The action that had begun last at a time since the traffic began; none if none had.
pub(super) fn action(actions: &[Begun], at: Duration) -> Option<&Begun> {
    actions.iter().take_while(|action| action.at <= at).last()
}

/// For every action with failures after it: which, how many, and since and until when. A request counts for the action
/// that had begun last when it started.
pub(super) fn of(actions: &[Begun], accounts: &[Account<'_>]) -> Value {
    let told = accounts.chunk_by(|a, b| action(actions, a.miss.at) == action(actions, b.miss.at));
    told.map(|failures| outage(actions, failures)).collect()
}

fn outage(actions: &[Begun], failures: &[Account<'_>]) -> Value {
    let after = failures.first().and_then(|first| action(actions, first.miss.at));
    let since = after.map_or(Duration::ZERO, |action| action.at);
    let since = |account: Option<&Account<'_>>| Some(millis(account?.miss.at.saturating_sub(since)));
    let kinds: BTreeSet<&str> = failures.iter().map(|account| account.kind.as_str()).collect();
    json!({
        "after": after.map_or("the traffic began", |action| &action.name),
        "seen": kinds,
        "measured": {
            "failures": failures.len(),
            "first_ms": since(failures.first()),
            "last_ms": since(failures.last()),
        },
    })
}
