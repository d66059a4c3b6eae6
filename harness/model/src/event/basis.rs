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

/// Something that two runs rest on differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Different {
    /// What, in words: `the digest of chart alb-controller`.
    pub what: String,
    /// Its value for the one.
    pub one: String,
    /// For the other.
    pub two: String,
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

    /// Where two rest on different things, in a sentence about the first of them; what only one of them knows is no difference.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let Different { what, one, two } = self.differences(other).into_iter().next()?;
        Some(format!("{what} is {one} in one and {two} in the other"))
    }

    /// Everything that two rest on differently; what only one of them knows is no difference.
    pub fn differences(&self, other: &Self) -> Vec<Different> {
        let mut all = Vec::new();
        let mut compare = |what: String, one: &DigestSet, two: &DigestSet| {
            if !one.agrees(two) {
                all.push(Different { what, one: one.to_string(), two: two.to_string() });
            }
        };
        let text = |text: &str| DigestSet::from(text.to_owned());
        let (one, two) = (&self.harness, &other.harness);
        compare("the version of meshproof".into(), &text(&one.version), &text(&two.version));
        compare("the digest of meshproof's source".into(), &text(&one.source), &text(&two.source));
        let (one, two) = (&self.digests, &other.digests);
        compare("the digest of the implementation file".into(), &one.implementation, &two.implementation);
        for (what, one, two) in [
            ("chart", &one.charts, &two.charts),
            ("image", &one.images, &two.images),
            ("the running image", &one.running, &two.running),
            ("scenario", &one.scenarios, &two.scenarios),
        ] {
            for (name, digests) in one {
                if let Some(others) = two.get(name) {
                    compare(format!("the digest of {what} {name}"), digests, others);
                }
            }
        }
        if let (Some(one), Some(two)) = (&self.mesh, &other.mesh) {
            compare("the mesh's trust domain".into(), &text(&one.trust_domain), &text(&two.trust_domain));
            compare("the mesh's revision".into(), &text(&one.revision), &text(&two.revision));
        }
        compare("the digest of the mesh's configuration".into(), &one.mesh, &two.mesh);
        all
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
            assert_eq!(basis().differences(&other).len(), 1, "{what}");
        }
    }

    #[test]
    fn every_difference_is_told() {
        let mut other = basis();
        other.harness.source = "sha256:0".into();
        other.digests.charts = named("gateway", "sha256:0");
        other.digests.running = named("proxy", "sha256:0");
        let whats: Vec<String> = basis().differences(&other).into_iter().map(|one| one.what).collect();
        assert_eq!(
            whats,
            [
                "the digest of meshproof's source",
                "the digest of chart gateway",
                "the digest of the running image proxy"
            ]
        );
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
