//! Waiting for objects: by watch, never by sleeping.

use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::event::Stayed;
use crate::ports::{PortError, Query};
use crate::runner::context::{Context, Trouble, millis};
use crate::scenario::limits::Stays;

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

/// Waits until `judge` says that the claim holds, and as long as the step asks for that it goes on holding.
///
/// # Errors
/// Failed: it did not come to hold in time, or ceased to hold; the last reason is in it. Error: nothing was ever seen.
pub async fn becomes<T>(
    context: &mut Context<'_>,
    query: &Query,
    doing: &str,
    expected: &str,
    mut judge: impl FnMut(&[Value]) -> Judgement<T>,
) -> Result<Held<T>, Trouble> {
    let stream = context.outside.objects.observe(query);
    seen_in(context, stream, doing, expected, |objects| judge(objects)).await
}

/// The same of what a stream brings, made of several sets of objects perhaps.
///
/// # Errors
/// As [`becomes`].
pub(super) async fn seen_in<S, T>(
    context: &mut Context<'_>,
    mut stream: BoxStream<'static, Result<S, PortError>>,
    doing: &str,
    expected: &str,
    mut judge: impl FnMut(&S) -> Judgement<T>,
) -> Result<Held<T>, Trouble> {
    let deadline = context.deadline();
    let mut last: Option<Result<String, PortError>> = None;
    let held = loop {
        let because = match timeout_at(deadline, stream.next()).await {
            Err(_) | Ok(None) => return Err(too_late(context, doing, expected, last)),
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
    let since = Instant::now();
    loop {
        match timeout_at(since + time, stream.next()).await {
            Err(_) | Ok(None) => break,
            // The watch is being renewed: what it brings next counts.
            Ok(Some(Err(_))) => {}
            Ok(Some(Ok(objects))) => match judge(&objects) {
                Judgement::Holds(found) => held.found = found,
                Judgement::NotYet(because) => {
                    let lasted = since.elapsed();
                    return Err(Trouble::failed(
                        doing,
                        format!("{expected}, and to stay so for {time:?}"),
                        format!("it held for {lasted:.1?}, then {because}"),
                    ));
                }
            },
        }
    }
    held.stayed = Some(Stayed { ms: millis(since.elapsed()), requests: 0 });
    Ok(held)
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
