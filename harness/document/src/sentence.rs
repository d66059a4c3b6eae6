//! Prose to sentences, and a sentence to what can be compared without keeping its text: hashed shingles, and the values and the
//! words that turn its meaning.

use std::collections::BTreeSet;

use super::clean::{CODE, END};
use super::command;
use super::facts::{self, Facts};
use super::page::Prose;

/// Hexadecimal digits of a shingle's hash: few enough for a short file, enough to tell the shingles of one page apart.
const DIGITS: usize = 6;

/// Words that turn the meaning of a sentence, in the spelling they are compared in.
const TURNING: &[&str] = &[
    "after",
    "always",
    "before",
    "disable",
    "disabled",
    "either",
    "enabled",
    "except",
    "few",
    "greater",
    "least",
    "less",
    "may",
    "more",
    "most",
    "must",
    "never",
    "no",
    "none",
    "not",
    "only",
    "optional",
    "permissive",
    "required",
    "should",
    "strict",
    "unless",
    "until",
    "without",
];

/// Words that have an opposite, by what they come to: in whatever form, and however often a sentence says so. Of most pairs
/// the rarer word is enough, for it comes or goes when one takes the place of the other.
const OPPOSED: &[(&str, &[&str])] = &[
    ("active", &["active"]),
    ("automatic", &["automated", "automatic", "automatically"]),
    (
        "denied",
        &[
            "block", "blocked", "blocks", "denied", "denies", "deny", "refuse", "refused", "refuses",
            "reject", "rejected", "rejects",
        ],
    ),
    ("encrypted", &["encrypt", "encrypted", "encryption", "encrypts"]),
    ("enforced", &["enforce", "enforced", "enforces"]),
    ("explicit", &["explicit", "explicitly"]),
    ("external", &["external", "externally"]),
    ("greater", &["higher", "later", "newer"]),
    ("internal", &["internal", "internally"]),
    ("less", &["earlier", "lower", "older"]),
    ("manual", &["manual", "manually"]),
    ("multiple", &["multiple", "several"]),
    ("mutual", &["mtls", "mutual", "mutually"]),
    ("private", &["private", "privately"]),
    ("public", &["public", "publicly"]),
    ("single", &["single"]),
    ("some", &["some"]),
    ("standby", &["passive", "standby"]),
    ("unencrypted", &["cleartext", "plaintext", "unencrypted"]),
    ("unsupported", &["unsupported"]),
];

/// What a word that has an opposite comes to.
fn opposed(word: &str) -> Option<&'static str> {
    OPPOSED.iter().find(|(_, forms)| forms.contains(&word)).map(|(sense, _)| *sense)
}

/// Words that tell little about a sentence.
const COMMON: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "for", "from", "has", "have", "if", "in", "is",
    "it", "its", "of", "on", "or", "that", "the", "then", "these", "this", "to", "was", "we", "when",
    "which", "will", "with", "you", "your",
];

/// Words that speak of behaviour.
const PROMISING: &[&str] = &[
    "accept",
    "accepted",
    "allow",
    "allows",
    "assigned",
    "automatic",
    "automatically",
    "create",
    "created",
    "creates",
    "default",
    "deploy",
    "deployed",
    "enforce",
    "enforced",
    "ensure",
    "expect",
    "expected",
    "expects",
    "fail",
    "fails",
    "failure",
    "implicit",
    "implicitly",
    "limit",
    "limitation",
    "maximum",
    "minimum",
    "provision",
    "refuse",
    "refused",
    "reject",
    "rejected",
    "require",
    "requires",
    "respond",
    "responds",
    "restart",
    "return",
    "returns",
    "support",
    "supported",
    "supports",
    "unsupported",
    "version",
];

/// A set of hashed shingles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shingles(BTreeSet<String>);

impl Shingles {
    /// Reads them as they are kept: separated by blanks.
    pub fn read(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How alike two sentences are, from 0 to 1: twice what they share by all they have.
    pub(super) fn similarity(&self, other: &Self) -> f64 {
        let all = self.0.len() + other.0.len();
        if all == 0 {
            return 0.0;
        }
        2.0 * self.0.intersection(&other.0).count() as f64 / all as f64
    }
}

impl std::fmt::Display for Shingles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Its first line.
    pub line: usize,
    /// Its last line.
    pub end: usize,
    /// Its text, for people.
    pub text: String,
    /// Hash of its words and values.
    pub fingerprint: String,
    /// Hashes of its words and pairs of words, values left out.
    pub shingles: Shingles,
    /// Its values, and the words that turn its meaning.
    pub facts: Facts,
    /// Whether it speaks of behaviour.
    pub promises: bool,
    /// Commands within it.
    pub commands: Vec<String>,
}

/// The sentences of a piece of prose. Phrases that only lead to what follows are left out.
pub(super) fn sentences(prose: &Prose) -> Vec<Sentence> {
    let mut all = Vec::new();
    for (start, text) in split(&prose.text) {
        let tokens = tokens(text);
        let short = tokens.len() < 4 && tokens.iter().all(|token| matches!(token, Token::Word(_)));
        let is_lead_in = short && !text.ends_with(['.', '!']) && !text.starts_with("[!");
        if is_lead_in {
            continue;
        }
        all.push(sentence(
            text,
            &tokens,
            prose.line(start),
            prose.line(start + text.len().saturating_sub(1)),
        ));
    }
    all
}

/// Splits text where a sentence ends; each with its offset. Code is never split.
fn split(text: &str) -> Vec<(usize, &str)> {
    let note = |text: &str| {
        let rest = text.trim_start().strip_prefix("[!")?;
        let (kind, rest) = rest.split_once(']')?;
        kind.chars().all(char::is_alphabetic).then(|| text.len() - rest.len())
    };
    let mut starts = vec![note(text).unwrap_or_default()];
    let mut code = false;
    for (at, c) in text.char_indices() {
        match c {
            CODE => code = true,
            END => code = false,
            '.' | '!' | '?' if !code => {
                let rest = text.get(at + 1..).unwrap_or_default();
                let next = rest.trim_start().chars().next();
                let begins = next.is_some_and(|c| c.is_uppercase() || c == CODE || c == '"' || c == '[');
                if rest.starts_with(char::is_whitespace) && begins {
                    starts.push(at + 1);
                }
            }
            _ => {}
        }
    }
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(text.len()));
    let parts = starts.iter().zip(ends).map(|(start, end)| {
        let part = text.get(*start..end).unwrap_or_default();
        (start + part.len() - part.trim_start().len(), part.trim())
    });
    parts.filter(|(_, part)| !part.is_empty()).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Code(String),
    Version(String),
    Number(String),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(CODE) {
        words(before, &mut all);
        let (code, tail) = after.split_once(END).unwrap_or((after, ""));
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        all.push(Token::Code(code));
        rest = tail;
    }
    words(rest, &mut all);
    all
}

fn words(text: &str, all: &mut Vec<Token>) {
    let text = text.to_lowercase();
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '.')) {
        let word = word.trim_matches(['.', '\'']);
        if word.is_empty() {
            continue;
        }
        let digits = word.strip_prefix('v').unwrap_or(word);
        if digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        {
            let value = digits.to_owned();
            all.push(if digits.contains('.') { Token::Version(value) } else { Token::Number(value) });
            continue;
        }
        match word {
            "cannot" => all.extend(["can", "not"].map(|word| Token::Word(word.to_owned()))),
            "prior" => all.push(Token::Word("before".to_owned())),
            "don't" | "doesn't" | "isn't" | "aren't" | "can't" | "won't" | "wasn't" | "shouldn't"
            | "mustn't" | "didn't" => {
                let verb = match word {
                    "can't" => "can",
                    "won't" => "will",
                    other => other.trim_end_matches("n't"),
                };
                all.extend([verb, "not"].map(|word| Token::Word(word.to_owned())));
            }
            word => match number(word) {
                Some(value) => all.push(Token::Number(value.to_string())),
                None => {
                    let word = ["'s", "'re", "'ll", "'ve", "'d", "'m"]
                        .iter()
                        .find_map(|end| word.strip_suffix(end))
                        .unwrap_or(word);
                    all.push(Token::Word(word.replace('\'', "")));
                }
            },
        }
    }
}

/// A number written as a word. `one` is as often no number.
fn number(word: &str) -> Option<u8> {
    let words = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    words.iter().position(|known| *known == word).and_then(|at| u8::try_from(at + 2).ok())
}

fn sentence(text: &str, tokens: &[Token], line: usize, end: usize) -> Sentence {
    let mut facts = Facts::new();
    let mut commands = Vec::new();
    let (mut exact, mut stream, mut turning) = (Vec::new(), Vec::new(), Vec::new());
    let mut promises = false;
    for token in tokens {
        let (key, value) = match token {
            Token::Word(word) => {
                exact.push(word.clone());
                stream.push(word.as_str());
                promises |= TURNING.contains(&word.as_str()) || PROMISING.contains(&word.as_str());
                if TURNING.contains(&word.as_str()) {
                    turning.push(word.as_str());
                }
                turning.extend(opposed(word).filter(|sense| !turning.contains(sense)));
                continue;
            }
            Token::Code(code) if command::is_command(code) => {
                commands.push(code.clone());
                stream.push("<command>");
                exact.push("<command>".to_owned());
                continue;
            }
            Token::Code(code) => ("code", command::value(code)),
            Token::Version(version) => ("version", version.clone()),
            Token::Number(number) => ("number", number.clone()),
        };
        exact.push(value.clone());
        stream.push(key);
        let earlier = facts.keys().filter(|known| known.split('.').next() == Some(key)).count();
        let key = if earlier == 0 { key.to_owned() } else { format!("{key}.{}", earlier + 1) };
        facts.insert(key, value);
    }
    promises |= !facts.is_empty();
    if !turning.is_empty() {
        turning.sort_unstable();
        facts.insert("sense".to_owned(), turning.join(" "));
    }
    Sentence {
        line,
        end,
        text: text.replace([CODE, END], "`").split_whitespace().collect::<Vec<_>>().join(" "),
        fingerprint: facts::hash(&exact.join(" "), 16),
        shingles: shingles(&stream),
        facts,
        promises,
        commands,
    }
}

fn shingles(words: &[&str]) -> Shingles {
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    let single = words.iter().filter(|word| !COMMON.contains(word)).map(|word| (*word).to_owned());
    Shingles(pairs.chain(single).map(|shingle| facts::hash(&shingle, DIGITS)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{self, Content};

    fn read(text: &str) -> Vec<Sentence> {
        let page = page::read(text);
        let prose = page.blocks.iter().filter_map(|block| match &block.content {
            Content::Prose(prose) => Some(prose),
            _ => None,
        });
        prose.flat_map(sentences).collect()
    }

    fn one(text: &str) -> Sentence {
        read(text).swap_remove(0)
    }

    fn shown(facts: &Facts) -> String {
        facts.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        let all = read(
            "Version v1.24.3 of the `x. Y` ferry sails. It *never* waits for\nanybody, e.g. for you!\n\n> [!Note]\n> `a: b` counts here too.\n",
        );
        let text: Vec<_> = all.iter().map(|s| (s.line, s.end, s.text.as_str())).collect();
        assert_eq!(
            text,
            [
                (1, 1, "Version v1.24.3 of the `x. Y` ferry sails."),
                (1, 2, "It never waits for anybody, e.g. for you!"),
                (5, 5, "`a: b` counts here too.")
            ]
        );
    }

    #[test]
    fn values_and_turning_words_are_facts() {
        let s = one("Two ferries of v1.2 aren't in `north` but in `south`, and 12 must wait.\n");
        assert_eq!(
            shown(&s.facts),
            "code=north; code.2=south; number=2; number.2=12; sense=must not; version=1.2"
        );
        assert!(s.promises);
        assert!(!one("The ferry crosses a river.\n").promises);
    }

    #[test]
    fn a_word_that_takes_the_place_of_its_opposite_is_a_fact_in_whatever_form() {
        let sense = |text: &str| one(text).facts.get("sense").cloned().unwrap_or_default();
        assert_eq!(sense("Two ferries in active / standby order.\n"), "active standby");
        assert_eq!(sense("Two ferries in active / active order.\n"), "active");
        assert_eq!(sense("It uses mTLS, and mutual TLS only.\n"), "mutual only");
        assert_eq!(sense("Tickets are automatically sold.\n"), sense("Selling tickets is automatic.\n"));
        assert_ne!(sense("Tickets are sold manually.\n"), sense("Tickets are sold automatically.\n"));
        assert_eq!(sense("The ferry crosses the river.\n"), "");
    }

    #[test]
    fn spelling_does_not_count_but_values_do() {
        let a = one("The harbour doesn\u{2019}t open before 7.\n");
        let b = one("the **harbour** does not open\r\nbefore seven\n");
        assert_eq!(a.fingerprint, b.fingerprint);
        let c = one("The harbour doesn't open before 8.\n");
        assert_ne!(a.fingerprint, c.fingerprint);
        assert_eq!(a.shingles, c.shingles);
    }

    #[test]
    fn a_reworded_sentence_is_still_alike_and_another_is_not() {
        let a = one("The ferry connects both harbours of the island every hour in summer.\n");
        let b = one("The ferry connects the two harbours of the island every hour in summer.\n");
        let c = one("Tickets are sold at the counter near the entrance of the station.\n");
        assert!(a.shingles.similarity(&b.shingles) > 0.7);
        assert!(a.shingles.similarity(&c.shingles) < 0.2);
        assert_eq!(Shingles::read(&a.shingles.to_string()), a.shingles);
    }

    #[test]
    fn commands_in_text_are_taken_out() {
        let s = one("This is done with the command `kubectl rollout restart deployment/ferry`.\n");
        assert_eq!(s.commands, ["kubectl rollout restart deployment/ferry"]);
        assert_eq!(shown(&s.facts), "");
    }
}
