//! Values that matter: what a fragment says, as key and value.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

/// Key to value. Keys are paths (`spec.listeners[0].port`), names of options (`namespace`) or kinds of values (`version`).
pub type Facts = BTreeMap<String, String>;

/// A value of this many words is a sentence; it is kept as a fingerprint only.
const SENTENCE: usize = 4;

/// What stands before the fingerprint of a long value.
const HASHED: &str = "sha256:";

/// What a chart in a registry begins with.
const OCI: &str = "oci://";

/// The first `digits` hexadecimal digits of a text's SHA-256.
pub(super) fn hash(text: &str, digits: usize) -> String {
    let digest: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    digest.chars().take(digits).collect()
}

/// A value as it is kept in the repository: sentences and the names of registries as a fingerprint, anything else as it is.
pub fn kept(value: &str) -> String {
    if let Some((host, path)) = value.strip_prefix(OCI).and_then(|rest| rest.split_once('/')) {
        let host = if is_hashed(host) { host.to_owned() } else { format!("{HASHED}{}", hash(host, 16)) };
        return format!("{OCI}{host}/{path}");
    }
    if value.split_whitespace().count() >= SENTENCE {
        let words: Vec<_> = value.split_whitespace().collect();
        return format!("{HASHED}{}", hash(&words.join(" "), 16));
    }
    value.to_owned()
}

/// A kept value for people: the name of its registry is told again when the `other` value has the same.
pub(super) fn told(old: &str, other: &str) -> String {
    let parts = |value: &str| {
        let (host, path) = value.strip_prefix(OCI)?.split_once('/')?;
        Some((host.to_owned(), path.to_owned()))
    };
    match (parts(old), parts(other), parts(&kept(other))) {
        (Some((kept, path)), Some((host, _)), Some((hashed, _))) if kept == hashed => {
            format!("{OCI}{host}/{path}")
        }
        _ => old.to_owned(),
    }
}

/// Whether a value is kept as a fingerprint.
pub fn is_hashed(value: &str) -> bool {
    value.starts_with(HASHED)
}

/// Facts as they are kept in the repository.
pub(super) fn kept_facts(facts: &Facts) -> Facts {
    facts.iter().map(|(key, value)| (key.clone(), kept(value))).collect()
}

/// Fingerprint of a fragment that is all facts.
pub(super) fn fingerprint(what: &str, facts: &Facts) -> String {
    let mut text = what.to_owned();
    for (key, value) in facts {
        text.push_str(&format!("\n{key}={}", kept(value)));
    }
    hash(&text, 16)
}

/// How alike facts are, from 0 to 1: a key with another value counts half.
pub(super) fn similarity(a: &Facts, b: &Facts) -> f64 {
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    if keys.is_empty() {
        return 1.0;
    }
    let points = |key: &&String| match (a.get(*key), b.get(*key)) {
        (Some(a), Some(b)) if kept(a) == kept(b) => 1.0,
        (Some(_), Some(_)) => 0.5,
        _ => 0.0,
    };
    keys.iter().map(points).sum::<f64>() / keys.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(list: &[(&str, &str)]) -> Facts {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_sentence_is_kept_as_a_fingerprint() {
        assert_eq!(kept("gateway-01"), "gateway-01");
        assert!(is_hashed(&kept("the ferry leaves at  eight")));
        assert_eq!(kept("the ferry leaves at  eight"), kept("the ferry\nleaves at eight"));
        assert_eq!(kept(&kept("the ferry leaves at eight")), kept("the ferry leaves at eight"));
    }

    #[test]
    fn of_a_registry_only_the_path_is_kept() {
        let chart = kept("oci://charts.example/a/b");
        assert!(chart.starts_with("oci://sha256:") && chart.ends_with("/a/b"), "{chart}");
        assert_eq!(kept(&chart), chart);
        assert_eq!(told(&chart, "oci://charts.example/c"), "oci://charts.example/a/b");
        assert_eq!(told(&chart, "oci://other.example/a/b"), chart);
    }

    #[test]
    fn facts_are_alike_by_key_and_value() {
        let a = facts(&[("version", "1.0"), ("namespace", "a")]);
        let b = facts(&[("version", "1.1"), ("namespace", "a")]);
        assert!((similarity(&a, &b) - 0.75).abs() < 1e-9);
        assert!((similarity(&Facts::new(), &Facts::new()) - 1.0).abs() < 1e-9);
        assert_ne!(fingerprint("x", &a), fingerprint("x", &b));
        assert_ne!(fingerprint("x", &a), fingerprint("y", &a));
    }
}
