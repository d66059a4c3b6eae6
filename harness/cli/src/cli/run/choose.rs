//! Finds and loads the scenarios a person means.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::RunArgs;
use super::again::Parent;
use super::selection::{self, Share};
use crate::cli::{exit, tell};
use meshproof_model::event::Partition;
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::{Problems, discover, labels};
use meshproof_report::Report;
use meshproof_run::scenario::Scenario;

/// A scenario, or what is wrong with it, and the files it was read from.
pub(super) struct Loaded {
    /// Its folder below the root.
    pub(super) id: String,
    /// The scenario.
    pub(super) scenario: Result<Scenario, Problems>,
    /// Every file that was read or looked for.
    pub(super) files: BTreeSet<PathBuf>,
}

/// What is to run.
pub(super) struct Chosen {
    /// Scenarios, in the order they run.
    pub(super) scenarios: Vec<Scenario>,
    /// Which share of the selection they are.
    pub(super) partition: Option<Partition>,
}

/// Loads all scenarios that the names mean. Without names these are all that can be put to the implementation.
pub(super) fn load(
    pack: &Pack,
    names: &[String],
    implementation: &Implementation,
) -> Result<Vec<Loaded>, u8> {
    let (root, catalogue) = (&pack.scenarios, &pack.catalogue);
    let ids = known(root)?;
    if let Err(problems) = implementation.names_steps_of(&labels::all(root)) {
        tell(&Problems(problems));
        return Err(exit::USAGE);
    }
    let selected = discover::select(&ids, names).map_err(|name| {
        eprintln!(
            "nothing selected: there is no scenario `{name}` below {}; `meshproof list` lists them",
            root.display()
        );
        exit::NOTHING
    })?;
    let selected = selected.into_iter().map(|id| load_one(root, id, catalogue, implementation));
    let (loaded, others): (Vec<_>, Vec<_>) = selected.partition(|loaded| {
        let about = |scenario: &Scenario| scenario.is_about(implementation);
        !names.is_empty() || loaded.scenario.as_ref().map_or(true, about)
    });
    for other in others {
        eprintln!("left out: {}, which is not about {}", other.id, implementation.name);
    }
    Ok(of_edition(pack, loaded, implementation.edition.as_deref()))
}

/// Those of the scenarios that prove the edition that is asked for; says which do not, even if they were named.
fn of_edition(pack: &Pack, loaded: Vec<Loaded>, edition: Option<&str>) -> Vec<Loaded> {
    let Some(edition) = edition else { return loaded };
    let (of_it, others): (Vec<_>, Vec<_>) = loaded.into_iter().partition(|loaded| {
        let proves = |scenario: &Scenario| pack.holds_in(scenario.editions(), edition);
        loaded.scenario.as_ref().map_or(true, proves)
    });
    for Loaded { id, scenario, .. } in others {
        let editions = scenario.map(|scenario| scenario.editions().to_string()).unwrap_or_default();
        eprintln!("left out: {id}, which is about {editions}, not about {edition}");
    }
    of_it
}

/// Ids of those that the names mean, and that can be put to the implementation.
pub(in crate::cli) fn about(
    pack: &Pack,
    args: &RunArgs,
    implementation: &Implementation,
) -> Result<Vec<String>, u8> {
    let loaded = only(load(pack, &args.names, implementation)?, args, &pack.catalogue)?;
    let mut ids = Vec::new();
    for Loaded { id, scenario, .. } in loaded {
        match scenario {
            Ok(scenario) if scenario.is_about(implementation) => ids.push(id),
            Ok(_) => eprintln!("left out: {id}, which is not about {}", implementation.name),
            Err(problems) => {
                tell(&problems);
                return Err(exit::USAGE);
            }
        }
    }
    Ok(ids)
}

/// Ids of the scenarios there are.
fn known(root: &Path) -> Result<Vec<String>, u8> {
    discover::all(root).map_err(|error| {
        eprintln!("looking for scenarios below {}: {error}", root.display());
        exit::USAGE
    })
}

/// Those of the scenarios there are that have to run again, in their order.
fn again(known: &[String], failed: &BTreeSet<String>) -> Result<Vec<String>, String> {
    let gone: Vec<&str> = failed.iter().filter(|id| !known.contains(id)).map(String::as_str).collect();
    if !gone.is_empty() {
        return Err(format!(
            "the newest run did not prove {}, and there is no such scenario any more; name those that are to run",
            gone.join(", ")
        ));
    }
    Ok(known.iter().filter(|id| failed.contains(*id)).cloned().collect())
}

fn load_one(root: &Path, id: String, catalogue: &Catalogue, implementation: &Implementation) -> Loaded {
    let directory = id.split('/').fold(root.to_owned(), |path, part| path.join(part));
    let files = RefCell::new(BTreeSet::new());
    let scenario = Scenario::load_with(&directory, &id, catalogue, implementation, &|path| {
        files.borrow_mut().insert(plain(path));
        std::fs::read_to_string(path)
    });
    Loaded { id, scenario, files: files.into_inner() }
}

/// The same path without `.` and `..`, as far as its text tells.
pub(super) fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
        plain
    })
}

/// Those of the scenarios that prove what `--only` names.
pub(super) fn only(loaded: Vec<Loaded>, args: &RunArgs, catalogue: &Catalogue) -> Result<Vec<Loaded>, u8> {
    let wanted = selection::requirements(&args.only, catalogue).map_err(|error| {
        eprintln!("{error}");
        exit::USAGE
    })?;
    // What cannot be read may be meant: its problems are told.
    let proves = |loaded: &Loaded| match &loaded.scenario {
        Ok(scenario) => scenario.steps.iter().any(|s| s.info.proves.iter().any(|id| wanted.contains(id))),
        Err(_) => true,
    };
    Ok(loaded.into_iter().filter(|loaded| wanted.is_empty() || proves(loaded)).collect())
}

/// The scenarios to run, or the exit code if there are none or something is wrong with one.
pub(super) fn choose(
    pack: &Pack,
    args: &RunArgs,
    parent: Option<&Parent>,
    implementation: &Implementation,
) -> Result<Chosen, u8> {
    let root = &pack.scenarios;
    let failed = parent.map(Parent::unproved);
    // What failed may be broken on purpose: such scenarios are found by their names only.
    let names: Vec<String> = match &failed {
        Some(failed) => again(&known(root)?, failed).map_err(|why| {
            eprintln!("{why}");
            exit::USAGE
        })?,
        None => args.names.clone(),
    };
    if failed.is_some() && names.is_empty() {
        eprintln!("nothing selected: nothing of the newest run has to run again");
        return Err(exit::NOTHING);
    }
    let loaded = only(load(pack, &names, implementation)?, args, &pack.catalogue)?;
    let mut scenarios = Vec::new();
    let mut problems = Vec::new();
    for Loaded { scenario, .. } in loaded {
        match scenario {
            Ok(scenario) => scenarios.push(scenario),
            Err(found) => problems.extend(found.0),
        }
    }
    if !problems.is_empty() {
        tell(&Problems(problems));
        return Err(exit::USAGE);
    }
    if scenarios.is_empty() {
        let proving = if args.only.is_empty() {
            String::new()
        } else {
            format!(" that proves {}", args.only.join(" or "))
        };
        eprintln!("nothing selected: there is no scenario{proving} below {}", root.display());
        return Err(exit::NOTHING);
    }
    match args.partition {
        None => Ok(Chosen { scenarios, partition: None }),
        Some(share) => cut(scenarios, share, args),
    }
}

/// One share of the scenarios.
fn cut(scenarios: Vec<Scenario>, share: Share, args: &RunArgs) -> Result<Chosen, u8> {
    let whole: Vec<String> = scenarios.iter().map(|scenario| scenario.id.clone()).collect();
    // Durations only balance: without a report that can be read, all count the same.
    let latest = Report::read(&args.results.join("latest")).ok();
    let measured = latest.and_then(|report| Some((selection::durations(&whole, &report)?, report.run)));
    let own = selection::share(&whole, measured.as_ref().map(|(durations, _)| durations), share);
    if own.is_empty() {
        eprintln!("nothing selected: share {share} of {} scenarios is empty", whole.len());
        return Err(exit::NOTHING);
    }
    let by = match &measured {
        Some((_, run)) => format!("balanced by the durations of run {run}; give every share the same"),
        None => "all count the same".to_owned(),
    };
    eprintln!("share {share}: {} of {} scenarios ({by})", own.len(), whole.len());
    let scenarios = scenarios.into_iter().filter(|scenario| own.contains(&scenario.id)).collect();
    Ok(Chosen { scenarios, partition: Some(Partition { index: share.index, of: share.of, whole }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_by_its_text_alone() {
        assert_eq!(plain(Path::new("/a/b/../c/./d.yaml")), Path::new("/a/c/d.yaml"));
        assert_eq!(plain(Path::new("../a")), Path::new("../a"));
        assert_eq!(plain(Path::new("a/../../b")), Path::new("../b"));
    }

    #[test]
    fn what_failed_and_is_gone_is_named_and_not_forgotten() {
        let known = ["a", "b", "c"].map(String::from);
        let failed = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(again(&known, &failed(&["c", "a"])), Ok(vec!["a".into(), "c".into()]));
        assert_eq!(again(&known, &failed(&[])), Ok(vec![]));
        let why = again(&known, &failed(&["a", "renamed", "taken-out"])).unwrap_err();
        assert!(why.starts_with("the newest run did not prove renamed, taken-out"), "{why}");
    }

    #[test]
    fn scenarios_that_cannot_be_looked_for_are_no_empty_selection() {
        let nowhere = Path::new("nowhere/scenarios");
        assert_eq!(known(nowhere), Err(exit::USAGE));
    }

    #[test]
    fn the_files_of_a_scenario_are_known_even_if_it_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("odd")).unwrap();
        let text = "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nsteps:\n- apply: ../gone.yaml\n";
        std::fs::write(root.path().join("odd/scenario.yaml"), text).unwrap();
        let implementation = Implementation::built_in().unwrap();
        let pack = Pack::built_in(root.path()).unwrap();
        let loaded = load(&pack, &[], &implementation);
        let loaded = loaded.unwrap().remove(0);
        assert!(loaded.scenario.is_err());
        let files: Vec<_> = loaded.files.iter().map(|file| file.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(files, [Path::new("gone.yaml"), Path::new("odd/scenario.yaml")]);
    }
}
