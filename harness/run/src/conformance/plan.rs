//! What the suite would do, as it says itself (`suite plan`), and which of its tests are meant.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Everything the suite knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Plan {
    /// Its version, which is the Gateway API's.
    pub version: String,
    /// What is there for all tests.
    pub base: Made,
    /// Profiles, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// All tests.
    pub tests: Vec<Planned>,
}

/// What manifests make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Made {
    /// Images that their pods run, whole references.
    pub images: Vec<String>,
    /// Their objects.
    pub objects: Vec<Object>,
}

/// An object of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it has one.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// A conformance profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Profile {
    /// Features that everybody has who claims it.
    pub core: Vec<String>,
    /// Features that may be claimed.
    pub extended: Vec<String>,
}

/// A test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Planned {
    /// Its short name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The features that it needs, all of them.
    pub features: Vec<String>,
    /// What it makes.
    #[serde(rename = "makes")]
    pub made: Made,
}

/// What is asked of a suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Profiles.
    pub profiles: Vec<String>,
    /// Only these tests; all if empty.
    pub names: Vec<String>,
    /// Features that are claimed.
    pub features: BTreeSet<String>,
}

/// What the suite will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Tests that run.
    pub tests: Vec<Planned>,
    /// Tests of the profiles about features that are not claimed.
    pub unclaimed: Vec<Planned>,
}

impl Plan {
    /// Reads what `suite plan` prints.
    ///
    /// # Errors
    /// It is not that.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Which tests run if this is asked.
    ///
    /// # Errors
    /// A profile or a test that there is not, or a test that is about a feature that is not claimed, by name.
    pub fn select(&self, asked: &Asked) -> Result<Selection, String> {
        let mut claimed = asked.features.clone();
        let mut known = BTreeSet::new();
        for name in &asked.profiles {
            let Some(profile) = self.profiles.get(name) else {
                let all: Vec<_> = self.profiles.keys().map(String::as_str).collect();
                return Err(format!("there is no profile {name}; there are {}", all.join(", ")));
            };
            claimed.extend(profile.core.iter().cloned());
            known.extend(profile.core.iter().chain(&profile.extended).cloned());
        }
        for name in &asked.names {
            let Some(test) = self.tests.iter().find(|test| test.name == *name) else {
                let all: Vec<&str> = self.tests.iter().map(|test| test.name.as_str()).collect();
                let near = meshproof_model::scenario::node::closest(name, &all);
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                return Err(format!("the suite has no test {name}{near}"));
            };
            if let Some(feature) = test.features.iter().find(|feature| !claimed.contains(*feature)) {
                return Err(format!(
                    "{name} is about {feature}, which neither the profiles {} hold as core nor the gateway claims",
                    asked.profiles.join(", ")
                ));
            }
        }
        let named = |test: &&Planned| asked.names.is_empty() || asked.names.contains(&test.name);
        // As the suite has it: whatever is claimed is put to the test, whether or not the profiles count it.
        let (tests, others): (Vec<_>, Vec<_>) = self
            .tests
            .iter()
            .filter(named)
            .cloned()
            .partition(|test| test.features.iter().all(|feature| claimed.contains(feature)));
        let of_profiles = |test: &Planned| test.features.iter().all(|feature| known.contains(feature));
        Ok(Selection { tests, unclaimed: others.into_iter().filter(of_profiles).collect() })
    }
}

impl Selection {
    /// What is made, by what all tests share and by those that run.
    fn made<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Made> {
        std::iter::once(&plan.base).chain(self.tests.iter().map(|test| &test.made))
    }

    /// The images that its pods run.
    pub fn images(&self, plan: &Plan) -> BTreeSet<String> {
        self.made(plan).flat_map(|made| &made.images).cloned().collect()
    }

    /// The namespaces that it makes.
    pub fn namespaces(&self, plan: &Plan) -> BTreeSet<String> {
        let objects = self.made(plan).flat_map(|made| &made.objects);
        objects.filter(|object| object.kind == "Namespace").map(|object| object.name.clone()).collect()
    }

    /// Other objects that it makes in no namespace: kind and name.
    pub fn cluster_wide(&self, plan: &Plan) -> BTreeSet<(String, String)> {
        let objects = self.made(plan).flat_map(|made| &made.objects);
        let of_no_namespace =
            objects.filter(|object| object.namespace.is_none() && object.kind != "Namespace");
        of_no_namespace.map(|object| (object.kind.clone(), object.name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"{"version": "v1.6.3",
        "base": {"images": ["r/echo:1"], "objects": [{"apiVersion": "v1", "kind": "Namespace", "name": "infra"}]},
        "profiles": {"GATEWAY-HTTP": {"core": ["Gateway", "HTTPRoute"], "extended": ["Cors", "Mirror"]},
                     "GATEWAY-GRPC": {"core": ["Gateway", "GRPCRoute"], "extended": []}},
        "tests": [
          {"name": "Simple", "description": "", "features": ["Gateway", "HTTPRoute"], "provisional": false,
           "makes": {"images": [], "objects": [{"apiVersion": "g/v1", "kind": "HTTPRoute", "namespace": "infra", "name": "a"}]}},
          {"name": "Cors", "description": "", "features": ["Gateway", "Cors"], "provisional": false,
           "makes": {"images": ["r/echo:2"], "objects": [{"apiVersion": "g/v1", "kind": "GatewayClass", "name": "c"}]}},
          {"name": "Mirror", "description": "", "features": ["Mirror"], "provisional": false, "makes": {"images": [], "objects": []}},
          {"name": "Grpc", "description": "", "features": ["GRPCRoute"], "provisional": false, "makes": {"images": [], "objects": []}}]}"#;

    fn asked(profiles: &[&str], names: &[&str], features: &[&str]) -> Asked {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Asked {
            profiles: texts(profiles),
            names: texts(names),
            features: texts(features).into_iter().collect(),
        }
    }

    fn selected(profiles: &[&str], names: &[&str], features: &[&str]) -> Result<(String, String), String> {
        let names_of =
            |tests: &[Planned]| tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>().join(" ");
        let selection = Plan::read(PLAN).unwrap().select(&asked(profiles, names, features))?;
        Ok((names_of(&selection.tests), names_of(&selection.unclaimed)))
    }

    #[test]
    fn what_is_core_or_claimed_runs_and_the_rest_of_the_profiles_is_told() {
        let both = |tests: &str, others: &str| Ok((tests.to_owned(), others.to_owned()));
        assert_eq!(selected(&["GATEWAY-HTTP"], &[], &["Cors"]), both("Simple Cors", "Mirror"));
        assert_eq!(selected(&["GATEWAY-HTTP"], &[], &["GRPCRoute"]), both("Simple Grpc", "Cors Mirror"));
        assert_eq!(selected(&["GATEWAY-HTTP"], &["Simple"], &["Cors"]), both("Simple", ""));
    }

    #[test]
    fn what_there_is_not_is_refused_by_name() {
        let why = |profiles: &[&str], names: &[&str]| selected(profiles, names, &[]).unwrap_err();
        assert!(why(&["GATEWAY-FTP"], &[]).contains("GATEWAY-GRPC, GATEWAY-HTTP"));
        assert!(why(&["GATEWAY-HTTP"], &["Simpel"]).contains("did you mean Simple?"));
        assert!(why(&["GATEWAY-HTTP"], &["Cors"]).contains("about Cors"));
    }

    #[test]
    fn what_it_makes_is_known_beforehand() {
        let plan = Plan::read(PLAN).unwrap();
        let selection = plan.select(&asked(&["GATEWAY-HTTP"], &[], &["Cors"])).unwrap();
        assert_eq!(selection.images(&plan), ["r/echo:1".to_owned(), "r/echo:2".to_owned()].into());
        assert_eq!(selection.namespaces(&plan), ["infra".to_owned()].into());
        assert_eq!(selection.cluster_wide(&plan), [("GatewayClass".to_owned(), "c".to_owned())].into());
    }
}
