//! `served: {gateway: gateway-01, path: /}` with `becomes: {status: 200, backend: backend-v1}`, right after a claim about a status:
//! what is said to be programmed is served from the first request on. Nothing is tried twice; the first answers, each over a
//! connection of its own, so that every replica of the data plane has its turn, are all as wanted. The time from the start of
//! the step to the first answer is measured.
//!
//! `new-address: true` is for an address or a port that has just been made: the nodes learn of it when they learn of it, which is
//! no gateway's doing. Until then a connection is refused; the first request that is not counts as the first.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde_json::json;
use tokio::time::interval;

use super::request::Wanted;
use super::tally::Tally;
use super::target::Target;
use crate::event::Observed;
use crate::probe::FailureKind;
use crate::runner::context::{Context, Trouble, millis};
use crate::scenario::limits::{LED_WITHIN, PACE, WIDTH};
use crate::scenario::node::{Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Staying, Word};

/// The word.
pub const WORD: Definition = Definition::claim("served", Staying::No, parse);

/// Requests over connections of their own: with two replicas behind a load balancer one is left out in one run of 500,000, with
/// three in one of 1,000.
const FIRST: usize = 20;

#[derive(Debug)]
struct Served {
    target: Target,
    wanted: Wanted,
    /// Its address or port has just been made.
    new_address: bool,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let mut request = subject.fields()?;
    let target = Target::parse(&mut request, scope)?;
    request.finish()?;
    let becomes = fields.need("becomes")?;
    let wanted = Wanted::parse(becomes)?;
    if wanted.reason.is_some() {
        return Err(becomes.problem("a reason is found in a log, later").help("leave it out here"));
    }
    let new_address = fields.take("new-address").map_or(Ok(false), Node::bool)?;
    Ok(Box::new(Served { target, wanted, new_address }))
}

impl Served {
    async fn prove(&self, context: &mut Context<'_>) -> Result<Observed, Trouble> {
        let fqdn = self.target.fqdn(context).await?;
        let ask = &self.target.ask(context, &fqdn).await?;
        let asked_ms = context.elapsed_ms();
        let (requests, from, mut tally) = (&context.outside.requests, self.target.from, Tally::default());
        let mut pace = interval(PACE);
        let mut refused: usize = 0;
        let first = loop {
            pace.tick().await;
            let answer = requests.send(from, ask).await?;
            let unled = answer.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Refused);
            if !(self.new_address && unled && context.elapsed_ms() < millis(LED_WITHIN)) {
                break answer;
            }
            refused += 1;
        };
        let gap_ms = context.elapsed_ms();
        let others = stream::iter((1..FIRST).map(|_| requests.send(from, ask))).buffered(WIDTH);
        let mut answers = stream::once(async { Ok(first) }).chain(others).boxed();
        let mut against = None;
        let mut number = 0;
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            number += 1;
            tally.count(&answer);
            if let (Some(because), None) = (self.wanted.differs_for(ask, &answer), &against) {
                against = Some(format!("request {number} after it was said to be programmed: {because}"));
            }
        }
        drop(answers);
        let detail = json!({"requests": number, "measured": {"asked_ms": asked_ms, "gap_ms": gap_ms, "refused_before": refused}});
        let groups = tally.groups();
        let summary = format!("{number} × {}, from the first on", self.wanted.in_words());
        let observed =
            Observed { summary, detail, answers: groups.clone(), settled: groups, ..Observed::default() };
        match against {
            None => Ok(Observed { became_ms: Some(gap_ms), ..observed }),
            Some(seen) => {
                let expected = format!("{} from the first request on", self.wanted.in_words());
                let mut trouble = Trouble::failed(self.name(), expected, seen.clone());
                trouble.expected_status = Some(self.wanted.status);
                trouble.observed = Observed { summary: seen, ..observed };
                Err(trouble)
            }
        }
    }
}

impl Word for Served {
    fn name(&self) -> String {
        format!("{} is served as {} at once", self.target.in_words(), self.wanted.in_words())
    }

    fn forgives(&self) -> Option<String> {
        self.new_address.then(|| "refused connections, until the nodes know of a new address".to_owned())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}
