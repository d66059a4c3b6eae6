//! `unbroken: traffic`: every answer to the constant traffic was as wanted. Ends the traffic, after `stays` if that is given.
//! With `but-for: {most: 20, because: …, seen: [reset, 503 upstream_reset]}` so many answers of these kinds are forgiven, and
//! all of them reported. That holds for what the proxies that live have logged, too: a client that had no answer from one of
//! them is no more to be forgiven than an answer of another kind (`499 client_closed`). Failures are told by the action that
//! had begun last when their requests started.
//!
//! Traffic that was not sent as planned says nothing about the gateway, and is an error.

mod living;
mod outages;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::living::Living;
use super::manner::bound;
use crate::context::traffic::{Begun, LONGEST, Wanted};
use crate::context::{Context, Trouble, millis};
use crate::probe::continuity::{ContinuityReport, Miss};
use crate::probe::deployment_of;
use crate::probe::strip::{hop, own_word};
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::{AnswerGroup, Observed, Stayed, Traffic, TrafficFailure};
use meshproof_model::scenario::limits::Stays;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("unbroken", Staying::Time, parse).says(Reference {
    summary: "Every answer to the constant traffic was as wanted. Ends the traffic, after `stays` if that is given.",
    subject: Type::OneOf(&["traffic"]),
    fields: &[
        Field::optional("but-for", Type::Map(BUT_FOR), "Failures that are forgiven, all of them reported.").or("none"),
    ],
    examples: &[
        "unbroken: traffic\nwithin: answers\nstays: 3s\nbut-for: {most: 20, because: a proxy was killed, seen: [reset, 503 upstream_reset]}",
    ],
});

const BUT_FOR: &[Field] = &[
    Field::needed("most", Type::Number(1, u64::MAX), "How many."),
    Field::needed("because", Type::Text, "Why nobody could have prevented them."),
    Field::needed(
        "seen",
        Type::OneOrMore(&Type::Text),
        "Their kinds: `reset`, `refused`, `timeout`, `503 upstream_reset`.",
    ),
];

/// So many failures are looked up in the gateway's log; the others are called what their answers say.
const LOOKED_UP: usize = 20;

#[derive(Debug)]
struct Unbroken {
    but_for: Option<ButFor>,
}

/// Failures that nobody could have prevented.
#[derive(Debug)]
struct ButFor {
    most: usize,
    because: String,
    seen: Vec<String>,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    match subject.text()? {
        "traffic" => {}
        other => {
            return Err(subject.problem(format!("`{other}` cannot be unbroken")).help("write `traffic`"));
        }
    }
    let but_for = fields.take("but-for").map(but_for).transpose()?;
    Ok(Box::new(Unbroken { but_for }))
}

fn but_for(node: &Node) -> Result<ButFor, Problem> {
    let mut fields = node.fields()?;
    let most = match fields.need("most")?.number()? {
        0 => {
            return Err(node.problem("nothing is forgiven").help("leave `but-for` out, or most: 1 and more"));
        }
        most => most,
    };
    let because = stated::text(fields.need("because")?)?.to_owned();
    let place = fields.need("seen")?;
    let seen = place.one_or_more().iter().map(|node| stated::text(node).map(str::to_owned));
    let seen = seen.collect::<Result<Vec<_>, _>>()?;
    if seen.is_empty() {
        return Err(place.problem("no kind of failure is forgiven").help("e.g. [reset, refused]"));
    }
    fields.finish()?;
    Ok(ButFor { most, because, seen })
}

/// One failure, with the gateway's own word for it.
struct Account<'a> {
    miss: &'a Miss,
    /// `reset`, `503`, `503 upstream_reset`: what it is called.
    kind: String,
}

impl Account<'_> {
    /// The same for reports.
    fn failure(&self, wanted: &Wanted) -> TrafficFailure {
        let Miss { at, seen, answer, .. } = self.miss;
        let reason = match (self.kind.split_once(' '), answer.complete()) {
            // The gateway is content: somebody else than wanted has answered.
            (_, Some(status)) if status == wanted.status => "another backend",
            (Some((_, word)), Some(_)) => word,
            (None, Some(_)) => "unknown",
            (_, None) => &self.kind,
        };
        TrafficFailure {
            at_ms: millis(*at),
            status: answer.complete(),
            reason: reason.to_owned(),
            hop: hop(answer),
            seen: seen.clone(),
        }
    }
}

/// What every failure is called: by the gateway's log, or else by the answer itself.
async fn accounts<'a>(
    context: &Context<'_>,
    gateway: &ObjectRef,
    report: &'a ContinuityReport,
    since: Duration,
) -> Vec<Account<'a>> {
    let answered = |miss: &&Miss| miss.answer.complete().is_some();
    let asked: Vec<_> = report.misses.iter().filter(answered).take(LOOKED_UP).collect();
    let answers: Vec<_> = asked.iter().map(|miss| miss.answer.clone()).collect();
    // The log may have nothing to say: a proxy that died took it along.
    let given = match answers.is_empty() {
        true => Vec::new(),
        false => context.outside.witnesses.accounts(gateway, &answers, since).await.unwrap_or_default(),
    };
    let given: BTreeMap<u64, String> =
        asked.iter().zip(given).filter_map(|(miss, account)| Some((miss.number, account?.reason))).collect();
    let account = |miss: &'a Miss| {
        let kind = match (&miss.answer.failure, miss.answer.status) {
            (Some(failure), _) => failure.kind.to_string(),
            (None, None) => "no answer".to_owned(),
            (None, Some(status)) => {
                match given.get(&miss.number).cloned().or_else(|| own_word(&miss.answer)) {
                    Some(reason) => format!("{status} {reason}"),
                    None => status.to_string(),
                }
            }
        };
        Account { miss, kind }
    };
    report.misses.iter().map(account).collect()
}

/// Why what was asked is not what was to be asked: expected, seen and what to do next.
fn unplanned(report: &ContinuityReport, rate: u32) -> Option<(String, String, &'static str)> {
    let seconds = report.asked.as_secs_f64();
    let every = format!("{rate} requests each second");
    let wanted_number = seconds * f64::from(rate) * 0.9;
    if report.unasked > 0 {
        let next = "the reason is this machine's, or the vantage's";
        Some((every, report.unasked_in_words(), next))
    } else if report.asked >= LONGEST {
        let seen = format!("it ended by itself after {} s: nobody saw what came later", LONGEST.as_secs());
        let next = "let less happen between `traffic` and `unbroken: traffic`";
        Some(("constant traffic until this step".to_owned(), seen, next))
    } else if (report.sent as f64) < wanted_number {
        let seen = format!("only {} requests in {seconds:.1} s", report.sent);
        Some((every, seen, "this machine is too busy for the rate"))
    } else {
        None
    }
}

impl ButFor {
    fn forgives(&self, kind: &str) -> bool {
        self.seen.iter().any(|seen| kind == seen || kind.starts_with(&format!("{seen} ")))
    }
}

fn groups(report: &ContinuityReport, wanted: &Wanted, accounts: &[Account<'_>]) -> Vec<AnswerGroup> {
    let group =
        |status, failure, backend, count| AnswerGroup { status, failure, backend, reason: None, count };
    let mut groups = Vec::new();
    if let Ok(good) = usize::try_from(report.good)
        && good > 0
    {
        groups.push(group(Some(wanted.status), None, wanted.backend.clone(), good));
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    accounts.iter().for_each(|account| *kinds.entry(account.kind.as_str()).or_default() += 1);
    for (kind, count) in kinds {
        let (status, reason) =
            kind.split_once(' ').map_or((kind, None), |(status, reason)| (status, Some(reason)));
        let status = status.parse().ok();
        let failure = status.is_none().then(|| kind.to_owned());
        let mut group = group(status, failure, None, count);
        group.reason = reason.filter(|_| status.is_some()).map(str::to_owned);
        groups.push(group);
    }
    groups
}

impl Unbroken {
    /// Why the traffic was not as it should be.
    fn against(
        &self,
        report: &ContinuityReport,
        actions: &[Begun],
        accounts: &[Account<'_>],
    ) -> Option<(String, String)> {
        let every = format!("every one of {} answers as wanted", report.sent);
        let expected = match &self.but_for {
            None => every,
            Some(but_for) => format!("{every}, but for {} at most, {}", but_for.most, but_for.because),
        };
        let unforgiven = accounts
            .iter()
            .find(|account| self.but_for.as_ref().is_none_or(|but_for| !but_for.forgives(&account.kind)));
        if let Some(account) = unforgiven {
            let since = outages::action(actions, account.miss.at);
            let (from, action) =
                since.map_or((Duration::ZERO, "the traffic began"), |action| (action.at, &action.name));
            let first = if self.but_for.is_none() { "the first" } else { "the first of them unforeseen" };
            let seen = format!(
                "{} failures, {first} {} ms after `{action}`: {}; longest gap {} ms",
                accounts.len(),
                account.miss.at.saturating_sub(from).as_millis(),
                account.kind,
                report.longest_gap.as_millis(),
            );
            return Some((expected, seen));
        }
        let most = self.but_for.as_ref().map_or(0, |but_for| but_for.most);
        (accounts.len() > most).then(|| (expected, format!("{} failures", accounts.len())))
    }

    /// Why these failures are nothing that could not have been prevented, by what the proxies that live have logged.
    fn against_living(&self, living: &Living) -> Option<(String, String)> {
        let but_for = self.but_for.as_ref()?;
        let (kind, count) = living.failed.iter().find(|(kind, _)| !but_for.forgives(kind))?;
        let expected = format!("the proxies that live to answer every request, although {}", but_for.because);
        Some((expected, format!("they have logged {count} × {kind}")))
    }

    async fn prove(&self, context: &mut Context<'_>) -> Result<Observed, Trouble> {
        let Some(mut traffic) = context.traffic.take() else {
            let trouble = Trouble::error("judging constant traffic", "some", "no step has started any");
            return Err(trouble.next("a step before this one starts it: `traffic: {gateway: …}`"));
        };
        if let Some(Stays::Time(time)) = context.stays {
            // The time is what is asked for, not a guess at how long something takes.
            sleep_until(Instant::now() + time).await;
        }
        let (rate, wanted, began) = (traffic.rate, traffic.wanted.clone(), traffic.began);
        let (gateway, path) = (traffic.gateway.clone(), traffic.path.clone());
        let actions = std::mem::take(&mut traffic.actions);
        let report = traffic.stop().await?;
        let accounts = accounts(context, &gateway, &report, began.elapsed()).await;
        let groups = groups(&report, &wanted, &accounts);
        let mut backends: Vec<&str> =
            report.by_pod.keys().map(|pod| deployment_of(pod).unwrap_or(pod)).collect();
        backends.dedup();
        let outages = outages::of(&actions, &accounts);
        let detail = json!({
            "wants": wanted.to_string(),
            "rate": rate,
            "backends": backends,
            "measured": {
                "sent": report.sent,
                "bound": bound(usize::try_from(report.sent).unwrap_or(usize::MAX)),
                "failures": accounts.len(),
                "longest_gap_ms": millis(report.longest_gap),
                "lasted_ms": millis(report.lasted),
                "broken": outages,
            },
        });
        let over_time = Traffic {
            started_ms: millis(began.duration_since(context.begun)),
            lasted_ms: millis(report.lasted),
            rate: f64::from(rate),
            sent: report.sent,
            answers: groups.clone(),
            stretches: report.stretches.clone(),
            failures: accounts.iter().map(|account| account.failure(&wanted)).collect(),
            longest_gap_ms: millis(report.longest_gap),
        };
        let mut observed = Observed {
            summary: report.summary(),
            detail,
            stayed: Some(Stayed {
                ms: millis(report.lasted),
                requests: usize::try_from(report.sent).unwrap_or(usize::MAX),
            }),
            // Which failures there were, of those that are forgiven, differs from run to run.
            settled: groups.iter().take(1).cloned().collect(),
            answers: groups,
            traffic: Some(Box::new(over_time)),
            ..Observed::default()
        };
        if let Some((expected, seen, next)) = unplanned(&report, rate) {
            let trouble = Trouble::error(self.name(), expected, seen).next(next);
            return Err(Trouble { observed, ..trouble });
        }
        let mut against = self.against(&report, &actions, &accounts);
        if against.is_none() && self.but_for.is_some() {
            let living = match Living::of(context, (&gateway, &path), began, &wanted, &report).await {
                Ok(living) => living,
                Err(trouble) => return Err(Trouble { observed, ..trouble }),
            };
            living.tell(&mut observed.detail);
            against = self.against_living(&living);
        }
        match against {
            None => Ok(observed),
            Some((expected, seen)) => {
                let mut trouble = Trouble::failed(self.name(), expected, seen);
                trouble.expected_status = Some(wanted.status);
                trouble.observed = observed;
                // What was not forgiven is what a reviewer of a measured claim has to see.
                trouble.observed.detail["broken"] = outages;
                Err(trouble)
            }
        }
    }
}

impl Word for Unbroken {
    fn name(&self) -> String {
        match &self.but_for {
            None => "the constant traffic was never broken".into(),
            Some(but_for) => {
                format!("the constant traffic was broken at most {} times, {}", but_for.most, but_for.because)
            }
        }
    }

    fn forgives(&self) -> Option<String> {
        let ButFor { most, because, .. } = self.but_for.as_ref()?;
        Some(format!("{most} at most, {because}"))
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(seconds: u64, sent: u64) -> ContinuityReport {
        ContinuityReport {
            asked: Duration::from_secs(seconds),
            sent,
            good: sent,
            ..ContinuityReport::default()
        }
    }

    #[test]
    fn traffic_that_was_not_sent_as_planned_says_nothing() {
        assert_eq!(unplanned(&report(10, 1900), 200), None);
        let (expected, seen, _) = unplanned(&report(10, 1000), 200).unwrap();
        assert_eq!(
            (expected.as_str(), seen.as_str()),
            ("200 requests each second", "only 1000 requests in 10.0 s")
        );
        let (_, seen, _) = unplanned(&report(900, 180_000), 200).unwrap();
        assert!(seen.starts_with("it ended by itself after 900 s"), "{seen}");
        let first_unasked = Some((Duration::from_secs(2), "no route".to_owned()));
        let report = ContinuityReport { unasked: 3, first_unasked, ..report(10, 1997) };
        let (_, seen, _) = unplanned(&report, 200).unwrap();
        assert_eq!(seen, "3 requests could not be sent, the first after 2.0 s: no route");
    }
}
