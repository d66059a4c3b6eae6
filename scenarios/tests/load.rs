//! Every scenario can be read: no unknown key, no missing file, no requirement that does not exist.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use meshproof::requirement::Catalogue;
use meshproof::scenario::{Scenario, discover};
use rstest::rstest;

fn load(file: &Path) -> Result<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = file.parent().context("no folder")?.strip_prefix(root)?;
    let id = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    Ok(Scenario::load(root, &id, &Catalogue::built_in()?)?)
}

#[rstest]
fn every_scenario_can_be_read(#[files("**/scenario.yaml")] file: PathBuf) -> Result<()> {
    let scenario = load(&file)?;
    let broken = scenario.id.starts_with(discover::BROKEN);
    assert_eq!(scenario.expects.is_some(), broken, "only what is broken on purpose expects a red verdict");
    Ok(())
}

#[test]
fn the_main_scenario_proves_what_the_document_promises() -> Result<()> {
    let scenario =
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("service-mesh-integration/scenario.yaml"))?;
    let info = scenario.info();
    let proved: Vec<_> = info.requirements.iter().map(|r| r.id.as_str()).collect();
    let wanted = "R2 R3 R5 R6 R10 R12 R13 R15 R17 R21 R22 R23 R26 R27 R28 R29 R30 R31 R32 R33 R34 R35 R36 R37 R38 R39 R40 R41 \
                  R42 R43 R44 R45 R46";
    assert_eq!(proved, wanted.split_whitespace().collect::<Vec<_>>());
    assert_eq!(info.errata.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["E1", "E2", "E3", "E4", "E9"]);
    Ok(())
}
