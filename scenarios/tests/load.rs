//! Every scenario can be read: no unknown key, no missing file, no requirement that does not exist.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::discover;
use meshproof_run::scenario::Scenario;
use rstest::rstest;

fn load(file: &Path, implementation: &Implementation) -> Result<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = file.parent().context("no folder")?.strip_prefix(root)?;
    let id = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    Ok(Scenario::load(root, &id, &Catalogue::built_in()?, implementation)?)
}

fn main_scenario() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("service-mesh-integration/scenario.yaml")
}

fn implementation(name: &str) -> Result<Implementation> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../implementations");
    Ok(Implementation::load(&folder.join(name).with_extension("yaml"))?)
}

/// The one of a file, with a value for everything that it leaves to whoever runs it.
fn given_all(file: &Path) -> Result<Implementation> {
    let mut pack = Pack::load(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let declared = Implementation::declares(Some(file))?;
    let missing = declared.iter().filter(|(_, declaration)| declaration.default.is_none());
    pack.vars.given = missing.map(|(name, _)| (name.clone(), format!("the-{name}"))).collect();
    Ok(Implementation::choose_for(Some(file), &pack)?)
}

#[rstest]
fn every_scenario_can_be_read(#[files("**/scenario.yaml")] file: PathBuf) -> Result<()> {
    let mut scenario = load(&file, &Implementation::built_in()?)?;
    if let Some(other) = scenario.needs.implementation.clone().filter(|_| scenario.steps.is_empty()) {
        scenario = load(&file, &implementation(&other)?)?;
    }
    assert!(!scenario.steps.is_empty(), "there is no implementation it can be run with");
    let broken = scenario.id.starts_with(discover::BROKEN);
    assert_eq!(scenario.expects.is_some(), broken, "only what is broken on purpose expects a red verdict");
    Ok(())
}

#[test]
fn the_main_scenario_proves_what_the_document_promises() -> Result<()> {
    let scenario = load(&main_scenario(), &Implementation::built_in()?)?;
    let info = scenario.info();
    let proved: Vec<_> = info.requirements.iter().map(|r| r.id.as_str()).collect();
    let wanted = "R2 R3 R5 R6 R10 R12 R13 R15 R17 R21 R22 R23 R26 R27 R28 R29 R30 R31 R32 R33 R34 R35 R36 R37 R38 R39 R40 R41 \
                  R42 R43 R44 R45 R46";
    assert_eq!(proved, wanted.split_whitespace().collect::<Vec<_>>());
    assert_eq!(info.errata.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["E1", "E2", "E3", "E4", "E9"]);
    Ok(())
}

/// What is said to happen without a failed request has constant traffic to show for it, none of which may fail.
#[test]
fn what_says_that_no_request_fails_is_proved_by_traffic_that_forgives_none() -> Result<()> {
    let (root, catalogue) = (Path::new(env!("CARGO_MANIFEST_DIR")), Catalogue::built_in()?);
    let scenarios = Scenario::load_all(root, &catalogue, &Implementation::built_in()?)?;
    let steps = || scenarios.iter().flat_map(|scenario| &scenario.steps);
    for requirement in catalogue.requirements.iter().filter(|requirement| requirement.unbroken) {
        let shown = |step: &meshproof_run::scenario::Step| {
            step.info.word == "unbroken" && !step.info.measured && step.info.proves.contains(&requirement.id)
        };
        ensure!(steps().any(shown), "no constant traffic shows {}", requirement.id);
    }
    Ok(())
}

/// Scenarios are about no gateway alone unless they have to be.
#[rstest]
fn every_implementation_can_be_put_to_at_least_eleven_scenarios(
    #[files("../implementations/*.yaml")] file: PathBuf,
) -> Result<()> {
    let implementation = given_all(&file)?;
    assert_eq!(file.file_stem().and_then(|stem| stem.to_str()), Some(implementation.name.as_str()));
    let (root, catalogue) = (Path::new(env!("CARGO_MANIFEST_DIR")), Catalogue::built_in()?);
    let scenarios = Scenario::load_all(root, &catalogue, &implementation)?;
    let about = scenarios.iter().filter(|scenario| scenario.expects.is_none() && !scenario.steps.is_empty());
    let about: Vec<_> = about.map(|scenario| scenario.id.as_str()).collect();
    ensure!(about.len() >= 11, "{} can be put to these only: {}", implementation.name, about.join(", "));
    let steps = scenarios.iter().flat_map(|scenario| &scenario.steps);
    let differs = steps.filter(|step| step.info.instead.is_some()).count();
    ensure!(
        differs >= implementation.expectations.len(),
        "an expectation is about no step that it is put to"
    );
    Ok(())
}
