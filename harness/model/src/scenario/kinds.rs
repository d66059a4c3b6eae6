//! The kinds of objects that scenarios speak of, and how they call them: as kubectl does.

pub mod learned;
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
    /// Whether all this is taken for granted, until a cluster tells: scenarios may speak of what nobody here knows.
    pub assumed: bool,
}

impl Kind {
    /// The kind that is called by this word, in any case: `gateway`, `gateways`, or either with its group, which tells kinds of
    /// one name apart: `gateways.networking.istio.io`.
    pub fn by_word(word: &str) -> Option<&'static Self> {
        let called = |kind: &&Self| kind.word.eq_ignore_ascii_case(word);
        let listed = KINDS.iter().find(called).or_else(|| KINDS.iter().find(|kind| kind.is_called(word)));
        listed.or_else(|| learned::find(|kind| called(&kind) || kind.is_called(word)))
    }

    /// Whether it is one of the list, which every cluster that this program is for has, or may be given.
    pub fn is_listed(&self) -> bool {
        KINDS.iter().any(|kind| kind == self)
    }

    /// Whether a longer word than its own means it.
    fn is_called(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').map_or((word, None), |(name, group)| (name, Some(group)));
        let is_named = name.eq_ignore_ascii_case(self.plural) || name.eq_ignore_ascii_case(self.kind);
        is_named
            && group.map_or_else(|| !self.word.contains('.'), |group| group.eq_ignore_ascii_case(self.group))
    }

    /// The kind that is called by this word, for which a cluster may stand if it has a group: `widget.example.com`.
    fn by_word_or_assumed(word: &str) -> Option<&'static Self> {
        let assumed = || {
            let (name, group) = word.split_once('.')?;
            let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let sound = is_name(name)
                && group.contains('.')
                && group.split('.').all(|part| !part.is_empty() && is_name(part));
            let sound = sound && !name.is_empty() && !Self::is_misspelt(group, name);
            sound.then(|| learned::assume(&group.to_ascii_lowercase(), "", name))
        };
        Self::by_word(word).or_else(assumed)
    }

    /// The kind of a manifest, for which a cluster may stand if it has a group of its own.
    pub fn of_or_assumed(api_version: &str, kind: &str) -> Option<&'static Self> {
        let assumed = || {
            let (group, version) = api_version.split_once('/')?;
            // Kubernetes' own groups without a dot are all in the list.
            let sound = group.contains('.') && !Self::is_misspelt(group, kind);
            sound.then(|| learned::assume(group, version, kind))
        };
        Self::of(api_version, kind).or_else(assumed)
    }

    /// Whether a name is all but that of a kind in the list, in its group: a slip, not a kind that only a cluster knows.
    fn is_misspelt(group: &str, name: &str) -> bool {
        let of_group = KINDS.iter().filter(|kind| kind.group.eq_ignore_ascii_case(group));
        let names: Vec<String> =
            of_group.flat_map(|kind| [kind.kind.to_lowercase(), kind.plural.to_owned()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        closest(&name.to_lowercase(), &names).is_some()
    }

    /// The kind that kubectl means by what stands before the slash in `gateway.gateway.networking.k8s.io/gateway-01 created`.
    pub fn of_kubectl(resource: &str) -> Option<&'static Self> {
        let (name, group) = resource.split_once('.').unwrap_or((resource, ""));
        let is_it = |kind: &Self| kind.group == group && kind.kind.eq_ignore_ascii_case(name);
        KINDS.iter().find(|kind| is_it(kind)).or_else(|| learned::find(is_it))
    }

    /// What is wrong with a word or a kind that is not known, with the nearest that is.
    pub fn unknown(place: &Span, what: String, word: &str) -> Problem {
        let words: Vec<_> = KINDS.iter().map(|kind| kind.word).collect();
        let problem = place.problem(what);
        match closest(&word.to_ascii_lowercase(), &words) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem.help(format!(
                "known kinds: {}; others with their group, e.g. widget.example.com/a",
                words.join(", ")
            )),
        }
    }

    /// The kind of a manifest.
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let is_it = |known: &Self| known.group == group && known.kind == kind;
        KINDS.iter().find(|known| is_it(known)).or_else(|| learned::find(is_it))
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
        let kind = Self::by_word_or_assumed(word)
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
    fn what_only_a_cluster_may_know_has_a_group_and_is_no_slip() {
        let word = |word: &str| Kind::by_word_or_assumed(word).map(|kind| kind.assumed);
        assert_eq!(word("widgets.only.example"), Some(true));
        assert_eq!(word("deployments.apps"), Some(false));
        for none in [
            "widget",
            "widget.",
            ".only.example",
            "a b.only.example",
            "widget.apps",
            "gatewys.networking.istio.io",
        ] {
            assert_eq!(word(none), None, "{none}");
        }
        let of = |version: &str, kind: &str| Kind::of_or_assumed(version, kind).map(|kind| kind.word);
        assert_eq!(of("only.example/v1", "Gadget"), Some("gadget.only.example"));
        assert_eq!(of("gateway.networking.k8s.io/v1", "HTTPRout"), None);
        assert_eq!((of("v1", "Gadget"), of("apps/v1", "Gadget")), (None, None));
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
