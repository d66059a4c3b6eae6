//! Whom requests ask: `{gateway: gateway-01, path: /, from: outside}`, shared by every word that sends some.

use tokio::time::{Instant, interval};

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::probe::Ask;
use crate::word::Scope;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits::PACE;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};
use meshproof_model::vantage::Vantage;

/// A path of a Gateway, and where requests for it start.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) gateway: ObjectRef,
    pub(crate) path: String,
    pub(crate) from: Vantage,
    /// Asked for instead of the Gateway's FQDN.
    pub(crate) host: Option<String>,
    /// Port of the listener, if it is said.
    pub(crate) port: Option<u16>,
    /// Whether it is asked over TLS.
    pub(crate) tls: bool,
}

/// A status of HTTP.
pub(crate) const STATUS: Type = Type::Number(100, 599);

/// What is said of it.
pub(crate) const FIELDS: [Field; 6] = [
    Field::needed("gateway", Type::Text, "Name of the Gateway."),
    Field::optional("namespace", Type::Text, "Its namespace.").or("the scenario's"),
    Field::optional("path", Type::AnyText, "Path of the requests.").or("/"),
    Field::optional(
        "from",
        Type::OneOf(&["outside", "plain", "mesh"]),
        "Where requests start: outside the cluster, a pod outside the mesh, a pod in it.",
    )
    .or("outside"),
    Field::optional("host", Type::AnyText, "Host header.").or("the Gateway's address"),
    Field::optional("port", Type::Number(0, 65535), "Port of the listener.").or("80"),
];

impl Target {
    /// Reads `gateway`, `namespace`, `path`, `from`, `host` and `port`.
    ///
    /// # Errors
    /// No gateway, or an unknown vantage.
    pub(crate) fn parse(request: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Self, Problem> {
        let gateway = request.need("gateway")?;
        let name = gateway.text()?.to_owned();
        let kind = Kind::by_word("gateway").ok_or_else(|| gateway.problem("gateways are unknown"))?;
        let namespace = request.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
        let gateway = ObjectRef { kind, namespace: Some(namespace.to_owned()), name };
        Ok(Self {
            gateway,
            path: request.take("path").map_or(Ok("/"), Node::text)?.to_owned(),
            from: request.take("from").map_or(Ok(Vantage::Outside), vantage)?,
            host: request.take("host").map(Node::text).transpose()?.map(str::to_owned),
            port: request.take("port").map(Node::number).transpose()?,
            tls: false,
        })
    }

    /// Port of the listener.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(self.usual_port())
    }

    /// The port that URLs leave out.
    fn usual_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }

    /// The port as URLs have it.
    fn port_in_url(&self) -> String {
        let port = self.port();
        if port == self.usual_port() { String::new() } else { format!(":{port}") }
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// What is asked for: `http://<gateway-01>/`, or `http://web.example:8080/ of <gateway-01>`.
    pub(crate) fn in_words(&self) -> String {
        let Self { gateway, path, host, .. } = self;
        let (scheme, port) = (self.scheme(), self.port_in_url());
        match host {
            None => format!("{scheme}://<{}>{port}{path}", gateway.name),
            Some(host) => format!("{scheme}://{host}{port}{path} of <{}>", gateway.name),
        }
    }

    /// The Gateway's FQDN, as its status gives it.
    ///
    /// # Errors
    /// It has none in time.
    pub(crate) async fn fqdn(&self, context: &mut Context<'_>) -> Result<String, Trouble> {
        let id = &self.gateway;
        let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
        // Only the becoming of the answers is asked to stay.
        let stays = context.stays.take();
        let doing = format!("reading the address of {id}");
        let held =
            becomes(context, &query, &doing, "an address in its status", |objects| match objects.first() {
                None => Judgement::NotYet(format!("there is no {id}")),
                Some(object) => match object["status"]["addresses"][0]["value"].as_str() {
                    Some(fqdn) => Judgement::Holds(fqdn.to_owned()),
                    None => Judgement::NotYet(format!("{id} has no address")),
                },
            })
            .await;
        context.stays = stays;
        Ok(held?.found)
    }

    /// What to send, once the frontend can be reached.
    ///
    /// # Errors
    /// It cannot in time.
    pub(crate) async fn ask(&self, context: &mut Context<'_>, fqdn: &str) -> Result<Ask, Trouble> {
        let host = self.host.as_deref().unwrap_or(fqdn);
        let url = format!("{}://{host}{}{}", self.scheme(), self.port_in_url(), self.path);
        let deadline = context.deadline();
        let mut pace = interval(PACE * 4);
        let mut last = String::new();
        loop {
            if Instant::now() >= deadline {
                let expected = format!("an address within {:?}", context.within);
                return Err(Trouble::failed(format!("looking for the frontend {fqdn}"), expected, last));
            }
            pace.tick().await;
            if self.from != Vantage::Outside && self.host.is_none() {
                return Ok(Ask::get(url));
            }
            match context.outside.requests.frontend(fqdn).await {
                Ok(mut address) => {
                    address.set_port(self.port());
                    return Ok(Ask::get(url).connecting_to(address));
                }
                Err(error) => {
                    if last != error.to_string() {
                        last = error.to_string();
                        context.not_yet(&last);
                    }
                }
            }
        }
    }
}

fn vantage(node: &Node) -> Result<Vantage, Problem> {
    match node.text()? {
        "outside" => Ok(Vantage::Outside),
        "plain" => Ok(Vantage::Plain),
        "mesh" => Ok(Vantage::Mesh),
        other => Err(node.problem(format!("unknown vantage `{other}`")).help("one of: outside, plain, mesh")),
    }
}
