//! `served: {gateway: gateway-01, path: /}` with `becomes: {status: 200, backend: backend-v1}`, right after a claim about a status:
//! what is said to be programmed is served from the first request on. Nothing is tried twice; the first answers, each over a
//! connection of its own, are all as wanted, and so is the first of every replica of the data plane, asked past the load balancer
//! where the cluster tells them apart. The time from the start of the step to the first answer is measured.
//!
//! `never: {status: 404}` in the place of `becomes` is for what may be answered in several ways, but not in this one: whether or
//! not there is a backend by now, the route is known.
//!
//! `new-address: true` is for an address or a port that has just been made: the nodes learn of it when they learn of it, which is
//! no gateway's doing. Until then a connection is refused; the first request that is not counts as the first.

use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, StreamExt, stream};
use serde_json::json;
use tokio::time::interval;

use super::never::{self, Never};
use super::request::{WANTED, Wanted};
use super::tally::Tally;
use super::target::{self, Target};
use crate::context::{Context, Trouble, millis};
use crate::ports::{Replica, Replicas};
use crate::probe::{Answer, Ask, FailureKind};
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::limits::{LED_WITHIN, PACE, WIDTH};
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};
use meshproof_model::vantage::Vantage;

/// The word.
pub const WORD: Definition = Definition::claim("served", Staying::No, parse).says(Reference {
    summary: "What is said to be programmed is served from the first request on: nothing is tried twice, each answer over a connection of its own, and one of them by each pod behind the address.",
    subject: Type::Map(&target::FIELDS),
    fields: &[
        Field::one_of("becomes", Type::Map(SERVED), "The answer."),
        Field::one_of("never", Type::Map(never::FIELDS), "The answer that none may be."),
        Field::optional("new-address", Type::Bool, "The address or port has just been made: while connections are refused, the nodes have yet to learn of it.").or("false"),
    ],
    examples: &[
        "served: {gateway: gateway-01, path: /}\nbecomes: {status: 200, backend: backend-v1}\nnew-address: true\nwithin: answers",
        "served: {gateway: gateway-01}\nnever: {status: 404}\nwithin: answers",
    ],
});

/// Without a reason: that is found in a log, later.
const SERVED: &[Field] = &[WANTED[0], WANTED[1]];

/// Requests over connections of their own, wherever the load balancer takes them.
const FIRST: usize = 20;

#[derive(Debug)]
struct Served {
    target: Target,
    wants: Wants,
    /// Its address or port has just been made.
    new_address: bool,
}

/// What the answers have to be.
#[derive(Debug)]
enum Wants {
    /// All of them this.
    Becomes(Wanted),
    /// None of them this.
    Never(Never),
}

impl Wants {
    fn parse(subject: &Node, fields: &mut Fields<'_>) -> Result<Self, Problem> {
        match (fields.take("becomes"), fields.take("never")) {
            (Some(becomes), None) => {
                let mut fields = becomes.fields()?;
                let wanted = Wanted::read(&mut fields)?;
                fields.finish()?;
                match wanted.reason.is_some() {
                    true => {
                        Err(becomes.problem("a reason is found in a log, later").help("leave it out here"))
                    }
                    false => Ok(Self::Becomes(wanted)),
                }
            }
            (None, Some(never)) => Ok(Self::Never(Never::parse(never)?)),
            (Some(_), Some(never)) => {
                Err(never.problem("both `becomes` and `never`").help("make two steps of it"))
            }
            (None, None) => Err(subject.problem("served as what?").help("add `becomes: {status: 200}`, say")),
        }
    }

    /// Why this answer is not as wanted. None at all is as wanted by nobody.
    fn against(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        let seen = || format!("the answer is {}", answer.summary());
        match self {
            Self::Becomes(wanted) => wanted.differs_for(ask, answer),
            Self::Never(never) => (answer.complete().is_none() || never.is(answer)).then(seen),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Becomes(wanted) => wanted.in_words(),
            Self::Never(never) => format!("anything but {never}"),
        }
    }
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let mut request = subject.fields()?;
    let target = Target::parse(&mut request, scope)?;
    request.finish()?;
    let wants = Wants::parse(subject, fields)?;
    let new_address = fields.take("new-address").map_or(Ok(false), Node::bool)?;
    Ok(Box::new(Served { target, wants, new_address }))
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
        let each = self.each_replica(context, &fqdn, ask).await?;
        let others = stream::iter((1..FIRST).map(|_| requests.send(from, ask))).buffered(WIDTH);
        let mut answers = stream::once(async { Ok(first) }).chain(others).boxed();
        let mut against = None;
        let mut number = 0;
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            number += 1;
            tally.count(&answer);
            if let (Some(because), None) = (self.wants.against(ask, &answer), &against) {
                against = Some(format!("request {number} after it was said to be programmed: {because}"));
            }
        }
        drop(answers);
        for (replica, answer) in each.answers() {
            if let (Some(because), None) = (self.wants.against(ask, answer), &against) {
                let pod = &replica.pod;
                against = Some(format!(
                    "the first request to pod {pod} after it was said to be programmed: {because}"
                ));
            }
        }
        let measured =
            json!({"asked_ms": asked_ms, "gap_ms": gap_ms, "refused_before": refused, "pods": each.pods()});
        let detail = json!({"requests": number, "pods_not_told_apart": each.unknown(), "measured": measured});
        let groups = tally.groups();
        let wants = self.wants.in_words();
        let summary = format!("{number} × {wants}, from the first on{}", each.in_words());
        // Which of several answers it is may be another in each run.
        let settled = if matches!(self.wants, Wants::Becomes(_)) { groups.clone() } else { Vec::new() };
        let observed = Observed { summary, detail, answers: groups, settled, ..Observed::default() };
        match against {
            None => Ok(Observed { became_ms: Some(gap_ms), ..observed }),
            Some(seen) => {
                let expected = format!("{} from the first request on", self.wants.in_words());
                let mut trouble = Trouble::failed(self.name(), expected, seen.clone());
                if let Wants::Becomes(wanted) = &self.wants {
                    trouble.expected_status = wanted.status;
                }
                trouble.observed = Observed { summary: seen, ..observed };
                Err(trouble)
            }
        }
    }
}

/// What the replicas of the data plane answered, asked one by one.
enum Each {
    /// All of them.
    Asked(Vec<(Replica, Answer)>),
    /// They could not be told apart, and why.
    Unknown(String),
    /// Requests from inside the cluster go where its Service sends them.
    NotOutside,
}

impl Each {
    fn answers(&self) -> &[(Replica, Answer)] {
        match self {
            Self::Asked(answers) => answers,
            Self::Unknown(_) | Self::NotOutside => &[],
        }
    }

    fn pods(&self) -> Vec<&str> {
        self.answers().iter().map(|(replica, _)| replica.pod.as_str()).collect()
    }

    fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Asked(_) | Self::NotOutside => None,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Asked(answers) => match answers.len() {
                1 => ", and by the one pod behind the address".to_owned(),
                number => format!(", and by each of the {number} pods behind the address"),
            },
            Self::Unknown(_) => "; the pods behind the address cannot be told apart".to_owned(),
            Self::NotOutside => String::new(),
        }
    }
}

impl Served {
    /// Asks every replica at once, past the load balancer.
    async fn each_replica(&self, context: &Context<'_>, fqdn: &str, ask: &Ask) -> Result<Each, Trouble> {
        if self.target.from != Vantage::Outside {
            return Ok(Each::NotOutside);
        }
        let requests = &context.outside.requests;
        let replicas = match requests.replicas(fqdn, self.target.port()).await? {
            Replicas::Each(replicas) => replicas,
            Replicas::Unknown(why) => return Ok(Each::Unknown(why)),
        };
        let asked = replicas.into_iter().map(|replica| async move {
            let answer = requests.send(Vantage::Outside, &ask.clone().connecting_to(replica.address)).await?;
            Ok::<_, Trouble>((replica, answer))
        });
        Ok(Each::Asked(try_join_all(asked).await?))
    }
}

impl Word for Served {
    fn name(&self) -> String {
        format!("{} is served as {} at once", self.target.in_words(), self.wants.in_words())
    }

    fn forgives(&self) -> Option<String> {
        self.new_address.then(|| "refused connections, until the nodes know of a new address".to_owned())
    }

    fn about(&self) -> Option<ObjectRef> {
        Some(self.target.gateway.clone())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}
