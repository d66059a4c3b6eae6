//! `traffic: {gateway: gateway-01, path: /}` with `rate: 200` and `wants: {status: 200}`: constant requests from now on, until
//! `unbroken: traffic` says how they fared. `connections:` says whether clients keep theirs (`pooled`), make a new one for each
//! request (`fresh`), or half of them each (`mixed`, the default). The step ends with the first answer as wanted.
//!
//! `through: {not-beside: {holder-of: lease/…}}` sends it past the load balancer, to those pods of the data plane only that are not
//! on the node of another pod: what that node's end costs those who live.

mod through;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::time::timeout_at;

use self::through::Through;
use crate::claim::target::STATUS;
use crate::claim::target::{self, Target};
use crate::context::traffic::{Traffic, Wanted};
use crate::context::{Context, Trouble};
use crate::probe::Ask;
use crate::word::{Definition, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::{limits, stated};
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("traffic", limits::ACTION, parse).says(Reference {
    summary: "Constant requests from now on, until `unbroken: traffic` says how they fared. The step ends with the first answer as wanted.",
    subject: Type::Map(&target::FIELDS),
    fields: &[
        Field::optional("rate", Type::Number(1, 1000), "Requests each second.").or("200"),
        Field::needed("wants", Type::Map(WANTS), "The answer that each of them is to have."),
        Field::optional("connections", Type::OneOf(&["pooled", "fresh", "mixed"]), "Whether clients keep their connections, make a new one for each request, or half of them each.").or("mixed"),
        Field::optional("through", Type::Map(through::FIELDS), "Only these pods behind the Gateway's address, past the load balancer.").or("where the load balancer leads"),
    ],
    examples: &[
        "traffic: {gateway: gateway-01, path: /, from: outside}\nrate: 200\nwants: {status: 200, backend: backend-v1}\nconnections: fresh",
        "traffic: {gateway: gateway-01, path: /, from: outside}\nrate: 50\nwants: {status: 200}\nthrough: {not-beside: {holder-of: lease/alb-controller}, namespace: azure-alb-system}",
    ],
});

const WANTS: &[Field] = &[
    Field::needed("status", STATUS, "Status of HTTP."),
    Field::optional("backend", Type::Text, "The workload that answers.").or("any"),
];

/// Requests each second, if the step gives no rate.
const RATE: u32 = 200;

#[derive(Debug)]
struct Start {
    target: Target,
    rate: u32,
    wanted: Wanted,
    connections: Connections,
    through: Option<Through>,
}

/// What becomes of a client's connection.
#[derive(Debug, Clone, Copy)]
enum Connections {
    Pooled,
    Fresh,
    Mixed,
}

impl Connections {
    /// What to ask in turn.
    fn asks(self, fresh: Ask) -> Vec<Ask> {
        match self {
            Self::Pooled => vec![fresh.pooled()],
            Self::Fresh => vec![fresh],
            Self::Mixed => vec![fresh.clone().pooled(), fresh],
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Pooled => "over connections that are kept",
            Self::Fresh => "each over a connection of its own",
            Self::Mixed => "every other one over a connection of its own",
        }
    }
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let mut request = subject.fields()?;
    let target = Target::parse(&mut request, scope)?;
    request.finish()?;
    let rate = match fields.take("rate") {
        None => RATE,
        Some(node) => match node.number()? {
            rate @ 1..=1000 => rate,
            other => return Err(node.problem(format!("{other} requests each second")).help("1 to 1000")),
        },
    };
    let mut wants = fields.need("wants")?.fields()?;
    let status = wants.need("status")?.number()?;
    let backend = wants.take("backend").map(stated::text).transpose()?.map(str::to_owned);
    wants.finish()?;
    let connections = match fields.take("connections") {
        None => Connections::Mixed,
        Some(node) => match node.text()? {
            "pooled" => Connections::Pooled,
            "fresh" => Connections::Fresh,
            "mixed" => Connections::Mixed,
            other => {
                let problem = node.problem(format!("unknown connections `{other}`"));
                return Err(problem.help("pooled, fresh or mixed"));
            }
        },
    };
    let through = fields.take("through").map(|node| Through::parse(node, &target, scope)).transpose()?;
    Ok(Box::new(Start { target, rate, wanted: Wanted { status, backend }, connections, through }))
}

impl Word for Start {
    fn name(&self) -> String {
        let (target, from) = (self.target.in_words(), self.target.from);
        let (rate, wanted) = (self.rate, &self.wanted);
        let connections = self.connections.in_words();
        let through = self.through.as_ref().map(|through| format!(", {}", through.in_words()));
        let through = through.unwrap_or_default();
        format!("constant traffic to {target} from {from}{through}, {rate}/s, {connections}, wants {wanted}")
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            if context.traffic.is_some() {
                let trouble = Trouble::error("starting constant traffic", "none", "there is some already");
                return Err(trouble.next("end it with `unbroken: traffic` first"));
            }
            let fqdn = self.target.fqdn(context).await?;
            let ask = self.target.ask(context, &fqdn).await?;
            let asks = match &self.through {
                None => self.connections.asks(ask),
                Some(through) => {
                    let addresses = through.addresses(context, &fqdn, self.target.port()).await?;
                    let each = addresses.into_iter().map(|address| ask.clone().connecting_to(address));
                    each.flat_map(|ask| self.connections.asks(ask)).collect()
                }
            };
            let requests = context.outside.requests.clone();
            let (from, rate, wanted) = (self.target.from, self.rate, self.wanted.clone());
            let target = (self.target.gateway.clone(), self.target.path.clone());
            let traffic = Traffic::start(requests, target, from, asks, rate, wanted);
            if timeout_at(context.deadline(), traffic.flows()).await.is_err() {
                let seen = traffic.stop().await?.summary();
                let expected = format!("an answer {}, to begin with", self.wanted);
                return Err(Trouble::failed("starting constant traffic", expected, seen));
            }
            *context.traffic = Some(traffic);
            let detail = json!({"rate": self.rate, "wants": self.wanted.to_string()});
            Ok(Observed { summary: "traffic began".into(), detail, ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Connection;

    #[test]
    fn mixed_traffic_is_half_clients_that_keep_their_connection_and_half_that_do_not() {
        let ask = Ask::get("http://fe.example/");
        let kinds = |connections: Connections| -> Vec<_> {
            connections.asks(ask.clone()).iter().map(|ask| ask.connection).collect()
        };
        assert_eq!(kinds(Connections::Pooled), [Connection::Pooled]);
        assert_eq!(kinds(Connections::Fresh), [Connection::Fresh]);
        assert_eq!(kinds(Connections::Mixed), [Connection::Pooled, Connection::Fresh]);
    }
}
