//! `meshproof pack check`: everything that can be wrong with a pack and needs no cluster to be seen.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::CheckArgs;
use crate::cli::{doc, exit, tell};
use crate::mutant::Mutant;
use meshproof_document::known::{Known, KnownFragment};
use meshproof_model::coverage;
use meshproof_model::event::StepInfo;
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_model::requirement::{Erratum, Requirement};
use meshproof_model::scenario::node::{Node, Problem, Source, Span};
use meshproof_model::scenario::{Outline, Problems, discover, labels, parse};
use meshproof_report::count;
use meshproof_run::scenario::Scenario;

/// Runs `meshproof pack check`; the exit code.
pub(super) fn run(args: &CheckArgs) -> u8 {
    let Some(pack) = args.root().load() else { return exit::USAGE };
    let Some(implementation) = args.implementation.load(&pack) else { return exit::USAGE };
    let found = check(&pack, &implementation);
    tell(&Problems(found.problems.clone()));
    let promised = count(pack.catalogue.requirements.len(), "requirement");
    let line = format!("pack {}: {}, {promised}", pack.name, count(found.scenarios, "scenario"));
    match found.problems.len() {
        0 => {
            println!("{line}, nothing wrong");
            exit::PROVED
        }
        problems => {
            println!("{line}, {}", count(problems, "problem"));
            exit::FAILED
        }
    }
}

/// What a pack holds, and what is wrong with it.
struct Found {
    scenarios: usize,
    problems: Vec<Problem>,
}

fn check(pack: &Pack, implementation: &Implementation) -> Found {
    let root = &pack.scenarios;
    let mut problems = implementation.names_steps_of(&labels::all(root)).err().unwrap_or_default();
    let ids = discover::all(root).unwrap_or_else(|error| {
        problems.push(whole(root).problem(format!("cannot be looked through for scenarios: {error}")));
        Vec::new()
    });
    let (mut outlines, mut unread) = (Vec::new(), 0);
    for id in &ids {
        let folder = id.split('/').fold(root.clone(), |path, part| path.join(part));
        let read = |path: &Path| std::fs::read_to_string(path);
        match Scenario::load_with(&folder, id, &pack.catalogue, implementation, &read) {
            Ok(scenario) => outlines.push(scenario.outline()),
            Err(found) => {
                unread += 1;
                problems.extend(found.0);
            }
        }
    }
    if ids.is_empty() {
        let nothing = whole(&pack.folder.join(meshproof_model::pack::FILE));
        problems.push(nothing.problem(format!("there is no scenario below {}", root.display())));
    }
    problems.extend(outlines.iter().flat_map(|scenario| of_edition(pack, scenario)));
    problems.extend(uncited(pack));
    // What a scenario that cannot be read proves is not known.
    if unread == 0 {
        problems.extend(uncovered(pack, implementation, &outlines));
        problems.extend(mutants(pack, implementation));
    }
    problems.extend(documents(pack));
    Found { scenarios: ids.len(), problems }
}

/// What a scenario says of editions: it follows one of the pack's document, and proves what holds in that one.
fn of_edition(pack: &Pack, scenario: &Outline) -> Vec<Problem> {
    let Some(source) = read(&scenario.path) else { return Vec::new() };
    let (edition, editions) = (&scenario.document.edition, scenario.editions());
    let (name, own) = (&scenario.document.name, &pack.catalogue.document.name);
    let place = || line_with(&source, "document:");
    if name != own {
        let problem = place().problem(format!("the pack is about the document {own}, not {name}"));
        return vec![problem.help("one pack, one document; make another pack of it")];
    }
    let said = [Some(edition.as_str()), scenario.since.as_deref(), scenario.until.as_deref()];
    if let Some(strange) = said.into_iter().flatten().find(|date| !pack.editions.iter().any(|e| e == date)) {
        let known = pack.editions.join(", ");
        return vec![
            place()
                .problem(format!("there is no edition {strange} of {own}"))
                .help(format!("editions of the pack: {known}")),
        ];
    }
    if !pack.holds_in(editions, edition) {
        let problem = place().problem(format!("it cites edition {edition}, and is about {editions}"));
        return vec![problem.help("`since` and `until` enclose the edition whose lines are cited")];
    }
    let proved: Vec<&String> = pack.editions.iter().filter(|date| pack.holds_in(editions, date)).collect();
    let beyond = |step: &StepInfo| {
        let about: BTreeSet<&String> = step.proves.iter().chain(&step.waives).chain(&step.breaks).collect();
        let known = about.into_iter().filter_map(|id| pack.catalogue.requirement(id));
        let silent = |requirement: &Requirement| {
            let holds = |date: &str| pack.holds_in(requirement.editions(), date);
            let silent = proved.iter().find(|date| !holds(date))?;
            Some((silent.to_string(), requirement.id.clone()))
        };
        let requirements = known.filter_map(silent);
        let has =
            |id: &String| pack.catalogue.erratum(id).is_some_and(|e| pack.holds_in(e.editions(), edition));
        // An erratum is met where its lines are cited.
        let errata = step.errata.iter().filter(|id| !has(id)).map(|id| (edition.clone(), id.clone()));
        requirements.chain(errata).collect::<Vec<_>>()
    };
    let of_step = |step: &StepInfo| {
        let place = line(&source, step.line);
        let problem = move |(edition, id): (String, String)| {
            let what = format!("edition {edition}, which the scenario proves, does not say {id}");
            place.problem(what).help("`until` under `document` says up to which edition a scenario is meant")
        };
        beyond(step).into_iter().map(problem).collect::<Vec<_>>()
    };
    scenario.steps.iter().flat_map(of_step).collect()
}

/// Promises that do not say where the document makes them.
fn uncited(pack: &Pack) -> Vec<Problem> {
    let bare = pack.catalogue.requirements.iter().filter(|requirement| requirement.lines.trim().is_empty());
    let problem = |id: &String| {
        let place = pack.place(id)?;
        let problem = place.problem(format!("{id} does not say where the document promises it"));
        Some(problem.help("add `lines`: L18, L18-20, or several of them with commas between"))
    };
    bare.filter_map(|requirement| problem(&requirement.id)).collect()
}

/// Requirements that nothing proves, without a reason.
fn uncovered(pack: &Pack, implementation: &Implementation, outlines: &[Outline]) -> Vec<Problem> {
    let coverage = coverage::of(&pack.catalogue, outlines).into_iter();
    let open = coverage.map(|one| one.with(implementation)).filter(coverage::Coverage::is_open);
    let problem = |one: coverage::Coverage<'_>| {
        let id = &one.requirement.id;
        let problem = pack.place(id)?.problem(format!("{id} is uncovered: no scenario proves it"));
        Some(problem.help(format!(
            "let a claim prove it (`proves: [{id}]`), or say why none does: kind A with `waived`, or kind U with `measured`"
        )))
    };
    open.filter_map(problem).collect()
}

fn mutants(pack: &Pack, implementation: &Implementation) -> Vec<Problem> {
    let read = Mutant::load_all(&pack.scenarios, &pack.catalogue, implementation);
    read.err().map(|problems| problems.0).unwrap_or_default()
}

/// What is known of each edition, as far as it can be read; and what an edition promises and no requirement cites.
fn documents(pack: &Pack) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in doc::edition_files(&pack.documents) {
        match doc::known(&file, &pack.catalogue) {
            Err(error) => problems.push(whole(&file).problem(error)),
            Ok(known) => {
                if !pack.editions.contains(&known.document.edition) {
                    let what = format!("edition {} is none of the pack's", known.document.edition);
                    problems.push(whole(&file).problem(what).help("list it in `pack.yaml` under `editions`"));
                }
                problems.extend(not_of_edition(pack, &file, &known));
                let open = known.fragments.iter().filter(|fragment| is_open(fragment));
                problems.extend(open.map(|fragment| {
                    let what =
                        format!("the document promises this, and no requirement cites it: {}", fragment.says);
                    place_of(&file, &fragment.id)
                        .problem(what)
                        .help("add `requirements`, `errata` or `waived`")
                }));
            }
        }
    }
    problems
}

/// Requirements and errata that came of what an edition says, though they are meant of others only.
fn not_of_edition(pack: &Pack, file: &Path, known: &Known) -> Vec<Problem> {
    let edition = &known.document.edition;
    let says = |id: &String| {
        let requirement = pack.catalogue.requirement(id).map(Requirement::editions);
        let editions = requirement.or(pack.catalogue.erratum(id).map(Erratum::editions));
        editions.is_none_or(|editions| pack.holds_in(editions, edition))
    };
    let of = |fragment: &KnownFragment| {
        let ids = fragment.requirements.iter().chain(&fragment.errata).filter(|id| !says(id));
        let problem = |id: &String| {
            let what = format!("{id} came of this, and is not meant of edition {edition}");
            place_of(file, &fragment.id).problem(what).help("see its `since` and `until`")
        };
        ids.map(problem).collect::<Vec<_>>()
    };
    match pack.editions.contains(edition) {
        true => known.fragments.iter().flat_map(of).collect(),
        false => Vec::new(),
    }
}

fn is_open(fragment: &KnownFragment) -> bool {
    let KnownFragment { kind, requirements, errata, waived, .. } = fragment;
    *kind == meshproof_document::Kind::Promise
        && requirements.is_empty()
        && errata.is_empty()
        && waived.is_none()
}

fn read(path: &Path) -> Option<Arc<Source>> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(Arc::new(Source { path: path.to_owned(), text }))
}

/// A file as a whole.
fn whole(path: &Path) -> Span {
    let empty = || Arc::new(Source { path: path.to_owned(), text: String::new() });
    Span { source: read(path).unwrap_or_else(empty), start: 0, length: 1 }
}

/// A line of a file, from 1.
fn line(source: &Arc<Source>, number: usize) -> Span {
    let before = source.text.split_inclusive('\n').take(number.saturating_sub(1)).map(str::len).sum();
    let length = source.text.lines().nth(number.saturating_sub(1)).map_or(1, str::len);
    Span { source: source.clone(), start: before, length }
}

/// The line that begins with a key, or the first.
fn line_with(source: &Arc<Source>, key: &str) -> Span {
    let number = source.text.lines().position(|line| line.starts_with(key)).unwrap_or_default();
    line(source, number + 1)
}

/// Where a fragment of an edition stands.
fn place_of(file: &Path, id: &str) -> Span {
    let found = || {
        let root = parse::document(&read(file)?).ok()?;
        let fragments = root.get("fragments")?.one_or_more();
        let ids = fragments.iter().filter_map(|fragment| fragment.get("id"));
        ids.map(|node: &Node| node).find(|node| node.text() == Ok(id)).map(|node| node.span.clone())
    };
    found().unwrap_or_else(|| whole(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pack::new;

    fn problems(folder: &Path) -> Vec<String> {
        let pack = Pack::load(folder).unwrap();
        let implementation = Implementation::choose_for(None, &pack).unwrap();
        check(&pack, &implementation).problems.iter().map(ToString::to_string).collect()
    }

    /// A new pack with a file that reads otherwise.
    fn with(file: &str, from: &str, to: &str) -> Vec<String> {
        let into = tempfile::tempdir().unwrap();
        let folder = new::make("shop", into.path()).unwrap();
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} does not hold {from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        problems(&folder)
            .into_iter()
            .map(|problem| problem.replace(&folder.display().to_string(), "shop"))
            .collect()
    }

    #[test]
    fn nothing_is_wrong_with_a_new_pack_nor_with_our_own() {
        let into = tempfile::tempdir().unwrap();
        assert_eq!(problems(&new::make("shop", into.path()).unwrap()), Vec::<String>::new());
        let own = meshproof_model::workspace::root().unwrap().join(meshproof_model::pack::FOLDER);
        assert_eq!(problems(&own), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let scenario = "scenarios/answers/scenario.yaml";
        for (file, from, to, wanted) in [
            (scenario, "cites: L5", "citse: L5", "unknown key `citse`"),
            (scenario, "- given:", "- givn:", "a step must say what it does or claims"),
            (scenario, "proves: [R1]", "proves: [R9]", "there is no requirement `R9`"),
            (scenario, "proves: [R1]", "name: it answers", "R1 is uncovered: no scenario proves it"),
            (
                scenario,
                "document: {name: shop",
                "document: {name: other",
                "the pack is about the document shop",
            ),
            (
                scenario,
                "edition: 2026-01-01",
                "edition: 2025-01-01",
                "there is no edition 2025-01-01 of shop",
            ),
            ("scenarios/answers/route.yaml", "kind: HTTPRoute", "kind: HTTPRout", "unknown kind HTTPRout"),
            ("requirements.yaml", "lines: L5, ", "", "R1 does not say where the document promises it"),
        ] {
            let found = with(file, from, to);
            let here =
                format!("shop/{}", if wanted.starts_with("R1 is") { "requirements.yaml" } else { file });
            let is_told = |problem: &String| problem.starts_with(&here) && problem.contains(wanted);
            assert!(found.iter().any(is_told), "{wanted}: {found:?}");
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }

    #[test]
    fn a_scenario_proves_what_its_edition_says() {
        let into = tempfile::tempdir().unwrap();
        let folder = new::make("shop", into.path()).unwrap();
        for (file, from, to) in [
            ("pack.yaml", "editions: [2026-01-01]", "editions: [2026-01-01, 2027-01-01]"),
            ("requirements.yaml", "lines: L5,", "lines: L5, since: 2027-01-01,"),
        ] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(folder.join(file), text.replace(from, to)).unwrap();
        }
        let found = problems(&folder);
        assert!(
            found.iter().all(|problem| problem.contains("does not say R1")) && !found.is_empty(),
            "{found:?}"
        );
        assert!(found[0].contains("scenario.yaml:"), "{found:?}");
    }
}
