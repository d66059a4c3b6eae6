//! What of a gateway is put into a cluster, and what of it is there already.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

/// One helm release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Name of the release.
    pub name: String,
    /// Chart: a directory, `${charts.<name>}` for one that comes with a pinned module, or what `helm install` takes.
    pub chart: String,
    /// Version of the chart.
    pub version: String,
    /// Namespace of the release; created if missing.
    pub namespace: String,
    /// Values, as an object. May hold `${images.<name>}`, and `.repository` or `.tag` of it.
    pub values: Value,
    /// The value by which its chart is told an edition of the document; nothing for one that knows none.
    pub edition: Option<EditionValue>,
    /// Its pods are injected by Istio, so Istio comes first. A service-mesh extension, in other words.
    pub in_mesh: bool,
    /// Deployments (namespace, name) whose readiness means that the release is.
    pub deployments: Vec<(String, String)>,
}

impl Release {
    /// Whether its version is one under which the document installs it in another edition than the chart's own.
    pub fn is_of_another_edition(&self) -> bool {
        self.edition.as_ref().is_some_and(|value| value.versions.values().any(|known| *known == self.version))
    }
}

/// A value of a chart that names an edition of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditionValue {
    /// The value's name.
    pub value: String,
    /// The edition that the chart follows without it.
    pub default: String,
    /// Versions under which the document installs the chart in other editions, by edition.
    pub versions: BTreeMap<String, String>,
}

/// Plain manifests that are applied together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    /// The files, or folders of them. May hold `${images.<name>}`.
    pub files: Vec<PathBuf>,
    /// Namespace of the objects that name none.
    pub namespace: Option<String>,
    /// Its pods are injected by Istio, so Istio comes first.
    pub in_mesh: bool,
    /// Deployments (namespace, name) whose readiness means that it is installed.
    pub deployments: Vec<(String, String)>,
}

/// What must be there of a gateway that somebody else has installed, beside its GatewayClass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Deployments (namespace, name), ready.
    pub deployments: Vec<(String, String)>,
    /// Resource definitions, by name.
    pub definitions: Vec<String>,
}

impl Manifests {
    /// The files themselves, in order: those of folders by name.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for path in &self.files {
            if !path.is_dir() {
                all.push(path.clone());
                continue;
            }
            let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
            let mut below = entries.collect::<std::io::Result<Vec<_>>>()?;
            below.retain(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml"));
            below.sort();
            all.extend(below);
        }
        Ok(all)
    }

    /// Everything that they say, document after document.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn text(&self) -> std::io::Result<String> {
        let texts = self.paths()?.into_iter().map(std::fs::read_to_string);
        Ok(texts.collect::<std::io::Result<Vec<_>>>()?.join("\n---\n"))
    }
}
