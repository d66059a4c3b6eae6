//! Waiting for objects: by watch, never by sleeping. A watch that breaks while a claim is to go on holding has seen nothing:
//! the time begins anew with what the next one tells, and where none does, that is an error.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::context::{Context, Trouble, millis};
use crate::ports::{PortError, Query};
use meshproof_model::event::Stayed;
use meshproof_model::scenario::limits::Stays;

/// What a claim makes of the objects it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement<T> {
    /// The claim holds.
    Holds(T),
    /// It does not, because of this.
    NotYet(String),
}

/// A claim about objects that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    /// What the judge made of the objects, as they were last.
    pub found: T,
    /// From the start of the step until it held.
    pub became_ms: u64,
    /// How it went on.
    pub stayed: Option<Stayed>,
}

/// How often a watch may break while a claim is to go on holding. What happened meanwhile nobody knows, so the time begins anew
/// each time.
const RENEWALS: u32 = 3;
/// How long a watch that broke may take until it tells again how things are.
const RENEWED_WITHIN: Duration = Duration::from_secs(15);

/// Waits until `judge` says that the claim holds, and as long as the step asks for that it goes on holding.
///
/// # Errors
/// Failed: it did not come to hold in time, or ceased to hold; the last reason is in it. Error: nothing was ever seen, or
/// nobody could look all the time for which it was to hold.
pub async fn becomes<T>(
    context: &mut Context<'_>,
    query: &Query,
    doing: &str,
    expected: &str,
    mut judge: impl FnMut(&[Value]) -> Judgement<T>,
) -> Result<Held<T>, Trouble> {
    let outside = context.outside;
    let observe = || outside.objects.observe(query);
    seen_in(context, observe, doing, expected, |objects| judge(objects)).await
}

/// The same of what streams bring, made of several sets of objects perhaps. Each stream begins with how things are.
///
/// # Errors
/// As [`becomes`].
pub(super) async fn seen_in<S, T>(
    context: &mut Context<'_>,
    observe: impl Fn() -> BoxStream<'static, Result<S, PortError>>,
    doing: &str,
    expected: &str,
    mut judge: impl FnMut(&S) -> Judgement<T>,
) -> Result<Held<T>, Trouble> {
    let deadline = context.deadline();
    let mut stream = observe();
    let mut last: Option<Result<String, PortError>> = None;
    let held = loop {
        let because = match timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(too_late(context, doing, expected, last)),
            Ok(None) => return Err(ended(doing, expected)),
            Ok(Some(Err(error))) => Err(error),
            Ok(Some(Ok(objects))) => match judge(&objects) {
                Judgement::Holds(found) => break found,
                Judgement::NotYet(because) => Ok(because),
            },
        };
        if last.as_ref() != Some(&because) {
            match &because {
                Ok(because) => context.not_yet(because),
                Err(error) => context.not_yet(&error.to_string()),
            }
        }
        last = Some(because);
    };
    let mut held = Held { found: held, became_ms: context.elapsed_ms(), stayed: None };
    let Some(Stays::Time(time)) = context.stays else { return Ok(held) };
    let expected = format!("{expected}, and to stay so for {time:?}");
    let mut since = Instant::now();
    let mut until = since + time;
    let mut renewals = 0;
    // Why nobody can say at the moment whether it still holds.
    let mut blind: Option<String> = None;
    loop {
        let because = match (timeout_at(until, stream.next()).await, blind.take()) {
            (Err(_), None) => break,
            (Err(_), Some(because)) => return Err(unseen(doing, expected, &because)),
            (Ok(Some(Ok(objects))), before) => match judge(&objects) {
                Judgement::Holds(found) => {
                    held.found = found;
                    if before.is_some() {
                        since = Instant::now();
                        until = since + time;
                    }
                    continue;
                }
                Judgement::NotYet(because) => {
                    let lasted = since.elapsed();
                    let seen = format!("it held for {lasted:.1?}, then {because}");
                    return Err(Trouble::failed(doing, expected, seen));
                }
            },
            (Ok(Some(Err(error))), _) => error.to_string(),
            (Ok(None), _) => WATCH_ENDED.to_owned(),
        };
        renewals += 1;
        if renewals > RENEWALS {
            return Err(unseen(doing, expected, &because));
        }
        context.not_yet(&format!("nobody saw whether it went on: {because}"));
        until = Instant::now() + RENEWED_WITHIN;
        blind = Some(because);
        stream = observe();
    }
    held.stayed = Some(Stayed { ms: millis(since.elapsed()), requests: 0 });
    Ok(held)
}

/// What is said of a watch that is over: it never ends by itself.
const WATCH_ENDED: &str = "the watch ended";

/// Nobody can say whether it ever held.
fn ended(doing: &str, expected: &str) -> Trouble {
    Trouble::error(doing, expected, WATCH_ENDED).next("the API server did not go on telling; run again")
}

/// It held, and nobody can say whether it went on.
fn unseen(doing: &str, expected: String, because: &str) -> Trouble {
    let seen = format!("it held, but nobody could look all the time: {because}");
    Trouble::error(doing, expected, seen).next("the API server has to answer all the while; run again")
}

fn too_late(
    context: &Context<'_>,
    doing: &str,
    expected: &str,
    last: Option<Result<String, PortError>>,
) -> Trouble {
    let expected = format!("{expected} within {:?}", context.within);
    match last {
        Some(Ok(because)) => Trouble::failed(doing, expected, because),
        Some(Err(error)) => {
            let trouble = Trouble::error(doing, expected, error.to_string());
            match error.next {
                Some(next) => trouble.next(next),
                None => trouble,
            }
        }
        None => Trouble::error(doing, expected, "the API server listed nothing in time"),
    }
}
