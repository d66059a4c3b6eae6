//! `request: {gateway: gateway-01, path: /, from: outside}` with `becomes: {status: 200, backend: backend-v1}`: what a client
//! of the gateway is answered. It takes several equal answers in a row; every answer is counted, the ones before too. A
//! backend in another namespace than the Gateway's is `namespace/name`.
//!
//! `reason:` is the gateway's word for each of these answers: the one in the answer itself, where it holds one, and the one in
//! the gateway's log. Of a gateway that keeps no log that can be read, no such word is known: it is then said that the reason is
//! not shown, and the claim stands on the answers and the witnesses.
//!
//! `stays: 20 requests` is over in a moment. `stays: 2s` asks on for so long, and every answer of that time has to be as
//! wanted; together with `may-waver` that tells a change from what only seemed to be one. `stays: 2x drain` is twice as long as
//! the mesh keeps connections from before. Many requests, `stays: 2000 requests`, are sent several at once.
//!
//! `never: {backend: backend-v2}` is an answer that must not be given at all, by no request of the claim, those before the
//! wanted ones included. `with: [GET, POST 1 MiB]` makes the requests in these ways in turn, see [`super::manner`].
//!
//! Requests have `headers` and a `body`; with `tls` they are HTTPS, with `websocket` the connection becomes a WebSocket, with
//! `grpc-health` a gRPC service is asked for its health, see [`way`]. `becomes` says of the answer what [`content`] can read.

mod content;
mod so_far;
mod wanted;
mod way;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::drain;
use super::manner::{self, Manner};
use super::never::{self, Never};
use super::tally::Tally;
use super::target::Target;
use crate::context::{Context, Trouble, millis};
use crate::ports::{Account, PortError, Requests, WitnessContext};
use crate::probe::replayed::REPLAYED;
use crate::probe::strip::own_word;
use crate::probe::{Answer, Ask};
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::{AnswerGroup, Observed, Stayed, Testimony};
use meshproof_model::scenario::limits::{MANY, PACE, Stays, WIDTH};
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::{Field, Type};
use meshproof_model::vantage::Vantage;

pub(super) use content::Content;
use so_far::{Against, Answers, Run};
pub(super) use wanted::{WANTED, Wanted};
pub(super) use way::Way;

/// The word.
pub const WORD: Definition = Definition::claim("request", Staying::Requests, parse).with_witnesses().says(Reference {
    summary: "What a client of the gateway is answered: several equal answers in a row, every one counted, the ones before too.",
    subject: Type::Map(&way::SUBJECT),
    fields: &[
        Field::needed("becomes", Type::Map(&content::ANSWER), "The answer."),
        Field::optional("may-waver", Type::Bool, "Other answers between those wanted do not end the claim; it goes on until they have stayed away.").or("false"),
        Field::optional("never", Type::Map(never::FIELDS), "An answer that no request of the claim may be given.").or("nothing"),
        Field::optional("with", Type::OneOrMore(&manner::MANNER), "Ways to make the requests, in turn; from `outside` only.").or("GET"),
    ],
    examples: &[
        "request: {gateway: gateway-01, path: /, from: outside}\nbecomes: {status: 200, backend: backend-v1, reason: ok}\nnever: {backend: backend-v2}\nwith: [GET, POST 1 MiB, GET over HTTP/2]\nwithin: answers\nstays: 20 requests\nwitness: [mtls-from-extension, clear-text-refused]",
        "request: {gateway: gateway-01, namespace: ns, host: a.example, port: 8080}\nbecomes: {status: 503}\nmay-waver: true\nwithin: drain\nstays: 2x drain",
        "request: {gateway: gateway-01, host: a.example, headers: {x-version: two}, tls: {ca: configmap/our-ca, client: secret/client, server-name: a.example, namespace: ns}}\nbecomes: {status: 200, headers: {x-added: \"*\", server: ~}, certificate: {names: a.example, issuer: our-ca}, received: {path: /new, host: b.example, headers: {x-version: two}}}\nwithin: answers",
        "request: {gateway: gateway-01, host: a.example, body: hello}\nbecomes: {status: 301, redirect: \"https://a.example/\", body: moved}\nwith: POST\nwithin: answers",
        "request: {gateway: gateway-01, host: a.example, tls: {ca: any}}\nbecomes: {failure: tls}\nwithin: answers",
        "request: {gateway: gateway-01, path: /chat, websocket: hello}\nbecomes: {status: 101, backend: backend-v1}\nwithin: answers",
        "request: {gateway: gateway-01, grpc-health: shop.Cart}\nbecomes: {status: 200, health: SERVING, grpc-status: OK}\nwithin: answers",
    ],
});

#[derive(Debug)]
pub(super) struct Request {
    pub(super) target: Target,
    /// What requests carry, and how they are sent.
    pub(super) way: Way,
    pub(super) wanted: Wanted,
    /// What the answer has to say.
    pub(super) content: Content,
    /// Workload that witnesses ask about, if that is not the one that is to answer.
    pub(super) about: Option<String>,
    /// Until the time limit the answer may go back and forth; what counts is the last change. For changes that pooled
    /// connections outlive: the gateway answers by them and by new ones in turn.
    pub(super) may_waver: bool,
    /// What none of its answers may be.
    pub(super) never: Option<Never>,
    /// How the requests are made, in turn; GET if nothing is said.
    pub(super) manners: Vec<Manner>,
    /// Whether the gateway gives reasons: it keeps a log whose words are known.
    pub(super) gives_reasons: bool,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let mut request = subject.fields()?;
    let mut target = Target::parse(&mut request, scope)?;
    let mut way = Way::parse(&mut request, &mut target, scope)?;
    request.finish()?;
    let place = fields.need("becomes")?;
    let mut becomes = place.fields()?;
    let wanted = Wanted::read_with_failure(place, &mut becomes)?;
    let content = Content::parse(&mut becomes, wanted.status)?;
    becomes.finish()?;
    if wanted.failure.is_some() && content.needs_an_answer() {
        return Err(place
            .problem("a request that fails is not answered")
            .help("leave out what the answer says"));
    }
    way.imply(&mut target, content.is_about_tls(), content.is_about_grpc());
    let may_waver = fields.take("may-waver").map_or(Ok(false), Node::bool)?;
    let never = fields.take("never").map(Never::parse).transpose()?;
    let with = fields.take("with");
    if let Some(with) = with.filter(|_| way.is_fixed()) {
        return Err(with.problem("a WebSocket and gRPC are begun in one way only").help("leave `with` out"));
    }
    let manners = manner::parse(with, target.from)?;
    let about = scope.backend.filter(|_| wanted.backend.is_none()).map(str::to_owned);
    let gives_reasons = gives_reasons(scope);
    Ok(Box::new(Request { target, way, wanted, content, about, may_waver, never, manners, gives_reasons }))
}

/// Whether the gateway under test has words for why it answers so.
pub(super) fn gives_reasons(scope: &Scope<'_>) -> bool {
    scope.implementation.proxies.access_log.is_some()
}

impl Request {
    fn witness_context(&self, context: &Context<'_>, fqdn: &str, answers: &[Answer]) -> WitnessContext {
        WitnessContext {
            scenario: context.scenario.to_owned(),
            namespace: self.target.gateway.namespace.clone().unwrap_or_default(),
            backend_namespace: self.wanted.backend_namespace.clone(),
            gateway: self.target.gateway.name.clone(),
            fqdn: fqdn.to_owned(),
            backend: self.about.clone().or(self.wanted.backend.clone()).unwrap_or_default(),
            path: self.target.path.clone(),
            answers: answers.to_vec(),
            window: None,
        }
    }

    /// What is wanted, in words.
    fn in_words(&self) -> String {
        self.wanted.in_words() + &self.content.in_words()
    }

    fn doing(&self) -> String {
        let Target { gateway, path, from, .. } = &self.target;
        format!("asking {gateway} for {path} from {from}")
    }

    /// A failure with all that was answered.
    fn failed(
        &self,
        context: &Context<'_>,
        fqdn: &str,
        answers: Answers,
        expected: String,
        seen: String,
    ) -> Trouble {
        let mut trouble = Trouble::failed(self.doing(), expected, seen);
        trouble.witness = Some(self.witness_context(context, fqdn, &answers.latest));
        trouble.expected_status = self.wanted.status;
        trouble.expected_reason = self.wanted.reason.clone();
        trouble.observed.answers = answers.all.groups();
        trouble.observed.stretches = answers.over_time.stretches();
        trouble
    }

    pub(super) async fn prove(&self, context: &mut Context<'_>) -> Result<Observed, Trouble> {
        let fqdn = self.target.fqdn(context).await?;
        let ask = self.target.ask(context, &fqdn).await?;
        let asks = manner::asks(&self.manners, self.way.ask(context, ask).await?);
        if let Some(Stays::Drains(times)) = context.stays {
            context.stays = Some(Stays::Time(drain::time(context).await? * times));
        }
        let deadline = context.deadline();
        let mut answers = Answers::default();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);

        let mut run: Option<Run> = None;
        let mut first = None;
        let mut last = "there was no answer in time".to_owned();
        let (run, groups, detail) = loop {
            pace.tick().await;
            let sent = Instant::now();
            if run.is_none() && sent >= deadline {
                let expected = format!("{} within {:?}", self.in_words(), context.within);
                return Err(self.failed(context, &fqdn, answers, expected, last));
            }
            let Some(ask) = asks.get(answers.count % asks.len().max(1)) else {
                return Err(Trouble::error(self.doing(), "a request", "there is nothing to ask"));
            };
            let answer = context.outside.requests.send(self.target.from, ask).await?;
            let again = answers.add(millis(sent.duration_since(context.started)), ask, answer.clone());
            if let Some(again) = again {
                let expected = format!("{}, each request answered for itself", self.in_words());
                let mut trouble = self.failed(context, &fqdn, answers, expected, again);
                trouble.against = Some(REPLAYED.to_owned());
                return Err(trouble);
            }
            if let Some(given) = self.given_although_never(&answer) {
                let expected = format!("{}, and never an answer {}", self.in_words(), given.0);
                return Err(self.failed(context, &fqdn, answers, expected, given.1));
            }
            let (because, may_waver) = self.against(ask, &answer);
            match (because, run.take()) {
                (None, so_far) => {
                    first.get_or_insert(sent);
                    let mut so_far = so_far.unwrap_or_else(|| Run::since(sent)).and(answer);
                    let many = context
                        .stays
                        .filter(|stays| matches!(stays, Stays::Requests(count) if *count >= MANY));
                    if let (Some(Stays::Requests(count)), true) = (many, so_far.became()) {
                        match self.many(context, &asks, &mut answers, &mut so_far, count).await? {
                            None => {}
                            Some(Against { because, for_good: false, .. }) if Instant::now() < deadline => {
                                context.not_yet(&because);
                                last = because;
                                continue;
                            }
                            Some(Against { because, by, .. }) => {
                                let expected =
                                    format!("{}, and to stay so for {count} requests", self.in_words());
                                let seen = format!("after {} such answers {because}", so_far.answers.len());
                                let mut trouble = self.failed(context, &fqdn, answers, expected, seen);
                                trouble.against = by.map(str::to_owned);
                                return Err(trouble);
                            }
                        }
                    }
                    if !(so_far.became() && so_far.stayed(context.stays)) {
                        run = Some(so_far);
                        continue;
                    }
                    match self.account(context, &so_far).await {
                        Ok((groups, detail)) => break (so_far, groups, detail),
                        // The same, as its log tells.
                        Err((_, seen)) if Instant::now() < deadline => {
                            context.not_yet(&seen);
                            last = seen;
                        }
                        Err((expected, seen)) => {
                            return Err(self.failed(context, &fqdn, answers, expected, seen));
                        }
                    }
                }
                (Some(because), Some(so_far)) if so_far.became() && !(may_waver && sent < deadline) => {
                    let stays = context.stays.map(|stays| stays.to_string()).unwrap_or_default();
                    let expected = format!("{}, and to stay so for {stays}", self.in_words());
                    let seen = format!("after {} such answers {because}", so_far.answers.len());
                    return Err(self.failed(context, &fqdn, answers, expected, seen));
                }
                (Some(because), _) => {
                    if because != last {
                        context.not_yet(&because);
                        last = because;
                    }
                }
            }
        };
        let since_start = |at: Instant| millis(at.duration_since(context.started));
        let (became_ms, first_ms) = (since_start(run.since), first.map(since_start));
        let stayed =
            context.stays.map(|_| Stayed { ms: millis(run.since.elapsed()), requests: run.answers.len() });
        let witnesses = self.witnesses(context, &fqdn, &run).await?;
        if let Some(against) = witnesses.iter().find(|testimony| !testimony.held) {
            let (expected, seen) =
                (format!("witness {} to bear it out", against.witness), against.summary.clone());
            let mut trouble = self.failed(context, &fqdn, answers, expected, seen);
            trouble.against = Some(against.witness.clone());
            trouble.observed.settled = groups;
            trouble.observed.witnesses = witnesses;
            return Err(trouble);
        }
        let mut summary = in_words(&groups);
        if let Some(reason) = self.wanted.reason.as_ref().filter(|_| !self.gives_reasons) {
            summary += &format!(
                "; that the reason is {reason} is not shown: the gateway keeps no log that can be read"
            );
        }
        let mut observed = Observed {
            summary,
            detail,
            became_ms: Some(became_ms),
            first_ms,
            stayed,
            answers: answers.all.groups(),
            settled: groups,
            stretches: answers.over_time.stretches(),
            witnesses,
            traffic: None,
        };
        self.tell_how_sure(context.stays, answers.count, run.answers.len(), &mut observed);
        Ok(observed)
    }

    /// Says how small a share of other answers the claim could have missed, where it is about many requests.
    fn tell_how_sure(&self, stays: Option<Stays>, all: usize, run: usize, observed: &mut Observed) {
        match stays {
            Some(Stays::Requests(count)) if count >= MANY => {
                if let Some(bound) = manner::bound(count) {
                    manner::tell(observed, &bound);
                }
            }
            // How many there were is another number in each run.
            Some(Stays::Time(_)) => {
                if observed.detail.is_null() {
                    observed.detail = json!({});
                }
                observed.detail["measured"] = json!({"requests": run, "bound": manner::bound(run)});
            }
            _ => {}
        }
        if let Some(never) = &self.never {
            if observed.detail.is_null() {
                observed.detail = json!({});
            }
            observed.detail["never"] = never.to_string().into();
            observed.detail["measured"] = json!({"requests": all, "bound": manner::bound(all)});
        }
    }

    /// What must never be answered, and what was, if this answer is that.
    fn given_although_never(&self, answer: &Answer) -> Option<(String, String)> {
        let never = self.never.as_ref().filter(|never| never.is(answer))?;
        Some((never.to_string(), format!("the answer is {}", answer.summary())))
    }

    /// Why the answer to this request is not as wanted, and whether that may pass.
    fn against(&self, ask: &Ask, answer: &Answer) -> (Option<String>, bool) {
        let differs = self.wanted.differs_for(ask, answer);
        match differs.or_else(|| self.content.differs(ask, answer)) {
            Some(because) => (Some(because), self.may_waver),
            // Right by chance, before the gateway has heard of a policy, say: it may have no endpoint yet.
            None => (self.wanted.differs_in_reason(answer).filter(|_| self.gives_reasons), true),
        }
    }

    /// Goes on to `count` requests, several at once. Every answer counts: the first one that is not as wanted is returned.
    async fn many(
        &self,
        context: &Context<'_>,
        asks: &[Ask],
        answers: &mut Answers,
        run: &mut Run,
        count: usize,
    ) -> Result<Option<Against>, Trouble> {
        let first = answers.count;
        let rest = count.saturating_sub(run.answers.len());
        let turns = (first..first + rest).filter_map(|turn| asks.get(turn % asks.len().max(1)));
        let requests = context.outside.requests.as_ref();
        let all: Vec<_> = turns.map(|ask| send(requests, self.target.from, ask)).collect();
        let mut sending = stream::iter(all).buffered(WIDTH);
        while let Some((sent, ask, answer)) = sending.next().await {
            let answer = answer?;
            let again = answers.add(millis(sent.duration_since(context.started)), ask, answer.clone());
            if let Some(because) = again {
                return Ok(Some(Against { because, for_good: true, by: Some(REPLAYED) }));
            }
            if let Some((never, seen)) = self.given_although_never(&answer) {
                let because = format!("{seen}, and never may an answer be {never}");
                return Ok(Some(Against::answer(because, true)));
            }
            match self.against(ask, &answer) {
                (None, _) => run.answers.push(answer),
                (Some(because), may_pass) => return Ok(Some(Against::answer(because, !may_pass))),
            }
        }
        Ok(None)
    }

    /// The answers by the gateway's reasons for them, and its account of the last one. A reason that was wanted and not
    /// given, or another than that: `Err(expected, seen)`.
    async fn account(
        &self,
        context: &Context<'_>,
        run: &Run,
    ) -> Result<(Vec<AnswerGroup>, Value), (String, String)> {
        let witnesses = &context.outside.witnesses;
        let accounts = witnesses.accounts(&self.target.gateway, &run.answers, run.since.elapsed()).await;
        let to_give = |reason: &str| format!("the gateway's log to give the reason {reason}");
        let accounts = match (accounts, &self.wanted.reason) {
            (Ok(accounts), _) => accounts,
            // A gateway whose log says nothing of the sort is asked only if the claim is about it.
            (Err(_), None) => Vec::new(),
            (Err(error), Some(reason)) => return Err((to_give(reason), error.to_string())),
        };
        let mut answers = Tally::default();
        for (at, answer) in run.answers.iter().enumerate() {
            let account = accounts.get(at).and_then(Option::as_ref);
            let given = account.map(|account| account.reason.clone()).or_else(|| own_word(answer));
            match (&self.wanted.reason, &given) {
                (Some(_), _) if !self.gives_reasons => answers.count_with(answer, None),
                (Some(reason), None) => return Err((to_give(reason), "it does not tell".into())),
                (Some(reason), Some(given)) if reason != given => {
                    return Err((
                        format!("reason {reason}"),
                        format!("the gateway gives the reason {given}"),
                    ));
                }
                _ => answers.count_with(answer, given),
            }
        }
        // The last that the log tells of: an answer without a body, to HEAD say, has no id by which it could be found.
        let detail = match accounts.iter().rev().flatten().next() {
            Some(Account { reason, upstream_pod }) => {
                json!({"gateway": {"reason": reason, "upstream_pod": upstream_pod}})
            }
            None => Value::Null,
        };
        Ok((answers.groups(), detail))
    }

    async fn witnesses(
        &self,
        context: &Context<'_>,
        fqdn: &str,
        run: &Run,
    ) -> Result<Vec<Testimony>, Trouble> {
        let now = Timestamp::now();
        let began = now - run.since.elapsed();
        let about = WitnessContext {
            window: Some((began, now)),
            ..self.witness_context(context, fqdn, &run.answers)
        };
        let (deadline, about) = (Instant::now() + context.within, &about);
        let hearings = context.witnesses.iter().map(|name| async move {
            match timeout_at(deadline, context.outside.witnesses.hear(name, about)).await {
                Ok(testimony) => testimony.map_err(Trouble::from),
                Err(_) => Err(Trouble::error(
                    format!("hearing witness {name}"),
                    format!("an account within {:?}", context.within),
                    "nothing",
                )),
            }
        });
        join_all(hearings).await.into_iter().collect()
    }
}

/// Sends a request, when its turn comes.
fn send<'a>(
    requests: &'a dyn Requests,
    from: Vantage,
    ask: &'a Ask,
) -> BoxFuture<'a, (Instant, &'a Ask, Result<Answer, PortError>)> {
    async move { (Instant::now(), ask, requests.send(from, ask).await) }.boxed()
}

impl Word for Request {
    fn name(&self) -> String {
        let (target, from) = (&self.target, self.target.from);
        let never = self.never.as_ref().map(|never| format!(", never {never}")).unwrap_or_default();
        let manners: Vec<_> = self.manners.iter().map(ToString::to_string).collect();
        let with =
            if manners.is_empty() { String::new() } else { format!(", asked with {}", manners.join(", ")) };
        let (way, wanted) = (self.way.in_words(), self.in_words());
        format!("{}{way} from {from} becomes {wanted}{never}{with}", target.in_words())
    }

    fn forgives(&self) -> Option<String> {
        self.may_waver.then(|| "until its limit the answer may go back and forth".to_owned())
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}

/// `20 × 200 from backend-v1`.
fn in_words(groups: &[AnswerGroup]) -> String {
    let words = groups.iter().map(|group| {
        let what = group.status.map_or_else(|| group.failure.clone().unwrap_or_default(), |s| s.to_string());
        let backend = group.backend.as_ref().map(|backend| format!(" from {backend}")).unwrap_or_default();
        let reason =
            group.reason.as_ref().filter(|r| *r != "ok").map(|r| format!(" ({r})")).unwrap_or_default();
        format!("{} × {what}{backend}{reason}", group.count)
    });
    words.collect::<Vec<_>>().join(", ")
}
