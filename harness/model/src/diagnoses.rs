//! Diagnoses as data: causes that a pack, or the file of a gateway, knows, each with the facts by which it is recognised.
//!
//! ```yaml
//! diagnoses:
//! - id: cache-full
//!   title: The sample's cache is full
//!   when:
//!   - answer: {status: 503}
//!   - log: {pod: "api-*", container: api, matches: "cache is full"}
//!   - object: {of: configmap/api, field: data.entries, is: "100"}
//!   because: It takes as many entries as its ConfigMap says.
//!   next: raise `entries` in ConfigMap api, and restart its Deployment
//! ```
//!
//! All conditions have to hold. Who evaluates them says what was found for each.

mod field;
mod fields;

use regex::Regex;

pub use self::field::FieldPath;
pub use self::fields::{DIAGNOSES, FIELDS};
use crate::scenario::kinds::Kind;
use crate::scenario::node::{Fields, Node, Problem};

/// The key under which they stand.
pub const KEY: &str = "diagnoses";

/// A cause that is known as data.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownCause {
    /// Its id: what `must-fail` and `expects` name.
    pub id: String,
    /// What is wrong, in a sentence.
    pub title: String,
    /// What has to be seen, all of it.
    pub when: Vec<Condition>,
    /// Why that is the cause, beside what was seen.
    pub because: Vec<String>,
    /// What to do next.
    pub next: String,
}

/// Something that has to be seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The claim that did not hold has one of these words.
    Claim(Vec<String>),
    /// How the last request was answered.
    Answer {
        /// Its status.
        status: Option<u16>,
        /// The gateway's reason for it; `*` and `?` stand for what differs.
        reason: Option<String>,
    },
    /// A line of a container's log, since the scenario began.
    Log {
        /// Namespace of the pod; nothing for those that the claim is about.
        namespace: Option<String>,
        /// Its name; `*` and `?` stand for what differs.
        pod: String,
        /// The container; nothing for any.
        container: Option<String>,
        /// What the line holds.
        matches: Pattern,
    },
    /// An object, or a field of it.
    Object {
        /// Its kind.
        kind: &'static Kind,
        /// Its namespace; nothing for those that the claim is about.
        namespace: Option<String>,
        /// Its name; `*` and `?` stand for what differs.
        name: String,
        /// The field; nothing where it is the object itself that is or is not there.
        field: Option<FieldPath>,
        /// What it has to be.
        test: Test,
    },
}

/// What an object, or a field of it, has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// There, or not.
    There(bool),
    /// This text, or what it stands for where it is no text: `3`, `true`.
    Is(String),
    /// A text that holds this.
    Matches(Pattern),
}

/// A regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// Whether a text holds it.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn read(node: &Node) -> Result<Self, Problem> {
        Regex::new(node.text()?).map(Self).map_err(|error| {
            let said = error.to_string();
            let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            node.problem(format!("it is no regular expression: {last}"))
        })
    }
}

impl Condition {
    /// The namespace that it names itself.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Log { namespace, .. } | Self::Object { namespace, .. } => namespace.as_deref(),
            Self::Claim(_) | Self::Answer { .. } => None,
        }
    }
}

/// Reads a list of them.
///
/// # Errors
/// What is wrong with one, at its place.
pub fn all(node: Option<&Node>) -> Result<Vec<KnownCause>, Problem> {
    let mut all: Vec<KnownCause> = Vec::new();
    for one in node.map_or(Ok(&[][..]), Node::list)? {
        let cause = cause(one)?;
        if all.iter().any(|known| known.id == cause.id) {
            let place = one.get("id").unwrap_or(one);
            return Err(place.problem(format!("the diagnosis {} is there twice", cause.id)));
        }
        all.push(cause);
    }
    Ok(all)
}

fn cause(node: &Node) -> Result<KnownCause, Problem> {
    let mut fields = node.fields()?;
    let id = fields.need("id")?;
    let title = said(fields.need("title")?)?;
    let conditions = fields.need("when")?;
    let when = conditions.one_or_more().iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    let because = fields.take("because").map_or(&[][..], Node::one_or_more);
    let because = because.iter().map(said).collect::<Result<_, _>>()?;
    let next = said(fields.need("next")?)?;
    fields.finish()?;
    let only_a_claim = when.iter().all(|condition| matches!(condition, Condition::Claim(_)));
    if only_a_claim {
        let problem = conditions.problem("it would be the cause of every claim that does not hold");
        return Err(problem.help("name something that is seen: `answer`, `log` or `object`"));
    }
    Ok(KnownCause { id: self::id(id)?, title, when, because, next })
}

/// Lower-case letters and digits, in words that are joined by hyphens.
fn id(node: &Node) -> Result<String, Problem> {
    let id = node.text()?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_id =
        id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(fits) && !id.ends_with('-');
    match (is_id, id) {
        (true, "unknown") => Err(node.problem("`unknown` is what is said where no cause is known")),
        (true, _) => Ok(id.to_owned()),
        (false, _) => {
            Err(node.problem(format!("`{id}` is no id")).help("lower-case letters, digits and inner hyphens"))
        }
    }
}

fn said(node: &Node) -> Result<String, Problem> {
    match node.text()?.trim() {
        "" => Err(node.problem("nothing is said")),
        text => Ok(text.to_owned()),
    }
}

fn condition(node: &Node) -> Result<Condition, Problem> {
    let mut fields = node.fields()?;
    let kinds = ["claim", "answer", "log", "object"];
    let found: Vec<_> = kinds.iter().filter_map(|name| Some((*name, fields.take(name)?))).collect();
    fields.finish()?;
    let [(name, at)] = found.as_slice() else {
        return Err(node.problem("a condition is exactly one of these").help(kinds.join(", ")));
    };
    match *name {
        "claim" => Ok(Condition::Claim(at.one_or_more().iter().map(said).collect::<Result<_, _>>()?)),
        "answer" => answer(at),
        "log" => log(at),
        _ => object(at),
    }
}

fn text(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, Problem> {
    fields.take(name).map(said).transpose()
}

fn answer(node: &Node) -> Result<Condition, Problem> {
    let mut fields = node.fields()?;
    let status = fields.take("status").map(Node::number::<u16>).transpose()?;
    let reason = text(&mut fields, "reason")?;
    fields.finish()?;
    match (status, &reason) {
        (None, None) => Err(node.problem("any answer would do").help("`status`, `reason`, or both")),
        _ => Ok(Condition::Answer { status, reason }),
    }
}

fn log(node: &Node) -> Result<Condition, Problem> {
    let mut fields = node.fields()?;
    let log = Condition::Log {
        namespace: text(&mut fields, "namespace")?,
        pod: said(fields.need("pod")?)?,
        container: text(&mut fields, "container")?,
        matches: Pattern::read(fields.need("matches")?)?,
    };
    fields.finish()?;
    Ok(log)
}

fn object(node: &Node) -> Result<Condition, Problem> {
    let mut fields = node.fields()?;
    let (kind, name) = Kind::and_name(fields.need("of")?)?;
    let namespace = text(&mut fields, "namespace")?;
    let field = fields.take("field").map(FieldPath::read).transpose()?;
    let is = fields.take("is").map(|node| node.text().map(str::to_owned)).transpose()?;
    let matches = fields.take("matches").map(Pattern::read).transpose()?;
    let there = fields.take("there").map(Node::bool).transpose()?;
    fields.finish()?;
    let tests = [is.map(Test::Is), matches.map(Test::Matches), there.map(Test::There)];
    let mut tests = tests.into_iter().flatten();
    let (Some(test), None) = (tests.next(), tests.next()) else {
        return Err(node
            .problem("what has to be so of it?")
            .help("exactly one of `is`, `matches` and `there`"));
    };
    if field.is_none() && !matches!(test, Test::There(_)) {
        return Err(node.problem("of which field?").help("field: spec.replicas"));
    }
    Ok(Condition::Object { kind, namespace, name, field, test })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::scenario::node::Source;
    use crate::scenario::parse;

    fn read(text: &str) -> Result<Vec<KnownCause>, Problem> {
        let source = Source { path: "pack.yaml".into(), text: text.to_owned() };
        all(parse::document(&Arc::new(source))?.get(KEY))
    }

    const ONE: &str = "diagnoses:\n- id: cache-full\n  title: The cache is full\n  when:\n  - answer: {status: 503, reason: no_*}\n  - \
                       log: {namespace: shop, pod: 'api-*', container: api, matches: 'full \\('}\n  - object: {of: configmap/api, \
                       field: data.entries, is: '100'}\n  because: It takes 100.\n  next: raise it\n";

    #[test]
    fn a_diagnosis_says_what_has_to_be_seen() {
        let causes = read(ONE).unwrap();
        let KnownCause { id, when, because, next, .. } = &causes[0];
        assert_eq!((id.as_str(), when.len(), because.len(), next.as_str()), ("cache-full", 3, 1, "raise it"));
        let says = |text: &str| matches!(&when[1], Condition::Log { matches, .. } if matches.is_in(text));
        assert!(says("the cache is full (100 entries)") && !says("full"));
        assert_eq!(when[1].namespace(), Some("shop"));
        assert!(read("a: b").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        let wrong = |from: &str, to: &str| read(&ONE.replace(from, to)).unwrap_err().to_string();
        assert!(
            wrong("full \\(", "full (")
                .starts_with("pack.yaml:6:67: it is no regular expression: unclosed group")
        );
        assert_eq!(wrong("id: cache-full", "id: Cache"), "pack.yaml:2:7: `Cache` is no id");
        assert_eq!(
            wrong("{of: configmap/api, ", "{of: confgmap/api, "),
            "pack.yaml:7:18: unknown kind `confgmap`"
        );
        assert_eq!(wrong(", is: '100'", ""), "pack.yaml:7:13: what has to be so of it?");
        assert_eq!(
            wrong("data.entries", "data..entries"),
            "pack.yaml:7:40: `data..entries` is no path to a field"
        );
        assert_eq!(wrong("{status: 503, reason: no_*}", "{}"), "pack.yaml:5:13: any answer would do");
        assert!(wrong("  next: raise it\n", "").contains("next"));
        let twice = read(&format!("{ONE}{}", ONE.trim_start_matches("diagnoses:\n"))).unwrap_err();
        assert_eq!(twice.to_string(), "pack.yaml:10:7: the diagnosis cache-full is there twice");
        let two =
            ONE.replace("- answer: {status: 503, reason: no_*}", "- {answer: {status: 503}, claim: request}");
        assert!(read(&two).unwrap_err().to_string().contains("exactly one of these"));
        let any = "diagnoses:\n- {id: a, title: b, when: {claim: request}, next: c}\n";
        assert!(read(any).unwrap_err().to_string().contains("every claim"));
    }
}
