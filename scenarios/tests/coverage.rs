//! Everything the document promises is proved, or somebody said why not; and the data of its edition, the catalogue and the
//! scenarios agree about what it says where.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshproof_document::cover::World;
use meshproof_document::known::{Known, KnownFragment};
use meshproof_document::lines::Lines;
use meshproof_model::coverage;
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_run::scenario::Scenario;

struct Pack {
    catalogue: Catalogue,
    /// Dates of the editions, the oldest first.
    dates: Vec<String>,
    scenarios: Vec<Scenario>,
    /// What is known of each edition, in the same order.
    editions: Vec<Known>,
    pack: meshproof_model::pack::Pack,
}

fn read() -> Result<Pack> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pack = meshproof_model::pack::Pack::load(root)?;
    let (catalogue, dates) = (pack.catalogue.clone(), pack.editions.clone());
    let scenarios = Scenario::load_all(root, &catalogue, &Implementation::built_in()?)?;
    let mut editions = Vec::new();
    for entry in std::fs::read_dir(&pack.documents)? {
        let file = entry?.path();
        let known = Known::parse(&std::fs::read_to_string(&file)?, &catalogue);
        editions.push(known.with_context(|| file.display().to_string())?);
    }
    editions.sort_by(|a, b| a.document.edition.cmp(&b.document.edition));
    Ok(Pack { catalogue, dates, scenarios, editions, pack })
}

#[test]
fn every_requirement_is_proved_or_has_a_reason() -> Result<()> {
    let Pack { catalogue, scenarios, .. } = read()?;
    let outlines: Vec<_> = scenarios.iter().map(Scenario::outline).collect();
    let coverage = coverage::of(&catalogue, &outlines);
    let open: Vec<_> = coverage.iter().filter(|c| c.is_open()).map(|c| c.requirement.id.as_str()).collect();
    ensure!(open.is_empty(), "no scenario proves {open:?}");
    Ok(())
}

#[test]
fn something_is_known_of_every_edition_and_each_scenario_follows_one() -> Result<()> {
    let Pack { catalogue, dates, scenarios, editions, .. } = read()?;
    let known: Vec<_> = editions.iter().map(|known| &known.document.edition).collect();
    ensure!(known == dates.iter().collect::<Vec<_>>(), "{known:?}");
    for known in &editions {
        ensure!(known.document.name == catalogue.document.name);
    }
    for scenario in &scenarios {
        let followed = editions.iter().any(|known| known.document == scenario.document);
        ensure!(followed, "{} follows {}", scenario.id, scenario.document);
    }
    Ok(())
}

/// Lines of a requirement are those of the first edition that says it.
#[test]
fn every_requirement_comes_of_something_the_document_says() -> Result<()> {
    let Pack { catalogue, editions, pack, .. } = read()?;
    for requirement in &catalogue.requirements {
        let lines: Lines = requirement.lines.parse().with_context(|| requirement.id.clone())?;
        let mut says = editions.iter().filter(|k| pack.holds_in(requirement.editions(), &k.document.edition));
        let first = says.clone().next().with_context(|| requirement.id.clone())?;
        let leads = |f: &&KnownFragment| f.requirements.contains(&requirement.id);
        let at = first.fragments.iter().filter(leads).any(|f| f.lines.overlap(&lines));
        ensure!(at, "no fragment at {lines} of {} leads to {}", first.document, requirement.id);
        let silent = says.find(|known| !known.fragments.iter().any(|f| leads(&f)));
        if let Some(silent) = silent {
            anyhow::bail!("no fragment of {} leads to {}", silent.document, requirement.id);
        }
    }
    Ok(())
}

#[test]
fn every_citation_meets_something_the_document_says() -> Result<()> {
    let Pack { catalogue, scenarios, editions, .. } = read()?;
    let outlines: Vec<_> = scenarios.iter().map(Scenario::outline).collect();
    for known in &editions {
        for (step, cites) in World::new(&catalogue, &outlines, &known.document).citing() {
            let met = known.fragments.iter().any(|fragment| fragment.lines.overlap(cites));
            ensure!(met, "{}:{} cites {cites}, where nothing is said", step.file.display(), step.line);
        }
    }
    Ok(())
}

/// What a page of an edition says has something behind it: what `doc check` asks of a page, asked of what is known of it.
#[test]
fn everything_that_an_edition_says_is_covered() -> Result<()> {
    let Pack { catalogue, scenarios, editions, pack, .. } = read()?;
    for known in &editions {
        let proves = |s: &&Scenario| pack.holds_in(s.editions(), &known.document.edition);
        let outlines: Vec<_> = scenarios.iter().filter(proves).map(Scenario::outline).collect();
        let world = World::new(&catalogue, &outlines, &known.document).with_editions(&editions);
        let missing: Vec<_> =
            known.fragments.iter().filter_map(|f| Some((&f.id, world.missing(f)?))).collect();
        ensure!(missing.is_empty(), "{}: {missing:?}", known.document);
    }
    Ok(())
}
