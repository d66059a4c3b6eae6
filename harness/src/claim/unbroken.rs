//! `unbroken: traffic`: every answer to the constant traffic was as wanted. Ends the traffic, after `stays` if that is given.
//! With `but-for: {most: 20, because: …, seen: [reset, 503 upstream_reset]}` so many answers of these kinds are forgiven, and
//! all of them reported. That holds for what the proxies that live have logged, too: a client that had no answer from one of
//! them is no more to be forgiven than an answer of another kind (`499 client_closed`). Failures are told by the action that
//! had begun last when their requests started.

mod outages;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::event::{AnswerGroup, Observed, Stayed, Traffic, TrafficFailure};
use crate::ports::ObjectRef;
use crate::probe::continuity::{ContinuityReport, Miss};
use crate::probe::deployment_of;
use crate::probe::strip::{hop, own_word};
use crate::runner::context::{Context, Trouble, millis};
use crate::runner::traffic::{Begun, Wanted};
use crate::scenario::limits::Stays;
use crate::scenario::node::{Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Staying, Word};

/// The word.
pub const WORD: Definition = Definition::claim("unbroken", Staying::Time, parse);

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
    let most = fields.need("most")?.number()?;
    let because = fields.need("because")?.text()?.to_owned();
    let seen = fields.need("seen")?.one_or_more().iter().map(|node| node.text().map(str::to_owned));
    let seen = seen.collect::<Result<_, _>>()?;
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
        let reason = match (self.kind.split_once(' '), answer.status) {
            // The gateway is content: somebody else than wanted has answered.
            (_, Some(status)) if status == wanted.status => "another backend",
            (Some((_, word)), Some(_)) => word,
            (None, Some(_)) => "unknown",
            (_, None) => &self.kind,
        };
        TrafficFailure {
            at_ms: millis(*at),
            status: answer.status,
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
) -> Vec<Account<'a>> {
    let mut all = Vec::new();
    for (index, miss) in report.misses.iter().enumerate() {
        let kind = match (miss.answer.status, &miss.answer.failure) {
            (None, Some(failure)) => failure.kind.to_string(),
            (None, None) => "no answer".to_owned(),
            (Some(status), _) => {
                // The log may have nothing to say: a proxy that died took it along.
                let account = match index < LOOKED_UP {
                    true => context.outside.witnesses.account(gateway, &miss.answer).await.ok().flatten(),
                    false => None,
                };
                match account.map(|account| account.reason).or_else(|| own_word(&miss.answer)) {
                    Some(reason) => format!("{status} {reason}"),
                    None => status.to_string(),
                }
            }
        };
        all.push(Account { miss, kind });
    }
    all
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
        rate: u32,
        actions: &[Begun],
        accounts: &[Account<'_>],
    ) -> Option<(String, String)> {
        let every = format!("every one of {} answers as wanted", report.sent);
        let expected = match &self.but_for {
            None => every,
            Some(but_for) => format!("{every}, but for {} at most, {}", but_for.most, but_for.because),
        };
        let wanted_number = report.asked.as_secs_f64() * f64::from(rate) * 0.9;
        if (report.sent as f64) < wanted_number {
            let seen = format!("only {} requests in {:.1} s", report.sent, report.asked.as_secs_f64());
            return Some((format!("{rate} requests each second"), seen));
        }
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

    /// How many requests the proxies that live have let fail, by kind. Asked only where failures are forgiven.
    async fn living(
        &self,
        context: &Context<'_>,
        (gateway, path): (&ObjectRef, &str),
        since: Duration,
        wanted: &Wanted,
    ) -> Result<BTreeMap<String, usize>, Trouble> {
        let mut kinds = BTreeMap::new();
        if self.but_for.is_some() {
            let logged = context.outside.witnesses.logged(gateway, path, since).await?;
            for entry in logged.into_iter().flatten().filter(|entry| entry.status != wanted.status) {
                *kinds.entry(format!("{} {}", entry.status, entry.reason)).or_default() += 1;
            }
        }
        Ok(kinds)
    }

    /// Why these failures are nothing that could not have been prevented.
    fn against_living(&self, living: &BTreeMap<String, usize>) -> Option<(String, String)> {
        let but_for = self.but_for.as_ref()?;
        let (kind, count) = living.iter().find(|(kind, _)| !but_for.forgives(kind))?;
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
        let accounts = accounts(context, &gateway, &report).await;
        let living = self.living(context, (&gateway, &path), began.elapsed(), &wanted).await?;
        let groups = groups(&report, &wanted, &accounts);
        let mut backends: Vec<&str> =
            report.by_pod.keys().map(|pod| deployment_of(pod).unwrap_or(pod)).collect();
        backends.dedup();
        let outages = outages::of(&actions, &accounts);
        let mut detail = json!({
            "wants": wanted.to_string(),
            "rate": rate,
            "backends": backends,
            "measured": {
                "sent": report.sent,
                "failures": accounts.len(),
                "longest_gap_ms": millis(report.longest_gap),
                "lasted_ms": millis(report.lasted),
                "broken": outages,
                "by_proxies_that_live": living,
            },
        });
        if self.but_for.is_some() && living.is_empty() {
            detail["proxies_that_live"] = "have let no request fail".into();
        }
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
        let observed = Observed {
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
        let against = self.against(&report, rate, &actions, &accounts);
        match against.or_else(|| self.against_living(&living)) {
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

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}
