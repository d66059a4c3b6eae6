//! Kinds beyond the list: those that a manifest defines, those that a cluster tells of, and those that are taken for granted until
//! one does.
//!
//! A kind is a name, not a fact about one cluster: learned once, it is known for as long as the program runs. Which cluster has it
//! is asked of that cluster.

use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use super::Kind;

static LEARNED: RwLock<Vec<&'static Kind>> = RwLock::new(Vec::new());

/// What a cluster, or a definition, says of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// API group; empty for the core.
    pub group: String,
    /// Version to read.
    pub version: String,
    /// Kind as manifests spell it.
    pub kind: String,
    /// Plural, as in URLs.
    pub plural: String,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
}

impl Told {
    /// What a CustomResourceDefinition defines, if it is one.
    pub fn by_definition(object: &Value) -> Option<Self> {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let versions = spec["versions"].as_array()?;
        let served = |version: &&Value| version["served"] != false;
        let stored = versions.iter().find(|version| version["storage"] == true && served(version));
        let version = stored.or_else(|| versions.iter().find(served))?;
        (object["kind"] == "CustomResourceDefinition").then_some(())?;
        Some(Self {
            group: text(&spec["group"])?,
            version: text(&version["name"])?,
            kind: text(&spec["names"]["kind"])?,
            plural: text(&spec["names"]["plural"])?,
            namespaced: spec["scope"] != "Cluster",
        })
    }

    /// Whether a kind that is taken for granted is this one.
    pub fn is(&self, kind: &Kind) -> bool {
        self.group.eq_ignore_ascii_case(kind.group)
            && [&self.kind, &self.plural].into_iter().any(|name| name.eq_ignore_ascii_case(kind.kind))
    }

    /// How scenarios call it: its name and its group.
    pub fn word(&self) -> String {
        match self.group.is_empty() {
            true => self.kind.to_lowercase(),
            false => format!("{}.{}", self.kind.to_lowercase(), self.group),
        }
    }
}

/// The first learned kind that fits; those that are known before those taken for granted.
pub(super) fn find(fits: impl Fn(&Kind) -> bool) -> Option<&'static Kind> {
    let learned = LEARNED.read().unwrap_or_else(PoisonError::into_inner);
    let fitting = || learned.iter().copied().filter(|kind| fits(kind));
    fitting().find(|kind| !kind.assumed).or_else(|| fitting().next())
}

/// Remembers a kind. What is known of it already stands, but for what was taken for granted.
pub fn learn(told: &Told) -> &'static Kind {
    let same = |kind: &Kind| kind.group == told.group && kind.kind == told.kind && !kind.assumed;
    let listed = || super::KINDS.iter().find(|kind| same(kind));
    listed().or_else(|| find(same)).unwrap_or_else(|| keep(told, told.word(), false))
}

/// A kind that nothing is known of but how it is called; the rest is as it is with most kinds, until a cluster tells.
pub(super) fn assume(group: &str, version: &str, name: &str) -> &'static Kind {
    let plural = plural(&name.to_lowercase());
    let told = Told {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: name.to_owned(),
        plural,
        namespaced: true,
    };
    let same = |kind: &Kind| told.is(kind) && (version.is_empty() || kind.version == version);
    find(same).unwrap_or_else(|| keep(&told, told.word(), true))
}

/// Kinds are few, and each is kept once.
fn keep(told: &Told, word: String, assumed: bool) -> &'static Kind {
    let forever = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let kind: &'static Kind = Box::leak(Box::new(Kind {
        word: forever(&word),
        group: forever(&told.group),
        version: forever(&told.version),
        kind: forever(&told.kind),
        plural: forever(&told.plural),
        namespaced: told.namespaced,
        assumed,
    }));
    LEARNED.write().unwrap_or_else(PoisonError::into_inner).push(kind);
    kind
}

/// The plural that names of this form have.
fn plural(name: &str) -> String {
    match name.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        Some(stem) => format!("{stem}ies"),
        None if name.ends_with(['s', 'x']) || name.ends_with("ch") || name.ends_with("sh") => {
            format!("{name}es")
        }
        None => format!("{name}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(group: &str, kind: &str, namespaced: bool) -> Told {
        let plural = plural(&kind.to_lowercase());
        Told { group: group.into(), version: "v1".into(), kind: kind.into(), plural, namespaced }
    }

    #[test]
    fn what_is_learned_is_called_by_its_name_and_its_group() {
        let kind = learn(&told("learned.example", "Policy", false));
        assert_eq!((kind.word, kind.plural, kind.namespaced), ("policy.learned.example", "policies", false));
        for word in ["policy.learned.example", "Policies.learned.example", "policies.LEARNED.example"] {
            assert_eq!(Kind::by_word(word), Some(kind), "{word}");
        }
        assert_eq!(Kind::by_word("policy"), None);
        assert_eq!(Kind::of("learned.example/v2", "Policy"), Some(kind));
        assert_eq!(Kind::of_kubectl("policy.learned.example"), Some(kind));
        assert!(std::ptr::eq(learn(&told("learned.example", "Policy", false)), kind), "once");
        assert!(std::ptr::eq(learn(&told("apps", "Deployment", true)), Kind::by_word("deployment").unwrap()));
    }

    #[test]
    fn what_is_taken_for_granted_gives_way_to_what_is_known() {
        let granted = assume("granted.example", "", "widgets");
        assert!(granted.assumed && granted.namespaced);
        assert!(std::ptr::eq(assume("granted.example", "", "widgets"), granted), "once");
        let told = told("granted.example", "Widget", false);
        assert!(told.is(granted));
        let known = learn(&told);
        assert_eq!(Kind::by_word("widgets.granted.example"), Some(known));
        assert!(!assume("granted.example", "v1", "Widget").assumed);
    }

    #[test]
    fn a_definition_tells_of_its_kind() {
        let mut definition = json!({
            "kind": "CustomResourceDefinition",
            "spec": {
                "group": "defined.example",
                "names": {"kind": "Box", "plural": "boxes"},
                "scope": "Cluster",
                "versions": [
                    {"name": "v1", "served": true, "storage": false},
                    {"name": "v2", "served": true, "storage": true},
                ],
            },
        });
        let told = Told::by_definition(&definition).unwrap();
        assert_eq!((told.word().as_str(), told.version.as_str()), ("box.defined.example", "v2"));
        assert_eq!((told.plural.as_str(), told.namespaced), ("boxes", false));
        definition["spec"]["versions"][1]["served"] = false.into();
        assert_eq!(Told::by_definition(&definition).unwrap().version, "v1");
        definition["kind"] = "Deployment".into();
        assert_eq!(Told::by_definition(&definition), None);
    }
}
