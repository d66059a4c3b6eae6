//! What a changed file touches. Pure: paths come in, ids of scenarios go out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders of the workspace that the gateway's images and charts are made of.
pub(super) use meshproof_model::workspace::SOURCES;
/// Folders below them that neither is made of.
const NOT_SOURCES: [&str; 4] = ["tests", "benches", "examples", "target"];

/// Everything a change may touch.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Ids of the scenarios with the files each is read from.
    pub(super) scenarios: Vec<(String, BTreeSet<PathBuf>)>,
    /// Folders, see [`SOURCES`].
    pub(super) sources: Vec<PathBuf>,
}

/// What changes touch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Changed files that matter.
    pub(super) files: BTreeSet<PathBuf>,
    /// Ids of the scenarios to run again, in their order.
    pub(super) scenarios: Vec<String>,
    /// Whether images or charts are concerned, and with them every scenario.
    pub(super) images: bool,
}

impl World {
    /// What these changes touch.
    pub(super) fn touched(&self, changed: &BTreeSet<PathBuf>) -> Touched {
        let mut touched = Touched::default();
        for path in changed.iter().filter(|path| !is_scratch(path)) {
            if self.is_source(path) {
                touched.images = true;
                touched.files.insert(path.clone());
            }
            if self.scenarios.iter().any(|(_, files)| files.contains(path)) {
                touched.files.insert(path.clone());
            }
        }
        let concerned = |files: &BTreeSet<PathBuf>| touched.images || !files.is_disjoint(&touched.files);
        let concerned = self.scenarios.iter().filter(|(_, files)| concerned(files));
        touched.scenarios = concerned.map(|(id, _)| id.clone()).collect();
        touched
    }

    fn is_source(&self, path: &Path) -> bool {
        let below = self.sources.iter().find_map(|source| path.strip_prefix(source).ok());
        below.is_some_and(|below| {
            let mut folders = below.parent().into_iter().flat_map(Path::components);
            !folders.any(|folder| NOT_SOURCES.iter().any(|not| folder.as_os_str() == *not))
        })
    }
}

/// Files that editors write beside the one that is edited.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    // vim tries out under this name whether it may write.
    name.starts_with('.')
        || name.starts_with('#')
        || name.ends_with('~')
        || name.ends_with(".swp")
        || name == "4913"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    fn world() -> World {
        World {
            scenarios: vec![
                (
                    "main".into(),
                    paths(&["/w/scenarios/main/scenario.yaml", "/w/scenarios/main/gateway.yaml"]),
                ),
                (
                    "other".into(),
                    paths(&["/w/scenarios/other/scenario.yaml", "/w/scenarios/main/gateway.yaml"]),
                ),
            ],
            sources: SOURCES.map(|source| Path::new("/w").join(source)).to_vec(),
        }
    }

    fn touched(changed: &[&str]) -> (Vec<String>, bool) {
        let touched = world().touched(&paths(changed));
        (touched.scenarios, touched.images)
    }

    #[test]
    fn a_scenario_is_touched_by_what_it_is_read_from() {
        assert_eq!(touched(&["/w/scenarios/other/scenario.yaml"]), (vec!["other".into()], false));
        assert_eq!(
            touched(&["/w/scenarios/main/gateway.yaml"]),
            (vec!["main".into(), "other".into()], false)
        );
    }

    #[test]
    fn images_and_charts_touch_everything() {
        for path in [
            "/w/extension/proxy/src/main.rs",
            "/w/extension/charts/c/values.yaml",
            "/w/fixtures/echo/Cargo.toml",
        ] {
            assert_eq!(touched(&[path]), (vec!["main".into(), "other".into()], true), "{path}");
        }
    }

    #[test]
    fn what_nothing_is_made_of_touches_nothing() {
        for path in [
            "/w/extension/proxy/tests/envoy.rs",
            "/w/scenarios/snapshots/main.snap",
            "/w/scenarios/main/notes.md",
            "/w/fixtures/recorded/x.json",
            "/w/README.md",
            "/w/extension/proxy/src/.main.rs.swp",
            "/w/extension/proxy/src/main.rs~",
        ] {
            assert_eq!(touched(&[path]), (vec![], false), "{path}");
        }
    }

    #[test]
    fn only_the_files_that_matter_are_named() {
        let changed =
            paths(&["/w/README.md", "/w/scenarios/main/gateway.yaml", "/w/extension/api/src/lib.rs"]);
        let files = world().touched(&changed).files;
        assert_eq!(files, paths(&["/w/scenarios/main/gateway.yaml", "/w/extension/api/src/lib.rs"]));
    }
}
