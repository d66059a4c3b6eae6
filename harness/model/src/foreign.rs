//! Meshes as strangers have them, as data: how each is set up, and what a run on it has to come to. `proved`, or refused with the
//! name of the setting that is in the way; never a failure of a gateway that did nothing wrong.

mod judge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

pub use judge::{Holdings, Outcome, against};

use crate::yaml;

/// Where the meshes are, below the root of the workspace.
pub const FOLDER: &str = "kind-config/istio/meshes";

/// A mesh.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ForeignMesh {
    /// Its name: that of its file.
    #[serde(skip)]
    pub id: String,
    /// What is different about it, in one line.
    pub about: String,
    /// Namespace of the control plane.
    #[serde(default = "istio_system")]
    pub namespace: String,
    /// Its revision, if it has one.
    #[serde(default)]
    pub revision: Option<String>,
    /// Whether the revision is the default one, too: whether `istio-injection: enabled` means it.
    #[serde(default = "yes")]
    pub is_default: bool,
    /// Whether its people have plugged in an intermediate authority of their own (Secret `cacerts`).
    #[serde(default)]
    pub plugged_in: bool,
    /// Definitions of the Gateway API that the cluster does not have: those of an older version, or of another channel.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// What its people have set: the `spec` of an `IstioOperator`.
    #[serde(default)]
    pub spec: BTreeMap<String, Value>,
    /// Objects that are there before any run.
    #[serde(default)]
    pub objects: Vec<Value>,
    /// Runs on it, and what each comes to.
    pub runs: Vec<Expected>,
}

/// A run, and what it has to come to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The scenario.
    pub scenario: String,
    /// File of the gateway under test, seen from the workspace; the built-in one without it.
    #[serde(default)]
    pub implementation: Option<PathBuf>,
    /// Its exit code.
    pub exit: u8,
    /// What it has to say, each somewhere in its output.
    pub says: Vec<String>,
}

fn istio_system() -> String {
    "istio-system".to_owned()
}

fn yes() -> bool {
    true
}

/// Why there is no such mesh.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct Unreadable {
    /// Its file, or the folder.
    pub file: PathBuf,
    /// What is wrong.
    pub why: String,
}

impl ForeignMesh {
    /// All meshes of a folder, by name.
    ///
    /// # Errors
    /// A file cannot be read or is not understood.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, Unreadable> {
        let unreadable = |file: &Path, why: String| Unreadable { file: file.to_owned(), why };
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error.to_string()))?;
        let mut meshes = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| unreadable(folder, error.to_string()))?.path();
            let Some(id) = file.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_yaml(&file)) else {
                continue;
            };
            let text =
                std::fs::read_to_string(&file).map_err(|error| unreadable(&file, error.to_string()))?;
            let mesh = Self::parse(id, &text).map_err(|why| unreadable(&file, why))?;
            meshes.push(mesh);
        }
        meshes.sort_by(|one: &Self, other| one.id.cmp(&other.id));
        Ok(meshes)
    }

    fn parse(id: &str, text: &str) -> Result<Self, String> {
        let documents: Vec<Self> = yaml::documents(text).map_err(|error| error.to_string())?;
        let [mesh] = <[Self; 1]>::try_from(documents)
            .map_err(|all| format!("{} documents where one was expected", all.len()))?;
        if mesh.runs.is_empty() || mesh.runs.iter().any(|run| run.says.is_empty()) {
            return Err("runs: needs a scenario at least, and for each what is said".to_owned());
        }
        Ok(Self { id: id.to_owned(), ..mesh })
    }

    /// What istioctl is given to install it.
    ///
    /// # Errors
    /// It cannot be written as YAML.
    pub fn operator(&self) -> Result<String, yaml::Error> {
        yaml::to_string(&serde_json::json!({
            "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": self.spec,
        }))
    }
}

fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Vec<ForeignMesh> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join(FOLDER);
        ForeignMesh::load_all(&folder).unwrap()
    }

    #[test]
    fn the_meshes_of_this_workspace_are_well_formed_and_end_well_or_are_refused() {
        let meshes = shipped();
        for mesh in &meshes {
            for run in &mesh.runs {
                assert!([0, 3].contains(&run.exit), "{}, {}: exit {}", mesh.id, run.scenario, run.exit);
            }
            mesh.operator().unwrap();
        }
        let ended = |exit| meshes.iter().flat_map(|mesh| &mesh.runs).filter(|run| run.exit == exit).count();
        assert!(ended(0) >= 5 && ended(3) >= 5, "{} are proved, {} refused", ended(0), ended(3));
    }

    #[test]
    fn what_is_meant_and_what_is_not_is_told_apart() {
        let runs = "runs: [{scenario: one, exit: 0, says: [proved]}]\n";
        let mesh = ForeignMesh::parse("m", &format!("about: a mesh\n{runs}")).unwrap();
        assert_eq!((mesh.id.as_str(), mesh.namespace.as_str(), mesh.is_default), ("m", "istio-system", true));
        for wrong in [
            "about: a mesh\nruns: []\n",
            "about: a mesh\nruns: [{scenario: one, exit: 0, says: []}]\n",
            &format!("about: a mesh\nrevison: x\n{runs}"),
            &format!("about: a mesh\n{runs}---\nabout: another\n{runs}"),
        ] {
            assert!(ForeignMesh::parse("m", wrong).is_err(), "{wrong}");
        }
    }
}
