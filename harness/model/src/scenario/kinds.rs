//! The kinds of objects that scenarios speak of, and how they call them: as kubectl does.

mod shipped;

use super::node::{Node, Problem, Span, closest};
pub use shipped::KINDS;

/// A kind of object.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// How scenarios call it, as kubectl does: `gateway/gateway-01`.
    pub word: &'static str,
    /// API group; empty for the core.
    pub group: &'static str,
    /// Version to read; an object is written in the version its manifest names.
    pub version: &'static str,
    /// Kind as manifests spell it.
    pub kind: &'static str,
    /// Plural, as in URLs.
    pub plural: &'static str,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
}

impl Kind {
    /// The kind that is called by this word, in any case: `gateway`, `gateways`, or either with its group, which tells kinds of
    /// one name apart: `gateways.networking.istio.io`.
    pub fn by_word(word: &str) -> Option<&'static Self> {
        let called = |kind: &&Self| kind.word.eq_ignore_ascii_case(word);
        KINDS.iter().find(called).or_else(|| KINDS.iter().find(|kind| kind.is_called(word)))
    }

    /// Whether a longer word than its own means it.
    fn is_called(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').map_or((word, None), |(name, group)| (name, Some(group)));
        let is_named = name.eq_ignore_ascii_case(self.plural) || name.eq_ignore_ascii_case(self.kind);
        is_named
            && group.map_or_else(|| !self.word.contains('.'), |group| group.eq_ignore_ascii_case(self.group))
    }

    /// The kind that kubectl means by what stands before the slash in `gateway.gateway.networking.k8s.io/gateway-01 created`.
    pub fn of_kubectl(resource: &str) -> Option<&'static Self> {
        let (name, group) = resource.split_once('.').unwrap_or((resource, ""));
        KINDS.iter().find(|kind| kind.group == group && kind.kind.eq_ignore_ascii_case(name))
    }

    /// What is wrong with a word or a kind that is not known, with the nearest that is.
    pub fn unknown(place: &Span, what: String, word: &str) -> Problem {
        let words: Vec<_> = KINDS.iter().map(|kind| kind.word).collect();
        let problem = place.problem(what);
        match closest(&word.to_ascii_lowercase(), &words) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem.help(format!("known kinds: {}", words.join(", "))),
        }
    }

    /// The kind of a manifest.
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        KINDS.iter().find(|known| known.group == group && known.kind == kind)
    }

    /// Reads `kind/name`.
    ///
    /// # Errors
    /// Not of that form, or a kind that is not known.
    pub fn and_name(node: &Node) -> Result<(&'static Self, String), Problem> {
        let text = node.text()?;
        let Some((word, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
            return Err(node
                .problem(format!("expected kind/name, found `{text}`"))
                .help("e.g. gateway/gateway-01"));
        };
        let kind = Self::by_word(word)
            .ok_or_else(|| Self::unknown(&node.span, format!("unknown kind `{word}`"), word))?;
        Ok((kind, name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_word_and_a_place_of_its_own() {
        let words: BTreeSet<_> = KINDS.iter().map(|kind| kind.word).collect();
        assert_eq!(words.len(), KINDS.len());
        let places: BTreeSet<_> = KINDS.iter().map(|kind| (kind.group, kind.plural)).collect();
        assert_eq!(places.len(), KINDS.len());
        for kind in KINDS {
            let name = kind.word.split('.').next().unwrap();
            assert_eq!(name, kind.kind.to_lowercase(), "{}", kind.word);
            let version = if kind.group.is_empty() {
                kind.version.to_owned()
            } else {
                format!("{}/{}", kind.group, kind.version)
            };
            assert_eq!(Kind::of(&version, kind.kind), Some(kind));
            for word in [
                kind.word.to_owned(),
                kind.kind.to_owned() + "." + kind.group,
                kind.plural.to_owned() + "." + kind.group,
            ] {
                let word = word.trim_end_matches('.');
                assert_eq!(Kind::by_word(word), Some(kind), "{word}");
            }
        }
    }

    #[test]
    fn kinds_of_one_name_are_told_apart_by_their_group() {
        let group = |word: &str| Kind::by_word(word).map(|kind| kind.group);
        assert_eq!(group("gateway"), Some("gateway.networking.k8s.io"));
        assert_eq!(group("Gateways"), Some("gateway.networking.k8s.io"));
        assert_eq!(group("gateways.networking.istio.io"), Some("networking.istio.io"));
        assert_eq!(group("gateway.networking.istio.io"), Some("networking.istio.io"));
        assert_eq!(group("cronjobs"), Some("batch"));
        assert_eq!(group("cronjobs.apps"), None);
        let of_kubectl = |resource: &str| Kind::of_kubectl(resource).map(|kind| kind.word);
        assert_eq!(of_kubectl("gateway.networking.istio.io"), Some("gateway.networking.istio.io"));
        assert_eq!(of_kubectl("gateway.gateway.networking.k8s.io"), Some("gateway"));
        assert_eq!((of_kubectl("service"), of_kubectl("service.example")), (Some("service"), None));
    }
}
