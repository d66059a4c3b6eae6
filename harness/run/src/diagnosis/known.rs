//! Causes that a pack, or the gateway's file, knows (see [`meshproof_model::diagnoses`]): recognised where all that they name was
//! seen.

use std::collections::BTreeSet;

use super::facts::{name_of, text};
use super::{Facts, diagnosis};
use crate::matching::glob;
use meshproof_model::diagnoses::{Condition, KnownCause, Test};
use meshproof_model::event::Diagnosis;

/// The first of them that the facts show.
pub(super) fn recognise(facts: &Facts) -> Option<Diagnosis> {
    facts.known.iter().find_map(|cause| {
        let seen: Vec<String> =
            cause.when.iter().map(|condition| seen(facts, condition)).collect::<Option<_>>()?;
        Some(told(cause, seen))
    })
}

fn told(cause: &KnownCause, seen: Vec<String>) -> Diagnosis {
    let seen = seen.into_iter().filter(|seen| !seen.is_empty());
    diagnosis(&cause.id, &cause.title, seen.chain(cause.because.iter().cloned()), &cause.next)
}

/// What was seen of a condition; nothing if it does not hold.
fn seen(facts: &Facts, condition: &Condition) -> Option<String> {
    match condition {
        Condition::Claim(words) => words.contains(&facts.claim.word).then(String::new),
        Condition::Answer { status, reason } => answered(facts, *status, reason.as_deref()),
        Condition::Log { namespace, pod, container, matches } => {
            let within = namespaces(facts, namespace.as_deref());
            let of = facts.logs.iter().filter(|log| {
                within.contains(log.namespace.as_str())
                    && glob(pod, &log.pod)
                    && container.as_ref().is_none_or(|name| *name == log.container)
            });
            of.flat_map(|log| log.lines.iter().rev().map(move |line| (log, line))).find_map(|(log, line)| {
                // The kubelet's time stands in front.
                let (time, said) = line.split_once(' ')?;
                let of_scenario = time >= facts.claim.scenario_since.as_str();
                (of_scenario && matches.is_in(said))
                    .then(|| format!("log of {}/{} ({}): {said}", log.namespace, log.pod, log.container))
            })
        }
        Condition::Object { kind, namespace, name, field, test } => {
            let within = namespaces(facts, namespace.as_deref());
            let mut objects = facts.list(kind.plural).iter().filter(|object| {
                let metadata = &object["metadata"];
                glob(name, text(&metadata["name"]))
                    && (!kind.namespaced || within.contains(text(&metadata["namespace"])))
            });
            let Some(field) = field else {
                return match (objects.next(), test) {
                    (Some(object), Test::There(true)) => {
                        Some(format!("there is {} {}", kind.kind, name_of(object)))
                    }
                    (None, Test::There(false)) => Some(format!("there is no {} {name}", kind.kind)),
                    _ => None,
                };
            };
            objects.find_map(|object| {
                let value = field.of(object);
                let so = match (test, &value) {
                    (Test::There(there), value) => *there == value.is_some(),
                    (Test::Is(wanted), Some(value)) => wanted == value,
                    (Test::Matches(pattern), Some(value)) => pattern.is_in(value),
                    (_, None) => false,
                };
                let value = value.map_or("not there".to_owned(), |value| format!("`{value}`"));
                so.then(|| format!("{field} of {} {} is {value}", kind.kind, name_of(object)))
            })
        }
    }
}

fn answered(facts: &Facts, status: Option<u16>, reason: Option<&str>) -> Option<String> {
    if !facts.claim.is_about_answers() {
        return None;
    }
    let last = facts.claim.last_status;
    if status.is_some() && status != last {
        return None;
    }
    let said = match reason {
        None => String::new(),
        Some(pattern) => {
            let said = &facts.last_account().filter(|entry| glob(pattern, &entry.reason))?.reason;
            format!(" ({said})")
        }
    };
    Some(match last {
        Some(status) => format!("the last answer: {status}{said}"),
        None => format!("the gateway's log of the last answer{said}"),
    })
}

/// The namespace that is named, or those that the claim is about.
fn namespaces<'a>(facts: &'a Facts, named: Option<&'a str>) -> BTreeSet<&'a str> {
    let claim = &facts.claim;
    let own = [claim.namespace.as_str(), claim.scenario_namespace.as_str(), claim.namespace_of_backend()];
    named.map_or_else(|| own.into(), |named| [named].into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use meshproof_model::diagnoses::{self, KEY};
    use meshproof_model::scenario::node::Source;
    use meshproof_model::scenario::parse;

    fn known(when: &str) -> Vec<KnownCause> {
        let text = format!(
            "{KEY}:\n- id: cache-full\n  title: The cache is full\n  when: {when}\n  because: it is small\n  next: raise it\n"
        );
        let source = Source { path: "pack.yaml".into(), text };
        diagnoses::all(parse::document(&Arc::new(source)).unwrap().get(KEY)).unwrap()
    }

    fn facts() -> Facts {
        let mut facts = Facts::sample().expecting(200).answered(503, "upstream_reset").logged(
            "isto-example-namespace",
            "backend-v1-6c8f9d7b54-q2w8z",
            "backend-v1",
            "2026-11-30T10:00:01.5Z the cache is full (100 entries)",
        );
        facts.claim.scenario_since = "2026-11-30T10:00:00Z".into();
        facts.with(
            "configmaps",
            json!([{"metadata": {"namespace": "isto-example-namespace", "name": "cache"},
            "data": {"entries": "100"}}]),
        )
    }

    fn because(facts: &Facts, when: &str) -> Option<Vec<String>> {
        let facts = Facts { known: known(when), ..facts.clone() };
        let diagnosis = diagnose(&facts);
        (diagnosis.id == "cache-full").then_some(diagnosis.because)
    }

    #[test]
    fn everything_that_is_named_has_to_be_seen() {
        let all = "[{answer: {status: 503, reason: 'upstream_*'}}, {log: {pod: 'backend-*', matches: 'full .[0-9]+'}}, \
                   {object: {of: configmap/cache, field: data.entries, is: '100'}}, {claim: request}]";
        assert_eq!(
            because(&facts(), all).unwrap(),
            [
                "the last answer: 503 (upstream_reset)",
                "log of isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z (backend-v1): the cache is full (100 entries)",
                "data.entries of ConfigMap isto-example-namespace/cache is `100`",
                "it is small",
            ]
        );
        for (from, to) in [("503", "504"), ("backend-*", "front-*"), ("'100'", "'10'"), ("request", "status")]
        {
            assert_eq!(because(&facts(), &all.replacen(from, to, 1)), None, "{to}");
        }
        let mut before = facts();
        before.claim.scenario_since = "2026-11-30T11:00:00Z".into();
        assert_eq!(because(&before, all), None, "what was logged before is of another scenario");
    }

    #[test]
    fn objects_may_have_to_be_there_or_not() {
        let seen =
            |of: &str| because(&facts(), &format!("{{object: {{{of}}}}}")).map(|because| because[0].clone());
        assert_eq!(seen("of: configmap/none, there: false").as_deref(), Some("there is no ConfigMap none"));
        assert_eq!(seen("of: configmap/cache, there: false"), None);
        assert!(seen("of: configmap/c*, there: true").unwrap().ends_with("isto-example-namespace/cache"));
        assert!(
            seen("of: configmap/cache, field: data.more, there: false").unwrap().ends_with("is not there")
        );
        assert!(seen("of: configmap/cache, field: data.entries, matches: '^1'").is_some());
        assert_eq!(seen("of: configmap/cache, namespace: elsewhere, there: true"), None);
        assert!(seen("of: namespace/isto-example-namespace, there: true").is_some());
    }

    #[test]
    fn where_it_is_not_seen_the_causes_known_here_are_looked_for() {
        let facts = Facts { known: known("{answer: {status: 504}}"), ..facts() };
        assert_ne!(diagnose(&facts).id, "cache-full");
    }
}
