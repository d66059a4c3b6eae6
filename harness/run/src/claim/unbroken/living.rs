//! What those proxies have logged of constant traffic that live when it ends: failures that are forgiven because somebody
//! died are not theirs. What was answered before the first failure they have not let fail, so their logs have to reach back
//! to that one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::context::traffic::Wanted;
use crate::context::{Context, Trouble, millis};
use crate::ports::Logged;
use crate::probe::ContinuityReport;
use meshproof_model::scenario::object::ObjectRef;

/// The proxies that live have logged at least one of so many good answers. Even of two proxies of which one dies late, or
/// is started anew and has forgotten what came before, the other one has had more than that.
const ONE_OF: u64 = 10;

/// The failures that they have logged.
#[derive(Debug, Default)]
pub(super) struct Living {
    /// By status and reason.
    pub(super) failed: BTreeMap<String, usize>,
    /// Whether they keep a log at all.
    keep_log: bool,
}

impl Living {
    /// Asks them about requests for this path, if any of those since `began` have failed.
    ///
    /// # Errors
    /// Their logs do not hold all of that time, or hold so little that the traffic cannot have come through them.
    pub(super) async fn of(
        context: &Context<'_>,
        (gateway, path): (&ObjectRef, &str),
        began: Instant,
        wanted: &Wanted,
        report: &ContinuityReport,
    ) -> Result<Self, Trouble> {
        let Some(first) = report.misses.first().map(|miss| miss.at) else {
            return Ok(Self { keep_log: true, ..Self::default() });
        };
        let since = began.elapsed().saturating_sub(first);
        match context.outside.witnesses.logged(gateway, path, since).await? {
            None => Ok(Self::default()),
            Some(logged) => {
                Self::read(&logged, wanted, good(report, wanted, first)).map_err(|(expected, seen)| {
                    let doing = format!("reading what the proxies of {gateway} that live have logged");
                    Trouble::error(doing, expected, seen)
                        .next("are these the pods of its proxies? (`proxies` of the implementation)")
                })
            }
        }
    }

    /// What they have logged, or what speaks against it: expected and seen.
    fn read(logged: &[Logged], wanted: &Wanted, good: u64) -> Result<Self, (String, String)> {
        let least = good.div_ceil(ONE_OF);
        if u64::try_from(logged.len()).unwrap_or(u64::MAX) < least {
            let expected = format!("at least {least} requests, of {good} good answers");
            return Err((expected, format!("{} requests", logged.len())));
        }
        let mut failed = BTreeMap::new();
        for entry in logged.iter().filter(|entry| entry.status != wanted.status) {
            *failed.entry(format!("{} {}", entry.status, entry.reason)).or_default() += 1;
        }
        Ok(Self { failed, keep_log: true })
    }

    /// Adds what they have to say to the detail of a step.
    pub(super) fn tell(&self, detail: &mut Value) {
        detail["measured"]["by_proxies_that_live"] = json!(self.failed);
        if !self.keep_log {
            detail["proxies_that_live"] = "keep no log that could tell".into();
        } else if self.failed.is_empty() {
            detail["proxies_that_live"] = "have let no request fail".into();
        }
    }
}

/// Answers of the wanted status to requests that started after this time.
fn good(report: &ContinuityReport, wanted: &Wanted, since: Duration) -> u64 {
    let later = report.stretches.iter().filter(|stretch| stretch.at_ms >= millis(since));
    let good = later.filter(|stretch| stretch.answers.status == Some(wanted.status));
    good.filter_map(|stretch| u64::try_from(stretch.answers.count).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_model::event::{AnswerGroup, Hop, Stretch};

    fn read(good: usize, failed: usize, of: u64) -> Result<Living, (String, String)> {
        let entry = |status, reason: &str| Logged { status, reason: reason.into() };
        let mut logged = vec![entry(200, "ok"); good];
        logged.extend(vec![entry(499, "client_closed"); failed]);
        Living::read(&logged, &Wanted { status: 200, backend: None }, of)
    }

    fn told(living: &Living) -> Value {
        let mut detail = json!({});
        living.tell(&mut detail);
        detail["proxies_that_live"].clone()
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let living = read(20, 3, 100).unwrap();
        assert_eq!(living.failed, BTreeMap::from([("499 client_closed".to_owned(), 3)]));
        assert_eq!(told(&living), Value::Null);
        assert_eq!(told(&read(20, 0, 100).unwrap()), "have let no request fail");
    }

    #[test]
    fn logs_without_the_traffic_are_no_evidence() {
        let (expected, seen) = read(0, 0, 95).unwrap_err();
        assert_eq!(expected, "at least 10 requests, of 95 good answers");
        assert_eq!(seen, "0 requests");
        assert!(read(9, 0, 95).is_err());
        assert!(read(10, 0, 95).is_ok());
    }

    #[test]
    fn only_what_came_after_the_first_failure_is_expected_of_them() {
        let stretch = |at_ms, status, count| Stretch {
            at_ms,
            until_ms: at_ms,
            hop: Hop::Gateway,
            answers: AnswerGroup { status, failure: None, backend: None, reason: None, count },
        };
        let stretches = vec![stretch(0, Some(200), 90), stretch(900, None, 3), stretch(930, Some(200), 50)];
        let report = ContinuityReport { stretches, ..ContinuityReport::default() };
        let wanted = Wanted { status: 200, backend: None };
        assert_eq!(good(&report, &wanted, Duration::from_millis(900)), 50);
    }

    #[test]
    fn without_a_log_nothing_is_said_of_what_was_not_let_fail() {
        assert_eq!(told(&Living::default()), "keep no log that could tell");
    }
}
