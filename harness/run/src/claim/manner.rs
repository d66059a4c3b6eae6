//! How a request is made: `with: [GET, HEAD, POST 64 B, POST 1 MiB, GET over HTTP/2]`. Each request of a claim is made in the
//! next of these ways.

use crate::probe::{Answer, Ask, Body, Exchange, Http};
use meshproof_model::event::Observed;
use meshproof_model::scenario::node::{Node, Problem};
use meshproof_model::schema::Type;
use meshproof_model::vantage::Vantage;

/// The largest body: what an echo backend takes without closing.
const LARGEST: usize = 64 * 1024 * 1024;

/// One way in words.
pub(super) const MANNER: Type = Type::Form(
    "^((GET|HEAD)|(POST|PUT|PATCH|DELETE|OPTIONS)( [0-9]+ (B|KiB|MiB))?)( over HTTP/2)?$",
    "such as `GET`, `POST 1 MiB`, `GET over HTTP/2`",
);

/// One way to make a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manner {
    method: String,
    body: Option<usize>,
    http: Http,
    /// As the scenario says it.
    text: String,
}

/// Reads a list of ways, or none: GET.
///
/// # Errors
/// A way that is none, or that cannot be gone from where the requests start.
pub(crate) fn parse(node: Option<&Node>, from: Vantage) -> Result<Vec<Manner>, Problem> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let manners: Vec<Manner> = node.one_or_more().iter().map(one).collect::<Result<_, _>>()?;
    if manners.is_empty() {
        return Err(node
            .problem("no way to make a request")
            .help("e.g. [GET, HEAD, POST 1 MiB, GET over HTTP/2]"));
    }
    if from != Vantage::Outside {
        return Err(node
            .problem(format!("requests from {from} are GET only"))
            .help("leave `with` out, or ask from outside"));
    }
    Ok(manners)
}

fn one(node: &Node) -> Result<Manner, Problem> {
    let text = node.text()?;
    let bad =
        |what: String| node.problem(what).help("e.g. GET, HEAD, POST 64 B, POST 1 MiB, GET over HTTP/2");
    let (rest, http) = match text.strip_suffix("over HTTP/2") {
        Some(rest) => (rest.trim_end(), Http::Two),
        None => (text, Http::One),
    };
    let (method, size) =
        rest.split_once(' ').map_or((rest, None), |(method, size)| (method, Some(size.trim())));
    if !matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") {
        return Err(bad(format!("`{method}` is no method")));
    }
    let body = size
        .map(|size| bytes(size).ok_or_else(|| bad(format!("`{size}` is no size of a body"))))
        .transpose()?;
    if body.is_some() && matches!(method, "GET" | "HEAD") {
        return Err(bad(format!("{method} has no body")));
    }
    Ok(Manner { method: method.to_owned(), body, http, text: text.to_owned() })
}

/// Reads `64 B`, `16 KiB`, `1 MiB`.
fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = text.split_once(' ')?;
    let number: usize = number.parse().ok().filter(|number| *number > 0)?;
    let unit = match unit.trim() {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes <= LARGEST)
}

impl std::fmt::Display for Manner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Manner {
    /// The same request, made in this way.
    fn of(&self, ask: &Ask, seed: u64) -> Ask {
        let bodiless = matches!(self.method.as_str(), "GET" | "HEAD");
        let own = || ask.body.clone().filter(|_| !bodiless);
        let body = self.body.map(|length| Body::of(length, seed)).or_else(own);
        Ask { method: self.method.clone(), http: self.http, body, ..ask.clone() }
    }
}

/// The requests to make in turn: in each of these ways, or as it is if there are none.
pub(crate) fn asks(manners: &[Manner], ask: Ask) -> Vec<Ask> {
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    match manners.is_empty() {
        true => vec![ask],
        false => manners.iter().map(|manner| manner.of(&ask, seed)).collect(),
    }
}

/// Whether the answer to this request has a body that tells who gave it.
pub(crate) fn tells_who(ask: &Ask) -> bool {
    ask.method != "HEAD"
}

/// Why the backend did not get what was sent, as far as the answer tells.
pub(crate) fn differs(ask: &Ask, answer: &Answer) -> Option<String> {
    let echo = answer.echo.as_ref()?;
    if !echo.method.is_empty() && echo.method != ask.method {
        return Some(format!("the backend received {} where {} was sent", echo.method, ask.method));
    }
    match &ask.body {
        Some(body) => body.differs(echo.body.as_ref()),
        // What a gRPC call sends is its message.
        None if ask.exchange != Exchange::Http => None,
        None => echo
            .body
            .as_ref()
            .map(|body| format!("the backend received {} bytes that nobody sent", body.length)),
    }
}

/// How small a share of other answers so many requests could have missed: with `n` answers alike, the rate of others is below
/// 3/n with a certainty of 95 % (rule of three; Hanley and Lippman-Hand 1983).
pub(crate) fn bound(requests: usize) -> Option<String> {
    (requests > 3).then(|| {
        let share = 300.0 / f64::from(u32::try_from(requests).unwrap_or(u32::MAX));
        let digits = if share < 1.0 { 2 } else { 1 };
        format!("less than {share:.digits$} % of all requests are answered otherwise (95 %)")
    })
}

/// Tells of the bound in what a claim has seen.
pub(crate) fn tell(observed: &mut Observed, bound: &str) {
    observed.summary = format!("{}; {bound}", observed.summary);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use meshproof_model::scenario::node::Source;
    use meshproof_model::scenario::parse::document;

    fn read(text: &str) -> Result<Vec<Manner>, Problem> {
        let source = Arc::new(Source { path: "s.yaml".into(), text: text.to_owned() });
        parse(Some(&document(&source).unwrap()), Vantage::Outside)
    }

    #[test]
    fn requests_are_made_in_each_way_in_turn() {
        let manners = read("[GET, HEAD, POST 64 B, POST 1 MiB, PUT 2 KiB over HTTP/2]").unwrap();
        let asks = asks(&manners, Ask::get("http://fe.example/"));
        let made: Vec<_> = asks
            .iter()
            .map(|ask| (ask.method.as_str(), ask.body.as_ref().map(|body| body.bytes().len()), ask.http))
            .collect();
        assert_eq!(
            made,
            [
                ("GET", None, Http::One),
                ("HEAD", None, Http::One),
                ("POST", Some(64), Http::One),
                ("POST", Some(1024 * 1024), Http::One),
                ("PUT", Some(2048), Http::Two),
            ]
        );
    }

    #[test]
    fn what_is_no_way_is_refused() {
        for wrong in ["[GRAB]", "[GET 64 B]", "[POST much]", "[POST 65 MiB]", "[POST 0 B]", "[]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_bound_is_three_of_so_many() {
        assert_eq!(bound(2000).unwrap(), "less than 0.15 % of all requests are answered otherwise (95 %)");
        assert_eq!(bound(20).unwrap(), "less than 15.0 % of all requests are answered otherwise (95 %)");
        assert_eq!(bound(3), None);
    }
}
