//! What a page shows to be printed: claims about what the command before it asked for.

use std::collections::BTreeMap;

use meshproof_model::scenario::kinds::Kind as ObjectKind;
use meshproof_model::yaml::{self, Tree};

use super::draft::Draft;
use super::entry::{Asked, Entry, Kind, Reason, Step};
use super::objects;
use super::said::{Said, line};
use crate::page::Place;
use crate::{manifest, table};

/// Keys of a status whose values differ from run to run, however the page prints them.
const VOLATILE: &[&str] =
    &["lastTransitionTime", "lastProbeTime", "startTime", "observedGeneration", "resourceVersion", "uid"];

impl Draft {
    /// Reads what is printed at `place`.
    pub(super) fn printed(&mut self, text: &str, place: &Place) {
        let section = place.section.join(": ");
        let found =
            self.entries.last_mut().filter(|entry| entry.section == section && entry.asked != Asked::Nothing);
        let Some(entry) = found else {
            let said = self.entries.last().is_some_and(|entry| {
                let printing = |step: &Step| matches!(step.word, "apply" | "delete" | "restart" | "scale");
                entry.section == section && (entry.off.is_some() || entry.step.as_ref().is_some_and(printing))
            });
            // What kubectl says of its own work, or of a command that is left out, is no claim.
            if !said {
                let reason = Reason::new(
                    Kind::Unknown,
                    "nothing that could be compared is asked for right before it",
                    "if it is a claim, write a step for it (`status`, `pods`, `request`)",
                );
                self.note(place, first_line(text), reason);
            }
            return;
        };
        if entry.off.is_some() {
            return;
        }
        let read = manifest::is_yaml(text).then(|| objects::read(&objects::dedent(text), place.line));
        let lines = (place.line, place.end);
        let mut entry = entry.clone();
        let understood = match (entry.asked.clone(), read.and_then(|read| Some((read.status?, read.printed))))
        {
            (Asked::Object { .. } | Asked::Text, Some((status, printed))) => {
                self.status(&mut entry, &status, printed)
            }
            (Asked::Pods { namespace }, _) => {
                table::columns(text).is_some_and(|rows| pods(&mut entry, &namespace, &rows))
            }
            (Asked::Field { address }, _) => self.field(&mut entry, text, address, lines),
            (Asked::Answer { .. }, _) => answer(&mut entry, text),
            (Asked::Object { .. } | Asked::Text, None) => says(&mut entry, text),
            (Asked::Nothing, _) => false,
        };
        if understood {
            entry.cite(lines);
            if !matches!(entry.asked, Asked::Answer { .. }) {
                entry.asked = Asked::Nothing;
            }
            if let Some(last) = self.entries.last_mut() {
                *last = entry;
            }
            return;
        }
        let why = format!("what `{}` is said to print cannot be compared", line(&entry.what));
        self.note(
            place,
            first_line(text),
            Reason::new(Kind::Unknown, why, "write what has to be seen at that step"),
        );
    }

    /// A table of Markdown: what the command before it prints, if that asks for pods.
    pub(super) fn table(&mut self, rows: &[Vec<String>], place: &Place) {
        let section = place.section.join(": ");
        if let Some(entry) = self.entries.last_mut().filter(|entry| entry.section == section)
            && let Asked::Pods { namespace } = entry.asked.clone()
            && (entry.off.is_some() || pods(entry, &namespace, rows))
        {
            entry.cite((place.line, place.end));
            entry.asked = Asked::Nothing;
            return;
        }
        let head = rows.first().map(|head| head.join(" | ")).unwrap_or_default();
        let next = "add what it promises to requirements.yaml";
        self.note(place, &head, Reason::new(Kind::Unknown, "tables are not taken apart", next));
    }

    /// A status, as a claim about the object.
    fn status(&mut self, entry: &mut Entry, status: &Tree, printed: Option<(String, String)>) -> bool {
        let (asked, namespace) = match &entry.asked {
            Asked::Object { kind, name, namespace } => {
                (Some((kind.clone(), name.clone())), Some(namespace.clone()))
            }
            _ => (None, None),
        };
        let Some((kind, name)) = asked.or(printed) else { return false };
        let Some(word) = kind_word(&kind) else { return false };
        let mut addresses = Vec::new();
        let lasting = lasting(status, false, &mut addresses);
        let Ok(text) = yaml::to_string(&BTreeMap::from([("status", lasting)])) else { return false };
        let file = self.keep(&format!("{word}-{name}-status"), "yaml", &text);
        for address in addresses {
            let lines = entry.lines.first().copied().unwrap_or_default();
            let why = "the address is an example of the page: any is taken";
            self.assume(lines, &address, why, &format!("if its form is promised, write a pattern in {file}"));
        }
        let mut step = Step::new("status", Said::text(format!("{word}/{name}")))
            .with("becomes", Said::text(&file))
            .with("within", Said::text("programmed"));
        step.namespace = namespace;
        step.files = vec![file];
        entry.step = Some(step);
        true
    }

    fn field(&mut self, entry: &mut Entry, text: &str, address: bool, lines: (usize, usize)) -> bool {
        let printed = first_line(text).trim().to_owned();
        let Some(step) = entry.step.as_mut().filter(|_| !printed.is_empty()) else { return false };
        if address {
            self.assume(
                lines,
                &printed,
                "the address is an example of the page: any is taken",
                "if its form is promised, say `like:`",
            );
            return true;
        }
        let named = step.fields.iter().find(|(key, _)| *key == "becomes").map(|(_, value)| value.clone());
        let Some(Said::Map(mut becomes)) = named else { return false };
        becomes.push(("like", Said::text(printed)));
        step.set("becomes", Said::Map(becomes));
        true
    }

    /// A sentence right after a request may say how it is answered: `503`. Lines are those of the sentence.
    pub(super) fn answered(&mut self, sentence: &str, lines: (usize, usize), section: &str) {
        let Some(status) = status_in(sentence) else { return };
        let Some(entry) = self.entries.last_mut() else { return };
        if entry.section != section || entry.asked != (Asked::Answer { known: false }) {
            return;
        }
        becomes_status(entry, status);
        entry.cite(lines);
    }
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// How scenarios call a kind that kubectl is asked for: by its name, its plural, or in short.
pub(super) fn kind_word(asked: &str) -> Option<&'static str> {
    let asked = asked.to_lowercase();
    let asked = asked.split('.').next().unwrap_or_default();
    let long = match asked {
        "cm" => "configmap",
        "deploy" => "deployment",
        "ev" => "event",
        "gtw" => "gateway",
        "gc" => "gatewayclass",
        "ing" => "ingress",
        "no" => "node",
        "ns" => "namespace",
        "pa" => "peerauthentication",
        "po" => "pod",
        "refgrant" => "referencegrant",
        "sa" => "serviceaccount",
        "svc" => "service",
        "btlspolicy" => "backendtlspolicy",
        other => other,
    };
    let known = [long, long.strip_suffix("es").unwrap_or(long), long.strip_suffix('s').unwrap_or(long)];
    let plural = long.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let words = known.into_iter().chain(plural.as_deref());
    words.filter_map(ObjectKind::by_word).map(|kind| kind.word).next()
}

/// A status without what differs from run to run. Addresses are taken out of it, and become `*`.
fn lasting(tree: &Tree, address: bool, addresses: &mut Vec<String>) -> Tree {
    match tree {
        Tree::Mapping(map) => {
            let each = map.iter().filter(|(key, _)| key.as_str().is_none_or(|key| !VOLATILE.contains(&key)));
            let each = each.map(|(key, value)| match (key.as_str(), value.as_str()) {
                (Some("value" | "ip" | "hostname"), Some(text)) if address => {
                    addresses.push(text.to_owned());
                    (key.clone(), Tree::String("*".to_owned()))
                }
                (name, _) => (
                    key.clone(),
                    lasting(value, address || matches!(name, Some("addresses" | "loadBalancer")), addresses),
                ),
            });
            Tree::Mapping(each.collect())
        }
        Tree::Sequence(list) => {
            Tree::Sequence(list.iter().map(|one| lasting(one, address, addresses)).collect())
        }
        other => other.clone(),
    }
}

/// `kubectl get pods` in columns: so many of each, all containers ready.
fn pods(entry: &mut Entry, namespace: &str, rows: &[Vec<String>]) -> bool {
    let Some((head, body)) = rows.split_first() else { return false };
    let column = |name: &str| head.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    let (Some(name), Some(ready)) = (column("NAME"), column("READY")) else { return false };
    let mut counts: Vec<(String, String, String, u64)> = Vec::new();
    for row in body {
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).cloned().unwrap_or_default();
        let (pod, ready, status) = (cell(Some(name)), cell(Some(ready)), cell(column("STATUS")));
        let made = table::without_generated(&pod);
        let prefix = if made == pod { pod } else { format!("{made}-") };
        match counts.iter_mut().find(|known| known.0 == prefix && known.1 == ready && known.2 == status) {
            Some(known) => known.3 += 1,
            None => counts.push((prefix, ready, status, 1)),
        }
    }
    let rows = counts.into_iter().map(|(prefix, ready, status, count)| {
        let mut row = vec![
            ("prefix", Said::text(prefix)),
            ("count", Said::Number(count)),
            ("ready", Said::text(ready)),
        ];
        if !status.is_empty() && status != "Running" {
            row.push(("status", Said::text(status)));
        }
        Said::Map(row)
    });
    let step = Step::new("pods", Said::text(namespace));
    entry.step = Some(step.with("become", Said::List(rows.collect())).with("within", Said::text("rollout")));
    true
}

/// Part of what a command prints. Columns are as wide as what stands in them: of a table the first name is enough.
fn says(entry: &mut Entry, text: &str) -> bool {
    let Some(step) = entry.step.as_mut().filter(|step| matches!(step.word, "kubectl" | "helm" | "shell"))
    else {
        return false;
    };
    let says = match table::columns(text) {
        Some(rows) => rows.get(1).and_then(|row| row.first()).cloned().unwrap_or_default(),
        None => first_line(text).trim().to_owned(),
    };
    let fixed = says.chars().any(|c| !c.is_whitespace() && !"*?.".contains(c));
    if !fixed || objects::placeholder(&says).is_some() {
        return false;
    }
    step.set("says", Said::text(says));
    true
}

/// What curl prints: a status line, or the account that an echo backend gives of the request.
fn answer(entry: &mut Entry, text: &str) -> bool {
    let status = text.lines().find_map(|line| {
        let line = line.trim_start_matches(['<', ' ']);
        let (version, rest) = line.split_once(' ')?;
        version.starts_with("HTTP/").then(|| status_number(rest.split(' ').next()?)).flatten()
    });
    let body =
        text.find('{').and_then(|at| serde_json::from_str::<serde_json::Value>(text.get(at..)?.trim()).ok());
    let pod = body.as_ref().and_then(|body| body.get("pod")?.as_str());
    let backend = pod.map(table::without_generated).filter(|backend| Some(backend.as_str()) != pod);
    if status.is_none() && backend.is_none() {
        return false;
    }
    becomes_status(entry, status.unwrap_or(200));
    if let (Some(backend), Some(step)) = (backend, entry.step.as_mut()) {
        let gateways = step.namespace.clone();
        let namespace = body.as_ref().and_then(|body| body.get("namespace")?.as_str()).map(str::to_owned);
        let backend = match namespace.filter(|own| Some(own) != gateways.as_ref()) {
            Some(namespace) => format!("{namespace}/{backend}"),
            None => backend,
        };
        let status = ("status", Said::Number(status.unwrap_or(200)));
        step.set("becomes", Said::Map(vec![status, ("backend", Said::text(backend))]));
    }
    true
}

/// Gives a request the status that it is answered with.
pub(super) fn becomes_status(entry: &mut Entry, status: u64) {
    if let Some(step) = &mut entry.step {
        step.set("becomes", Said::Map(vec![("status", Said::Number(status))]));
    }
    entry.asked = Asked::Answer { known: true };
}

fn status_number(word: &str) -> Option<u64> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let three = word.len() == 3 && word.chars().all(|c| c.is_ascii_digit());
    word.parse().ok().filter(|status| three && (100..600).contains(status))
}

/// The one status that a sentence names, if it speaks of an answer.
fn status_in(sentence: &str) -> Option<u64> {
    let lower = sentence.to_lowercase();
    let speaks = ["respon", "return", "answer", "status", "http", "error", "see", "get"];
    if !speaks.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let mut all: Vec<u64> = lower.split_whitespace().filter_map(status_number).collect();
    all.dedup();
    match all.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}
