//! What an answer says, beyond its status and who gave it: headers, a body, where a redirect leads, the certificate that it came
//! with, what a gRPC call ended with; and what the backend says that it received.

use super::wanted::{FAILURE_WORDS, WANTED};
use super::way::header_name;
use crate::claim::manner;
use crate::matching::glob;
use crate::probe::{Answer, Ask, Echo, Exchange};
use meshproof_model::scenario::node::{Data, Fields, Node, Problem};
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Presence, Type};

/// A header's value, or that there must be none.
const HEADER: Type = Type::Any(&[Type::Text, Type::Nothing]);

/// What can be said of it.
const FIELDS: [Field; 7] = [
    Field::optional("headers", Type::Names(&HEADER), "Headers that it has to have, with `*` for what may be anything; with nothing (`~`), that it must not have.").or("any"),
    Field::optional("body", Type::OneOrMore(&Type::Text), "What its body has to contain.").or("anything"),
    Field::optional("redirect", Type::Text, "Where it leads: `location`, made whole with what was asked for; the status is 3xx.").or("anywhere"),
    Field::optional("certificate", Type::Map(CERTIFICATE), "The certificate that the gateway shows.").or("any"),
    Field::optional("grpc-status", Type::OneOf(&GRPC), "What the gRPC call ends with.").or("of a gRPC call that is answered with 200, OK"),
    Field::optional("health", Type::OneOf(&HEALTH), "What the health check says.").or("where the call ends with OK, SERVING"),
    Field::optional("received", Type::Map(RECEIVED), "The request as the echo backend received it.").or("any"),
];

/// An answer, with what it says; or how the request fails.
pub(super) const ANSWER: [Field; 11] = [
    Field { presence: Presence::OneOf, ..WANTED[0] },
    Field::one_of("failure", Type::OneOf(&FAILURE_WORDS), "How the request fails, without an answer."),
    WANTED[1],
    WANTED[2],
    FIELDS[0],
    FIELDS[1],
    FIELDS[2],
    FIELDS[3],
    FIELDS[4],
    FIELDS[5],
    FIELDS[6],
];

const CERTIFICATE: &[Field] = &[
    Field::any_of(
        "names",
        Type::OneOrMore(&Type::Text),
        "Host names, addresses or URIs that it has to have among its subject alternative names.",
    ),
    Field::any_of("issuer", Type::Text, "Common name, or whole distinguished name, of whoever issued it."),
];

const RECEIVED: &[Field] = &[
    Field::any_of("path", Type::Text, "Path with query."),
    Field::any_of("host", Type::Text, "Host."),
    Field::any_of("headers", Type::Names(&HEADER), "Headers, as those of the answer."),
];

/// Names of gRPC's statuses, by their number (grpc.io, Status codes and their use in gRPC).
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a health check can say.
const HEALTH: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// A header with what it has to be; nothing if it must not be there.
type Header = (String, Option<String>);

/// What an answer has to say.
#[derive(Debug, Default)]
pub(in crate::claim) struct Content {
    headers: Vec<Header>,
    body: Vec<String>,
    redirect: Option<String>,
    certificate: Option<Certificate>,
    grpc_status: Option<&'static str>,
    health: Option<&'static str>,
    received: Option<Received>,
}

#[derive(Debug)]
struct Certificate {
    names: Vec<String>,
    issuer: Option<String>,
}

#[derive(Debug)]
struct Received {
    path: Option<String>,
    host: Option<String>,
    headers: Vec<Header>,
}

impl Content {
    /// Reads what [`FIELDS`] say.
    ///
    /// # Errors
    /// Something that is said of nothing, or of an answer with another status.
    pub(super) fn parse(becomes: &mut Fields<'_>, status: Option<u16>) -> Result<Self, Problem> {
        let headers = becomes.take("headers").map(headers).transpose()?.unwrap_or_default();
        let body = becomes.take("body").map(texts).transpose()?.unwrap_or_default();
        let redirect = becomes.take("redirect");
        let certificate = becomes.take("certificate").map(Certificate::parse).transpose()?;
        let grpc_status = becomes.take("grpc-status").map(|node| one_of(node, &GRPC)).transpose()?;
        let health = becomes.take("health");
        let received = becomes.take("received").map(Received::parse).transpose()?;
        if let Some(redirect) =
            redirect.filter(|_| !status.is_some_and(|status| (300..400).contains(&status)))
        {
            return Err(redirect
                .problem("only an answer 3xx redirects")
                .help("e.g. {status: 301, redirect: \"https://a.example/\"}"));
        }
        if let Some(health) = health.filter(|_| grpc_status.is_some_and(|status| status != "OK")) {
            return Err(health
                .problem("a call that fails says nothing of the health")
                .help("leave one of both out"));
        }
        let redirect = redirect.map(stated::text).transpose()?.map(str::to_owned);
        let health = health.map(|node| one_of(node, &HEALTH)).transpose()?;
        Ok(Self { headers, body, redirect, certificate, grpc_status, health, received })
    }

    /// Whether it is about a certificate.
    pub(super) fn is_about_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// Whether it is about a gRPC call.
    pub(super) fn is_about_grpc(&self) -> bool {
        self.grpc_status.is_some() || self.health.is_some()
    }

    /// Whether anything is said of an answer, so that there has to be one.
    pub(super) fn needs_an_answer(&self) -> bool {
        let Self { headers, body, redirect, grpc_status, health, received, certificate: _ } = self;
        !headers.is_empty()
            || !body.is_empty()
            || redirect.is_some()
            || grpc_status.is_some()
            || health.is_some()
            || received.is_some()
    }

    /// Why the answer to this request, right but for that, does not say what is wanted.
    pub(super) fn differs(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        let header = |name: &str| answer.headers.get(name).map(String::as_str);
        self.headers
            .iter()
            .find_map(|wanted| differs(wanted, header(&wanted.0), "the answer"))
            .or_else(|| self.redirect.as_ref().and_then(|to| leads_elsewhere(to, ask, header("location"))))
            .or_else(|| self.certificate.as_ref()?.differs(answer))
            .or_else(|| self.talk_differs(ask, answer))
            // What has no body by its method says nothing in it.
            .or_else(|| self.body_differs(answer).filter(|_| manner::tells_who(ask)))
            .or_else(|| {
                self.received.as_ref()?.differs(answer.echo.as_ref()).filter(|_| manner::tells_who(ask))
            })
    }

    /// Why an exchange of more than a request and its answer did not come to its end.
    fn talk_differs(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        match &ask.exchange {
            Exchange::Http => None,
            Exchange::WebSocket(message) => {
                let came_back = answer.status != Some(101) || answer.body == *message;
                (!came_back).then(|| format!("what came back for {message:?} is {:?}", answer.body))
            }
            // Refused before it came to a call.
            Exchange::GrpcHealth(_) if answer.status != Some(200) => None,
            Exchange::GrpcHealth(_) => {
                let status =
                    answer.headers.get("grpc-status").and_then(|status| status.trim().parse::<usize>().ok());
                let Some(status) = status.and_then(|status| GRPC.get(status).copied()) else {
                    return Some("the answer is 200 without a grpc-status".to_owned());
                };
                if status != self.grpc_status.unwrap_or("OK") {
                    let why =
                        answer.headers.get("grpc-message").map(|why| format!(" ({why})")).unwrap_or_default();
                    return Some(format!("the call ended with {status}{why}"));
                }
                let wanted = self.health.unwrap_or("SERVING");
                (status == "OK" && answer.body != wanted)
                    .then(|| format!("the health check says {:?}", answer.body))
            }
        }
    }

    fn body_differs(&self, answer: &Answer) -> Option<String> {
        let missing = self.body.iter().find(|text| !answer.body.contains(text.as_str()))?;
        Some(format!("the body of the answer {} does not contain {missing:?}", answer.summary()))
    }

    /// It in words, after the status.
    pub(super) fn in_words(&self) -> String {
        let mut words = in_words(&self.headers);
        for text in &self.body {
            words += &format!(", body with {text:?}");
        }
        if let Some(redirect) = &self.redirect {
            words += &format!(", redirect to {redirect}");
        }
        if let Some(Certificate { names, issuer }) = &self.certificate {
            words += ", certificate";
            if !names.is_empty() {
                words += &format!(" for {}", names.join(", "));
            }
            if let Some(issuer) = issuer {
                words += &format!(" by {issuer}");
            }
        }
        let grpc = self.grpc_status.map(|status| format!(", gRPC {status}"));
        let health = self.health.map(|health| format!(", health {health}"));
        words.extend(grpc.into_iter().chain(health));
        if let Some(Received { path, host, headers }) = &self.received {
            words += ", received";
            for (what, value) in [("path", path), ("host", host)] {
                if let Some(value) = value {
                    words += &format!(" {what} {value}");
                }
            }
            words += &in_words(headers).replacen(',', "", usize::from(path.is_none() && host.is_none()));
        }
        words
    }
}

fn one_of(node: &Node, words: &[&'static str]) -> Result<&'static str, Problem> {
    let text = node.text()?;
    let found = words.iter().find(|word| **word == text).copied();
    found.ok_or_else(|| node.problem(format!("unknown word `{text}`")).help(words.join(", ")))
}

fn texts(node: &Node) -> Result<Vec<String>, Problem> {
    node.one_or_more().iter().map(|one| stated::text(one).map(str::to_owned)).collect()
}

fn headers(node: &Node) -> Result<Vec<Header>, Problem> {
    let entries = node.entries()?;
    if entries.is_empty() {
        return Err(node.problem("no header is named"));
    }
    let each = entries.into_iter().map(|(name, value)| {
        let known = header_name(name);
        let name = known.ok_or_else(|| value.problem(format!("`{name}` is no name of a header")))?;
        let wanted = match &value.data {
            Data::Null => None,
            _ => Some(value.text()?.to_owned()),
        };
        Ok((name, wanted))
    });
    each.collect()
}

fn in_words(headers: &[Header]) -> String {
    headers.iter().fold(String::new(), |mut words, (name, wanted)| {
        match wanted {
            Some(value) => words += &format!(", {name}: {value}"),
            None => words += &format!(", no {name}"),
        }
        words
    })
}

/// Why a header is not as wanted, of the answer or of what a backend received.
fn differs((name, wanted): &Header, found: Option<&str>, of: &str) -> Option<String> {
    match (wanted, found) {
        (Some(wanted), Some(found)) => (!glob(wanted, found)).then(|| format!("{of} has {name}: {found}")),
        (Some(_), None) => Some(format!("{of} has no {name}")),
        (None, Some(found)) => Some(format!("{of} has {name}: {found}, which it must not have")),
        (None, None) => None,
    }
}

/// Why an answer does not lead where it has to. A location may leave out what it has in common with what was asked for.
fn leads_elsewhere(to: &str, ask: &Ask, location: Option<&str>) -> Option<String> {
    let Some(location) = location else { return Some("the answer has no location".to_owned()) };
    let Ok(asked) = url::Url::parse(&ask.url) else { return Some(format!("{} is no URL", ask.url)) };
    let whole = |text: &str| asked.join(text).map(String::from);
    match (whole(location), whole(to)) {
        (Ok(leads), Ok(wanted)) => (leads != wanted).then(|| format!("the answer leads to {leads}")),
        _ => Some(format!("the answer leads to {location}")),
    }
}

impl Certificate {
    fn parse(node: &Node) -> Result<Self, Problem> {
        let mut fields = node.fields()?;
        let names = fields.take("names").map(texts).transpose()?.unwrap_or_default();
        let issuer = fields.take("issuer").map(stated::text).transpose()?.map(str::to_owned);
        fields.finish()?;
        if names.is_empty() && issuer.is_none() {
            return Err(node.problem("any certificate would do").help("give `names`, an `issuer` or both"));
        }
        Ok(Self { names, issuer })
    }

    fn differs(&self, answer: &Answer) -> Option<String> {
        let Some(shown) = &answer.certificate else { return Some("no certificate was shown".to_owned()) };
        let named =
            self.names.iter().all(|name| shown.names.iter().any(|shown| shown.eq_ignore_ascii_case(name)));
        let issued = self
            .issuer
            .as_ref()
            .is_none_or(|issuer| shown.issued_by.as_ref() == Some(issuer) || shown.issuer == *issuer);
        (!(named && issued)).then(|| format!("the gateway shows {shown}"))
    }
}

impl Received {
    fn parse(node: &Node) -> Result<Self, Problem> {
        let mut fields = node.fields()?;
        let mut text = |key| fields.take(key).map(stated::text).transpose();
        let (path, host) = (text("path")?.map(str::to_owned), text("host")?.map(str::to_owned));
        let headers = fields.take("headers").map(headers).transpose()?.unwrap_or_default();
        fields.finish()?;
        if path.is_none() && host.is_none() && headers.is_empty() {
            return Err(node.problem("any request would do").help("give `path`, `host` or `headers`"));
        }
        Ok(Self { path, host, headers })
    }

    fn differs(&self, echo: Option<&Echo>) -> Option<String> {
        let Some(echo) = echo else { return Some("no backend says what it received".to_owned()) };
        let other =
            |wanted: &Option<String>, found: &str| wanted.as_ref().is_some_and(|wanted| !glob(wanted, found));
        if other(&self.path, &echo.path) {
            return Some(format!("the backend received the path {}", echo.path));
        }
        if other(&self.host, &echo.host) {
            return Some(format!("the backend received the host {}", echo.host));
        }
        self.headers
            .iter()
            .find_map(|wanted| differs(wanted, echo.header(&wanted.0), "what the backend received"))
    }
}
