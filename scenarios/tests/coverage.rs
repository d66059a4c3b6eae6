//! Everything the document promises is proved, or somebody said why not; and the data of its edition, the catalogue and the
//! scenarios agree about what it says where.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshproof_document::cover::World;
use meshproof_document::known::Known;
use meshproof_document::lines::Lines;
use meshproof_model::coverage;
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_run::scenario::Scenario;

fn read() -> Result<(Catalogue, Vec<Scenario>, Known)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalogue = Catalogue::built_in()?;
    let scenarios = Scenario::load_all(root, &catalogue, &Implementation::built_in()?)?;
    let file = root.join("documents/service-mesh-integration.yaml");
    let known = Known::parse(&std::fs::read_to_string(file)?, &catalogue)?;
    Ok((catalogue, scenarios, known))
}

#[test]
fn every_requirement_is_proved_or_has_a_reason() -> Result<()> {
    let (catalogue, scenarios, _) = read()?;
    let outlines: Vec<_> = scenarios.iter().map(Scenario::outline).collect();
    let coverage = coverage::of(&catalogue, &outlines);
    let open: Vec<_> = coverage.iter().filter(|c| c.is_open()).map(|c| c.requirement.id.as_str()).collect();
    ensure!(open.is_empty(), "no scenario proves {open:?}");
    Ok(())
}

#[test]
fn the_data_is_of_the_edition_that_the_catalogue_and_the_scenarios_follow() -> Result<()> {
    let (catalogue, scenarios, known) = read()?;
    ensure!(known.document == catalogue.document);
    for scenario in &scenarios {
        ensure!(scenario.document == known.document, "{} follows {}", scenario.id, scenario.document);
    }
    Ok(())
}

#[test]
fn every_requirement_comes_of_something_the_document_says() -> Result<()> {
    let (catalogue, _, known) = read()?;
    for requirement in &catalogue.requirements {
        let lines: Lines = requirement.lines.parse().with_context(|| requirement.id.clone())?;
        let says = |f: &&meshproof_document::known::KnownFragment| f.requirements.contains(&requirement.id);
        let mut fragments = known.fragments.iter().filter(says).peekable();
        ensure!(fragments.peek().is_some(), "no fragment leads to {}", requirement.id);
        ensure!(
            fragments.any(|f| f.lines.overlap(&lines)),
            "no fragment at {lines} leads to {}",
            requirement.id
        );
    }
    Ok(())
}

#[test]
fn every_citation_meets_something_the_document_says() -> Result<()> {
    let (catalogue, scenarios, known) = read()?;
    for (step, cites) in
        World::new(&catalogue, &scenarios.iter().map(Scenario::outline).collect::<Vec<_>>(), &known.document)
            .citing()
    {
        let met = known.fragments.iter().any(|fragment| fragment.lines.overlap(cites));
        ensure!(met, "{}:{} cites {cites}, where nothing is said", step.file.display(), step.line);
    }
    Ok(())
}
