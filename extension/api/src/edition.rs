//! Editions of the document, as far as the programs behave otherwise by them. Which one they follow, a value of their charts says.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::names::{AMBIENT, ISTIO_INJECTION, ISTIO_REVISION};

/// A dated edition of the document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    /// 2025-08-25: the label `istio-injection` alone; the Istio add-on of AKS is not supported (R48).
    #[default]
    August2025,
    /// 2025-11-15: the same.
    November2025,
    /// 2026-04-22: the label `istio.io/rev`, too (R50); the add-on is supported (R49), ambient mode is not (R51).
    April2026,
    /// 2026-06-24: the same.
    June2026,
}

/// A text that is no edition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownEdition(String);

/// Every edition, by its date, the oldest first.
const DATES: [(Edition, &str); 4] = [
    (Edition::August2025, "2025-08-25"),
    (Edition::November2025, "2025-11-15"),
    (Edition::April2026, "2026-04-22"),
    (Edition::June2026, "2026-06-24"),
];

impl Edition {
    /// Whether revisions of Istio count: their label, and the add-on of AKS, which always has one (R49, R50).
    pub fn knows_revisions(self) -> bool {
        self >= Self::April2026
    }

    /// The label, with its value, for which the gateway speaks mutual TLS of Istio to every service of a namespace (R17, R50).
    ///
    /// Where both stand, Istio's own precedence decides: its injector looks at `istio.io/rev` only where `istio-injection` is not
    /// set at all, so that `istio-injection: disabled` wins.
    pub fn mesh_label(self, labels: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
        let (injection, enabled) = ISTIO_INJECTION;
        match labels.get(injection) {
            Some(value) => (value == enabled).then_some((injection, value.as_str())),
            None => {
                let revision = labels.get(ISTIO_REVISION).filter(|revision| !revision.is_empty());
                revision
                    .filter(|_| self.knows_revisions())
                    .map(|revision| (ISTIO_REVISION, revision.as_str()))
            }
        }
    }

    /// Whether a namespace asks for ambient mode and for nothing that means mutual TLS: that is to be told (R51).
    pub fn is_ambient_only(self, labels: &BTreeMap<String, String>) -> bool {
        let (label, value) = AMBIENT;
        let asks = labels.get(label).is_some_and(|asked| asked == value);
        asks && self.knows_revisions() && self.mesh_label(labels).is_none()
    }
}

impl FromStr for Edition {
    type Err = UnknownEdition;

    fn from_str(text: &str) -> Result<Self, UnknownEdition> {
        let known = DATES.iter().find(|(_, date)| *date == text);
        known.map(|(edition, _)| *edition).ok_or_else(|| UnknownEdition(text.to_owned()))
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = DATES.iter().find(|(edition, _)| edition == self).map(|(_, date)| *date);
        f.write_str(date.unwrap_or_default())
    }
}

impl fmt::Display for UnknownEdition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = DATES.iter().map(|(_, date)| *date).collect();
        write!(f, "there is no edition {} of the document; known: {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownEdition {}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(edition: &str, labels: &[(&str, &str)]) -> Option<String> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let edition: Edition = edition.parse().unwrap();
        edition.mesh_label(&labels).map(|(key, value)| format!("{key}: {value}"))
    }

    #[test]
    fn editions_are_read_as_they_are_written() {
        for (edition, date) in DATES {
            assert_eq!((date.parse(), edition.to_string().as_str()), (Ok(edition), date));
        }
        let error = "2026-01-01".parse::<Edition>().unwrap_err().to_string();
        assert!(error.contains("2026-01-01") && error.contains("2026-06-24"), "{error}");
    }

    #[test]
    fn either_label_means_mutual_tls_and_the_older_one_decides() {
        let (enabled, disabled) = (("istio-injection", "enabled"), ("istio-injection", "disabled"));
        let revision = ("istio.io/rev", "asm-1-27");
        for (labels, first, newest) in [
            (&[][..], None, None),
            (&[enabled], Some("istio-injection: enabled"), Some("istio-injection: enabled")),
            (&[disabled], None, None),
            (&[revision], None, Some("istio.io/rev: asm-1-27")),
            (&[("istio.io/rev", "")], None, None),
            (&[enabled, revision], Some("istio-injection: enabled"), Some("istio-injection: enabled")),
            (&[disabled, revision], None, None),
            (&[("istio-injection", "Enabled"), revision], None, None),
        ] {
            assert_eq!(label("2025-08-25", labels).as_deref(), first, "{labels:?}");
            assert_eq!(label("2025-11-15", labels).as_deref(), first, "{labels:?}");
            assert_eq!(label("2026-04-22", labels).as_deref(), newest, "{labels:?}");
            assert_eq!(label("2026-06-24", labels).as_deref(), newest, "{labels:?}");
        }
    }

    #[test]
    fn ambient_mode_is_told_where_nothing_else_is_asked_for() {
        let ambient = ("istio.io/dataplane-mode".to_owned(), "ambient".to_owned());
        let alone = BTreeMap::from([ambient.clone()]);
        let beside = BTreeMap::from([ambient, ("istio.io/rev".to_owned(), "asm-1-27".to_owned())]);
        assert!(!Edition::August2025.is_ambient_only(&alone), "that edition says nothing of it");
        assert!(Edition::June2026.is_ambient_only(&alone));
        assert!(!Edition::June2026.is_ambient_only(&beside));
        assert!(!Edition::June2026.is_ambient_only(&BTreeMap::new()));
    }
}
