//! What a run rests on: what was under test, on what, by which judge. By content, so that two reports can be told apart that
//! only look as if they were about the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The judge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harness {
    /// Its version.
    pub version: String,
    /// Digest of the sources it was made of.
    pub source: String,
}

/// The mesh, as its control plane is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshInfo {
    /// Namespace of the control plane.
    pub namespace: String,
    /// Its revision.
    pub revision: String,
    /// The trust domain of its identities.
    pub trust_domain: String,
}

/// Several digests of one thing, if it was not the same all the time; most often one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct DigestSet(BTreeSet<String>);

impl DigestSet {
    /// Whether all of one is in the other: a part of a run need not have seen everything.
    fn agrees(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0) || other.0.is_subset(&self.0)
    }
}

impl From<String> for DigestSet {
    fn from(text: String) -> Self {
        Self(text.split(", ").filter(|digest| !digest.is_empty()).map(str::to_owned).collect())
    }
}

impl From<DigestSet> for String {
    fn from(DigestSet(digests): DigestSet) -> Self {
        digests.into_iter().collect::<Vec<_>>().join(", ")
    }
}

impl std::fmt::Display for DigestSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(self.clone()))
    }
}

/// Digests by the name of what they are of.
pub type Named = BTreeMap<String, DigestSet>;

/// Digests (`sha256:…`) of what was put to the test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The implementation file.
    #[serde(default)]
    pub implementation: DigestSet,
    /// Each scenario: all files of its folder, and all others it reads.
    #[serde(default)]
    pub scenarios: Named,
    /// The chart of each release: all its files.
    #[serde(default)]
    pub charts: Named,
    /// Images as they were built or pulled, by name: echo backend, the gateway's programs, the node's.
    #[serde(default)]
    pub images: Named,
    /// Images that the implementation's pods ran, as their nodes say.
    #[serde(default)]
    pub running: Named,
    /// The mesh's configuration and that of its injection.
    #[serde(default)]
    pub mesh: DigestSet,
}

/// What a run rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The judge.
    #[serde(default)]
    pub harness: Harness,
    /// The mesh; nothing if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshInfo>,
    /// Digests of everything else.
    #[serde(default)]
    pub digests: Digests,
}

impl Basis {
    /// Takes in what another part of the same run knows.
    pub fn add(&mut self, other: &Self) {
        if self.harness == Harness::default() {
            self.harness.clone_from(&other.harness);
        }
        self.mesh = self.mesh.take().or_else(|| other.mesh.clone());
        let (own, more) = (&mut self.digests, &other.digests);
        own.implementation.0.extend(more.implementation.0.iter().cloned());
        own.mesh.0.extend(more.mesh.0.iter().cloned());
        for (own, more) in [
            (&mut own.scenarios, &more.scenarios),
            (&mut own.charts, &more.charts),
            (&mut own.images, &more.images),
            (&mut own.running, &more.running),
        ] {
            for (name, digests) in more {
                own.entry(name.clone()).or_default().0.extend(digests.0.iter().cloned());
            }
        }
    }

    /// Where two rest on different things; what only one of them knows is no difference.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let differs = |what: &str, one: &str, two: &str| {
            let known = !one.is_empty() && !two.is_empty();
            (known && one != two).then(|| format!("{what} is `{one}` in one and `{two}` in the other"))
        };
        let set = |what: &str, one: &DigestSet, two: &DigestSet| {
            (!one.agrees(two)).then(|| format!("{what} is {one} in one and {two} in the other"))
        };
        let named = |what: &str, one: &Named, two: &Named| {
            let both = one.iter().filter_map(|(name, digests)| Some((name, digests, two.get(name)?)));
            both.into_iter()
                .find_map(|(name, one, two)| set(&format!("the digest of {what} {name}"), one, two))
        };
        let mesh = |tell: fn(&MeshInfo) -> &String, what: &str| {
            differs(what, tell(self.mesh.as_ref()?), tell(other.mesh.as_ref()?))
        };
        let (one, two) = (&self.digests, &other.digests);
        differs("the version of meshproof", &self.harness.version, &other.harness.version)
            .or_else(|| {
                differs("the digest of meshproof's source", &self.harness.source, &other.harness.source)
            })
            .or_else(|| {
                set("the digest of the implementation file", &one.implementation, &two.implementation)
            })
            .or_else(|| named("chart", &one.charts, &two.charts))
            .or_else(|| named("image", &one.images, &two.images))
            .or_else(|| named("the running image", &one.running, &two.running))
            .or_else(|| named("scenario", &one.scenarios, &two.scenarios))
            .or_else(|| mesh(|mesh| &mesh.trust_domain, "the mesh's trust domain"))
            .or_else(|| mesh(|mesh| &mesh.revision, "the mesh's revision"))
            .or_else(|| set("the digest of the mesh's configuration", &one.mesh, &two.mesh))
    }

    /// What is known of it, as lines for people: what, and its value.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut line = |what: String, value: String| {
            if !value.is_empty() {
                lines.push((what, value));
            }
        };
        line("meshproof".into(), self.harness.version.clone());
        line("meshproof's source".into(), self.harness.source.clone());
        if let Some(mesh) = &self.mesh {
            let MeshInfo { namespace, revision, trust_domain } = mesh;
            line("mesh".into(), format!("{namespace}, revision {revision}, trust domain {trust_domain}"));
        }
        let digests = &self.digests;
        line("mesh configuration".into(), digests.mesh.to_string());
        line("implementation file".into(), digests.implementation.to_string());
        for (what, named) in [
            ("chart", &digests.charts),
            ("image", &digests.images),
            ("running", &digests.running),
            ("scenario", &digests.scenarios),
        ] {
            named.iter().for_each(|(name, digests)| line(format!("{what} {name}"), digests.to_string()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, digest: &str) -> Named {
        [(name.to_owned(), DigestSet::from(digest.to_owned()))].into()
    }

    fn basis() -> Basis {
        Basis {
            harness: Harness { version: "1".into(), source: "sha256:f".into() },
            mesh: Some(MeshInfo {
                namespace: "istio-system".into(),
                revision: "default".into(),
                trust_domain: "cluster.local".into(),
            }),
            digests: Digests {
                implementation: "sha256:1".to_owned().into(),
                scenarios: named("one", "sha256:2"),
                charts: named("gateway", "sha256:3"),
                images: named("echo", "sha256:4"),
                running: named("proxy", "sha256:5"),
                mesh: "sha256:6".to_owned().into(),
            },
        }
    }

    #[test]
    fn each_difference_is_named() {
        type Change = fn(&mut Basis);
        let changes: [(Change, &str); 10] = [
            (|b| b.harness.version = "9".into(), "version of meshproof"),
            (|b| b.harness.source = "sha256:0".into(), "meshproof's source"),
            (|b| b.digests.implementation = "sha256:0".to_owned().into(), "implementation file"),
            (|b| b.digests.charts = named("gateway", "sha256:0"), "chart gateway"),
            (|b| b.digests.images = named("echo", "sha256:0"), "image echo"),
            (|b| b.digests.running = named("proxy", "sha256:0"), "running image proxy"),
            (|b| b.digests.scenarios = named("one", "sha256:0"), "scenario one"),
            (|b| b.mesh.as_mut().unwrap().trust_domain = "other".into(), "trust domain"),
            (|b| b.mesh.as_mut().unwrap().revision = "other".into(), "revision"),
            (|b| b.digests.mesh = "sha256:0".to_owned().into(), "mesh's configuration"),
        ];
        assert_eq!(basis().difference(&basis()), None);
        for (change, what) in changes {
            let mut other = basis();
            change(&mut other);
            let told = basis().difference(&other).unwrap();
            assert!(told.contains(what) && told.contains("in one and"), "{told}");
            assert!(other.difference(&basis()).is_some());
        }
    }

    #[test]
    fn what_one_did_not_see_is_no_difference() {
        let mut other = basis();
        other.digests.scenarios = named("two", "sha256:9");
        (other.mesh, other.digests.mesh) = (None, DigestSet::default());
        other.digests.running = named("proxy", "sha256:5, sha256:8");
        assert_eq!(basis().difference(&other), None);
        let mut both = basis();
        both.add(&other);
        assert_eq!(both.digests.scenarios.len(), 2);
        assert_eq!(both.digests.running["proxy"].to_string(), "sha256:5, sha256:8");
        assert_eq!(both.mesh, basis().mesh);
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Basis>(&text).unwrap(), both);
    }
}
