//! What a request carries and how it is sent, beyond a GET in clear text: headers, a body, TLS, a WebSocket's message, the question
//! for the health of a gRPC service.

use serde_json::Value;

use crate::byte_string::ByteString;
use crate::claim::becomes::{Judgement, becomes};
use crate::claim::target::{self, Target};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::probe::tls::{ClientCertificate, Tls};
use crate::probe::{Ask, Body, Exchange, GRPC_HEALTH};
use crate::word::{NAMESPACE, OBJECT, Scope};
use meshproof_model::event::Verdict;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};
use meshproof_model::vantage::Vantage;

/// What stands at the word.
pub(super) const SUBJECT: [Field; 11] = [
    target::FIELDS[0],
    target::FIELDS[1],
    target::FIELDS[2],
    target::FIELDS[3],
    target::FIELDS[4],
    target::FIELDS[5].or("80, over TLS 443"),
    Field::optional("headers", Type::Names(&Type::AnyText), "Headers of the requests.")
        .or("those of any client"),
    Field::optional(
        "body",
        Type::AnyText,
        "Text to send along; with POST, unless `with` says otherwise. From `outside` only.",
    )
    .or("none"),
    Field::optional("tls", Type::Map(TLS), "The requests are made over TLS. From `outside` only.")
        .or("clear text, or with `certificate` in `becomes` TLS with `ca: any`"),
    Field::at_most_one(
        "websocket",
        Type::Text,
        "The connection becomes a WebSocket, over which this message is sent and has to come back. From `outside` only.",
    ),
    Field::at_most_one(
        "grpc-health",
        Type::AnyText,
        "Asked is the health of this gRPC service (grpc.health.v1), with empty text that of the server, over HTTP/2. From `outside` only.",
    ),
];

/// Whoever issued the certificate.
const ANY: &str = "any";

const TLS: &[Field] = &[
    Field::needed(
        "ca",
        Type::Any(&[Type::OneOf(&[ANY]), OBJECT]),
        "Authority that has to have issued the gateway's certificate: ConfigMap or Secret, with `ca.crt`, or else `tls.crt`. With `any` neither issuer nor name are looked at.",
    ),
    Field::optional(
        "client",
        OBJECT,
        "Secret with the certificate that the client shows: `tls.crt`, `tls.key`.",
    )
    .or("it shows none"),
    Field::optional(
        "server-name",
        Type::Text,
        "Name in the handshake (SNI), which the certificate has to have.",
    )
    .or("the host asked for"),
    NAMESPACE,
];

/// What requests carry, and how they are sent.
#[derive(Debug, Default)]
pub(in crate::claim) struct Way {
    headers: Vec<(String, String)>,
    body: Option<String>,
    tls: Option<Secured>,
    exchange: Exchange,
}

/// Where what is needed for TLS is found.
#[derive(Debug)]
struct Secured {
    /// The authority; nothing for any.
    authority: Option<ObjectRef>,
    client: Option<ObjectRef>,
    server_name: Option<String>,
}

impl Way {
    /// Reads `headers`, `body`, `tls`, `websocket` and `grpc-health`, and tells the target what they mean for it.
    ///
    /// # Errors
    /// Two ways at once, or one that cannot be gone from where the requests start.
    pub(super) fn parse(
        request: &mut meshproof_model::scenario::node::Fields<'_>,
        target: &mut Target,
        scope: &Scope<'_>,
    ) -> Result<Self, Problem> {
        let headers = request.take("headers").map(headers).transpose()?.unwrap_or_default();
        let body = request.take("body");
        let tls = request.take("tls");
        let (websocket, health) = (request.take("websocket"), request.take("grpc-health"));
        if let (Some(node), true) = (body.or(tls).or(websocket).or(health), target.from != Vantage::Outside) {
            let problem = node.problem(format!("requests from {} are GET in clear text", target.from));
            return Err(problem.help("leave it out, or ask from outside"));
        }
        let exchange = match (websocket, health) {
            (Some(_), Some(both)) => {
                return Err(both.problem("a WebSocket asks for no health").help("make two steps of it"));
            }
            (Some(message), None) => Exchange::WebSocket(stated::text(message)?.to_owned()),
            (None, Some(service)) => Exchange::GrpcHealth(service.text()?.to_owned()),
            (None, None) => Exchange::Http,
        };
        if let (Some(body), true) = (body, exchange != Exchange::Http) {
            return Err(body.problem("what is sent is the message of the exchange").help("leave `body` out"));
        }
        let tls = tls.map(|tls| Secured::parse(tls, scope)).transpose()?;
        let mut way = Self {
            headers,
            body: body.map(Node::text).transpose()?.map(str::to_owned),
            tls,
            exchange: Exchange::Http,
        };
        target.tls = way.tls.is_some();
        way.talk(exchange, target);
        Ok(way)
    }

    fn talk(&mut self, exchange: Exchange, target: &mut Target) {
        if matches!(exchange, Exchange::GrpcHealth(_)) {
            GRPC_HEALTH.clone_into(&mut target.path);
        }
        self.exchange = exchange;
    }

    /// What is claimed of the answer says how it is asked for, where nothing else does: a certificate over TLS, the health of
    /// gRPC.
    pub(super) fn imply(&mut self, target: &mut Target, certificate: bool, grpc: bool) {
        if certificate && self.tls.is_none() {
            self.tls = Some(Secured { authority: None, client: None, server_name: None });
            target.tls = true;
        }
        if grpc && self.exchange == Exchange::Http {
            self.talk(Exchange::GrpcHealth(String::new()), target);
        }
    }

    /// Whether it is the health of a gRPC service that is asked for.
    pub(super) fn is_grpc(&self) -> bool {
        matches!(self.exchange, Exchange::GrpcHealth(_))
    }

    /// Whether requests are made in other ways than `with` can say.
    pub(super) fn is_fixed(&self) -> bool {
        self.exchange != Exchange::Http
    }

    /// The text that is sent along.
    pub(super) fn body(&self) -> Option<Body> {
        self.body.as_deref().map(Body::text)
    }

    /// The request, made in this way.
    ///
    /// # Errors
    /// What it needs is not in the cluster in time.
    pub(super) async fn ask(&self, context: &mut Context<'_>, ask: Ask) -> Result<Ask, Trouble> {
        let tls = match &self.tls {
            None => None,
            Some(secured) => Some(secured.read(context).await?),
        };
        let mut ask = Ask { headers: self.headers.clone(), tls, exchange: self.exchange.clone(), ..ask };
        if let Some(body) = self.body() {
            ask.method = "POST".to_owned();
            ask.body = Some(body);
        }
        if self.is_grpc() {
            ask.method = "POST".to_owned();
        }
        Ok(ask)
    }

    /// It in words, after what is asked for; nothing if there is nothing to say.
    pub(super) fn in_words(&self) -> String {
        let mut words = String::new();
        for (name, value) in &self.headers {
            words += &format!(", {name}: {value}");
        }
        if let Some(body) = &self.body {
            words += &format!(", with the body {body:?}");
        }
        if let Some(Secured { authority, client, server_name }) = &self.tls {
            match authority {
                Some(authority) => {
                    words += &format!(", issued by {}/{}", authority.kind.word, authority.name)
                }
                None => words += ", issued by whomever",
            }
            if let Some(name) = server_name {
                words += &format!(", for the name {name}");
            }
            if let Some(client) = client {
                words += &format!(", with the client's {}/{}", client.kind.word, client.name);
            }
        }
        match &self.exchange {
            Exchange::Http => {}
            Exchange::WebSocket(message) => words += &format!(", as a WebSocket with {message:?}"),
            Exchange::GrpcHealth(service) if service.is_empty() => words += ", the health of the gRPC server",
            Exchange::GrpcHealth(service) => words += &format!(", the health of the gRPC service {service}"),
        }
        words
    }
}

fn headers(node: &Node) -> Result<Vec<(String, String)>, Problem> {
    let entries = node.entries()?;
    let each = entries.into_iter().map(|(name, value)| {
        header_name(name).ok_or_else(|| value.problem(format!("`{name}` is no name of a header")))?;
        let text = value.text()?;
        match text.chars().all(|letter| letter == '\t' || !letter.is_control()) {
            true => Ok((name.to_owned(), text.to_owned())),
            false => Err(value.problem("a header is one line")),
        }
    });
    each.collect()
}

/// A header's name in small letters, if it can be one (RFC 9110, 5.6.2).
pub(super) fn header_name(name: &str) -> Option<String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!name.is_empty() && name.bytes().all(token)).then(|| name.to_ascii_lowercase())
}

impl Secured {
    fn parse(node: &Node, scope: &Scope<'_>) -> Result<Self, Problem> {
        let mut fields = node.fields()?;
        let (ca, client) = (fields.need("ca")?, fields.take("client"));
        let server_name = fields.take("server-name").map(stated::text).transpose()?.map(str::to_owned);
        let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
        fields.finish()?;
        let object = |node: &Node, of: &[&str]| {
            let (kind, name) = Kind::and_name(node)?;
            match of.contains(&kind.word) {
                true => Ok(ObjectRef { kind, namespace: Some(namespace.to_owned()), name }),
                false => {
                    Err(node.problem(format!("no certificate is in a {}", kind.kind)).help(of.join(" or ")))
                }
            }
        };
        let authority = match ca.text()? {
            ANY => None,
            _ => Some(object(ca, &["configmap", "secret"])?),
        };
        let client = client.map(|client| object(client, &["secret"])).transpose()?;
        Ok(Self { authority, client, server_name })
    }

    async fn read(&self, context: &mut Context<'_>) -> Result<Tls, Trouble> {
        let authorities = match &self.authority {
            None => None,
            Some(id) => Some(pem(context, id, &["ca.crt", "tls.crt"]).await?),
        };
        let client = match &self.client {
            None => None,
            Some(id) => Some(ClientCertificate {
                chain: pem(context, id, &["tls.crt"]).await?,
                key: pem(context, id, &["tls.key"]).await?,
            }),
        };
        Ok(Tls { server_name: self.server_name.clone(), authorities, client })
    }
}

/// What an object has under the first of the keys that it has. That it is not there is no fault of the gateway's.
async fn pem(context: &mut Context<'_>, id: &ObjectRef, keys: &[&str]) -> Result<String, Trouble> {
    let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
    // Only the becoming of the answers is asked to stay.
    let stays = context.stays.take();
    let (doing, expected) = (format!("reading {id}"), format!("PEM under the key {}", keys.join(" or ")));
    let held = becomes(context, &query, &doing, &expected, |objects| match objects.first() {
        None => Judgement::NotYet(format!("there is no {id}")),
        Some(object) => match keys.iter().find_map(|key| text(object, key)) {
            Some(found) => Judgement::Holds(found),
            None => Judgement::NotYet(format!("{id} has no text under the key {}", keys.join(" or "))),
        },
    })
    .await;
    context.stays = stays;
    let found = held.map(|held| held.found);
    found.map_err(|trouble| Trouble { verdict: Verdict::Error, ..trouble })
}

/// What a ConfigMap has as text, and a Secret in base64.
fn text(object: &Value, key: &str) -> Option<String> {
    let value = &object["data"][key];
    let text = match object["kind"].as_str() {
        Some("Secret") => {
            String::from_utf8(serde_json::from_value::<ByteString>(value.clone()).ok()?.0).ok()?
        }
        _ => value.as_str()?.to_owned(),
    };
    (!text.trim().is_empty()).then_some(text)
}
