//! What credentials look like in a text.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::names::is_sensitive;

const KEY: &str = "(removed: private key)";
const TOKEN: &str = "(removed: token)";
const VALUE: &str = "(removed)";

/// A pattern of this file. One that is not well formed would be found by every test here; nothing is kept of a text then.
struct Pattern(Option<Regex>);

impl Pattern {
    fn new(pattern: &str) -> Self {
        Self(Regex::new(pattern).ok())
    }

    fn replace<'a>(&self, text: &'a str, with: impl FnMut(&Captures<'_>) -> String) -> Cow<'a, str> {
        match &self.0 {
            Some(regex) => regex.replace_all(text, with),
            None => Cow::Borrowed("(removed: it could not be looked through)"),
        }
    }
}

/// A name that may be a credential's, and its value: `password=…`, `"apiKey": "…"`, `X-Api-Key: …`, `--token …`.
static NAMED: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r#"(?xi)
        (?P<name> (?P<dash> -{1,2} )? [a-z0-9_.-]* (?: password | passwd | passphrase | pwd | secret | token | key | credential
            | authorization | cookie | dsn | string | url | uri ) s? )
        (?P<between> \\?["']? [\ \t]* [:=] [\ \t]* | [\ \t]+ )
        (?P<value> \\?"[^"\n]*" | '[^'\n]*' | (?: (?: bearer | basic | negotiate | digest ) [\ ] )? [^\s"',;&\\{}\[\]()<>]+ )"#,
    )
});
/// The same as a line of YAML, where the value goes to the end.
static LINE: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"(?m)^(?P<before>[ \t]*(?:- )?)(?P<name>[A-Za-z][A-Za-z0-9_.-]*)(?P<between>: +)(?P<value>[^\s{\[&*!|>].*)$",
    )
});
/// `https://user:password@host`.
static IN_ADDRESS: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(r#"(?P<user>[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@"']*):(?P<value>[^\s/@"']+)@"#)
});
/// What an Authorization header says, wherever it stands.
static SCHEME: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(r"\b(?P<scheme>(?i:bearer|basic))(?P<blank> +)(?P<value>[A-Za-z0-9._~+/=-]{8,})")
});
/// JSON Web Tokens: base64url parts, the first of which begins with `{"`.
static WEB_TOKEN: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*")
});
/// Tokens whose issuers mark them.
static MARKED: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"(?x)\b(?:
        (?:AKIA|ASIA)[0-9A-Z]{16} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{16,}
        | xox[abeoprs]-[A-Za-z0-9-]{10,} | AIza[A-Za-z0-9_-]{30,} | sk-[A-Za-z0-9_-]{20,} | sk_(?:live|test)_[A-Za-z0-9]{16,}
        | npm_[A-Za-z0-9]{30,} | hvs\.[A-Za-z0-9_-]{20,} | dckr_pat_[A-Za-z0-9_-]{20,}
        )",
    )
});
/// Long words in base64 or base64url: keys, if nothing else.
static OPAQUE: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"[A-Za-z0-9+/_-]{40,}={0,2}"));

/// The text without credentials.
pub(super) fn removed(text: &str) -> String {
    let text = blocks(text);
    let text = WEB_TOKEN.replace(&text, |_| TOKEN.to_owned());
    let text = MARKED.replace(&text, |_| TOKEN.to_owned());
    let text = IN_ADDRESS.replace(&text, |found| format!("{}:{VALUE}@", &found["user"]));
    let text = SCHEME.replace(&text, |found| match is_mixed(&found["value"]) {
        true => format!("{}{}{TOKEN}", &found["scheme"], &found["blank"]),
        false => found[0].to_owned(),
    });
    let text =
        LINE.replace(&text, |found| match is_sensitive(&found["name"]) && !is_plain(&found["value"]) {
            true => format!("{}{}{}{VALUE}", &found["before"], &found["name"], &found["between"]),
            false => found[0].to_owned(),
        });
    let text = NAMED.replace(&text, named);
    outside_certificates(&text, |text| OPAQUE.replace(text, opaque).into_owned())
}

/// Not a word of prose.
fn is_mixed(value: &str) -> bool {
    let (upper, lower) = (|c: char| c.is_ascii_uppercase(), |c: char| c.is_ascii_lowercase());
    value.contains(|c: char| c.is_ascii_digit()) || (value.contains(upper) && value.contains(lower))
}

/// A name and its value, without the value if the name says that it is a credential.
fn named(found: &Captures<'_>) -> String {
    let (name, between, value) = (&found["name"], &found["between"], &found["value"]);
    // In prose (`token expired`) a name is no name; after `--` it is.
    let is_name = between.contains([':', '=']) || found.name("dash").is_some();
    if !is_name || !is_sensitive(name) {
        // The value may be a name with a value of its own.
        return format!("{name}{between}{}", NAMED.replace(value, named));
    }
    match is_plain(value) {
        true => found[0].to_owned(),
        false => format!("{name}{between}{}", quoted(value)),
    }
}

/// What stands instead of a value, in its quotes.
fn quoted(value: &str) -> String {
    let quote = value.split(|c: char| !matches!(c, '\\' | '"' | '\'')).next().unwrap_or_default();
    match quote.is_empty() || quote.len() > 2 {
        true => VALUE.to_owned(),
        // An escaped quote ends with the next one as well.
        false => format!("{quote}{VALUE}{quote}"),
    }
}

/// What is no credential, whatever it is called: a switch, nothing, a place.
fn is_plain(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'', '\\']);
    matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "none" | "nil" | "")
        || value.starts_with(['/', '$'])
        || value.starts_with("(removed")
}

/// A long word, unless it is a path, a name of parts, or a certificate.
fn opaque(found: &Captures<'_>) -> String {
    let word = &found[0];
    // `-----BEGIN CERTIFICATE-----` in base64, as Kubernetes keeps it.
    if word.starts_with("LS0tLS1CRUdJTiBDRVJUSUZJQ0FUR") {
        return word.to_owned();
    }
    let is_key = |part: &str| {
        part.len() >= 20
            && part.chars().any(|c| c.is_ascii_uppercase())
            && part.chars().any(|c| c.is_ascii_lowercase())
            && part.chars().filter(char::is_ascii_digit).count() >= 2
    };
    match word.split(['/', '-', '_']).any(is_key) {
        true => TOKEN.to_owned(),
        false => word.to_owned(),
    }
}

/// Applies a change to a text but for the certificates (PEM) in it.
fn outside_certificates(text: &str, change: impl Fn(&str) -> String) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, block)) = rest.split_once(BEGIN) {
        kept += &change(before);
        kept += BEGIN;
        match block.split_once(END) {
            Some((certificate, after)) => {
                kept += certificate;
                kept += END;
                rest = after;
            }
            // Cut off; public all the same.
            None => {
                kept += block;
                rest = "";
            }
        }
    }
    kept + &change(rest)
}

/// Replaces PEM blocks of private keys; a block that does not end is removed to the end. JSON and YAML spell
/// line breaks as `\n`, which makes no difference here.
fn blocks(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = find_begin(rest) {
        kept.push_str(&rest[..begin]);
        kept.push_str(KEY);
        let block = &rest[begin..];
        rest = match block.find("-----END ") {
            Some(end) => {
                let tail = &block[end + "-----END ".len()..];
                tail.find("-----").map_or("", |dashes| &tail[dashes + "-----".len()..])
            }
            None => "",
        };
    }
    kept.push_str(rest);
    kept
}

/// Where a PEM block of a private key begins, whatever kind of key it is.
fn find_begin(text: &str) -> Option<usize> {
    const BEGIN: &str = "-----BEGIN ";
    let mut from = 0;
    while let Some(at) = text[from..].find(BEGIN).map(|at| from + at) {
        let label = &text[at + BEGIN.len()..];
        let end = label.find("-----").unwrap_or(label.len());
        if label[..end].ends_with("PRIVATE KEY") {
            return Some(at);
        }
        from = at + BEGIN.len();
    }
    None
}
