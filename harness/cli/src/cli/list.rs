//! `meshproof list`: the scenarios, and what proves each requirement.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::exit;
use meshproof_model::coverage::{self, Coverage};
use meshproof_model::requirement::{Editions, Kind, Requirement};
use meshproof_run::scenario::Scenario;

/// Arguments of `meshproof list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// What is to be proved
    #[command(flatten)]
    pub root: super::RootArgs,
    /// Of which edition
    #[command(flatten)]
    pub edition: super::EditionArgs,
    /// List the requirements only
    #[arg(long)]
    pub requirements: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which gateway they are read for
    #[command(flatten)]
    pub implementation: super::ImplementationArgs,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    scenarios: Vec<Listed<'a>>,
    requirements: Vec<Proof<'a>>,
    /// Ids of requirements that nothing proves, and that have to be proved.
    uncovered: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: &'a str,
    title: &'a str,
    document: String,
    /// Editions that it proves.
    editions: String,
    /// Diagnosis it must end in, if it is broken on purpose.
    broken: Option<&'a str>,
    proves: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Proof<'a> {
    id: &'a str,
    text: &'a str,
    kind: Kind,
    scenarios: &'a [&'a str],
    /// Why nothing has to prove it.
    waived: Option<&'a str>,
    /// The first edition that says it; nothing if the first of all does.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<&'a str>,
    /// The last edition that says it; nothing if the newest does.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<&'a str>,
}

/// Runs `meshproof list`; the exit code.
pub fn run(args: &ListArgs) -> u8 {
    let Some(pack) = args.root.load() else { return exit::USAGE };
    let (root, catalogue) = (&pack.scenarios, &pack.catalogue);
    let Some(implementation) = args.implementation.load(&pack) else { return exit::USAGE };
    let Some(edition) = args.edition.of(&pack) else { return exit::USAGE };
    let belongs =
        |editions: Editions<'_>| edition.as_deref().is_none_or(|edition| pack.holds_in(editions, edition));
    let scenarios: Vec<_> = match Scenario::load_all(root, catalogue, &implementation) {
        Ok(scenarios) => scenarios.into_iter().filter(|scenario| belongs(scenario.editions())).collect(),
        Err(problems) => {
            super::tell(&problems);
            return exit::USAGE;
        }
    };
    if scenarios.is_empty() {
        eprintln!("no scenario below {}", root.display());
        return exit::NOTHING;
    }
    let outlines: Vec<_> = scenarios.iter().map(Scenario::outline).collect();
    let coverage = coverage::of(catalogue, &outlines).into_iter();
    let coverage = coverage.filter(|one| belongs(one.requirement.editions()));
    let coverage: Vec<_> = coverage.map(|one| one.with(&implementation)).collect();
    if args.json {
        let listing = listing(&scenarios, &coverage);
        println!("{}", meshproof_model::visible::pretty(&listing).unwrap_or_default());
        return exit::PROVED;
    }
    if !args.requirements {
        println!("{}", list(&scenarios));
    }
    print!("{}", requirements(&coverage));
    exit::PROVED
}

fn listing<'a>(scenarios: &'a [Scenario], coverage: &'a [Coverage<'a>]) -> Listing<'a> {
    let listed = |scenario: &'a Scenario| Listed {
        id: &scenario.id,
        title: &scenario.title,
        document: scenario.document.to_string(),
        editions: scenario.editions().to_string(),
        broken: scenario.expects.as_ref().map(|expects| expects.diagnosis.as_str()),
        proves: scenario.proves().collect(),
    };
    let proof = |coverage: &'a Coverage<'a>| {
        let Requirement { id, text, kind, .. } = coverage.requirement;
        let Editions { since, until } = coverage.requirement.editions();
        Proof { id, text, kind: *kind, scenarios: &coverage.scenarios, waived: coverage.reason, since, until }
    };
    Listing {
        scenarios: scenarios.iter().map(listed).collect(),
        requirements: coverage.iter().map(proof).collect(),
        uncovered: open(coverage).collect(),
    }
}

fn open<'a>(coverage: &'a [Coverage<'a>]) -> impl Iterator<Item = &'a str> {
    coverage.iter().filter(|coverage| coverage.is_open()).map(|coverage| coverage.requirement.id.as_str())
}

fn list(scenarios: &[Scenario]) -> String {
    let width = scenarios.iter().map(|scenario| scenario.id.len()).max().unwrap_or_default();
    let mut text = String::new();
    for scenario in scenarios {
        let _ = writeln!(text, "{:width$}  {}", scenario.id, scenario.title);
        if let Some(implementation) =
            scenario.needs.implementation.as_ref().filter(|_| scenario.steps.is_empty())
        {
            let _ = writeln!(text, "{:width$}    about the implementation {implementation} only", "");
        }
        if let Some(expects) = &scenario.expects {
            let _ = writeln!(text, "{:width$}    broken on purpose: {}", "", expects.diagnosis);
        }
    }
    text
}

fn requirements(coverage: &[Coverage<'_>]) -> String {
    let mut text = String::new();
    for one in coverage {
        let requirement = one.requirement;
        let sign = if one.is_open() { '✗' } else { ' ' };
        let mut becomes: Vec<String> = Vec::new();
        if one.is_open() {
            becomes.push("uncovered: no scenario proves it".to_owned());
        }
        if !one.scenarios.is_empty() {
            becomes.push(format!("proved by {}", one.scenarios.join(", ")));
        }
        let why = if requirement.measured.is_some() { "measured only" } else { "waived" };
        becomes.extend(one.reason.map(|reason| format!("{why}: {reason}")));
        let editions = requirement.editions();
        becomes.extend((editions != Editions::default()).then(|| format!("in {editions}")));
        let _ = writeln!(text, "{sign} {:<4} {:<9} {}", requirement.id, requirement.lines, requirement.text);
        let _ = writeln!(text, "{:<16} {}", "", becomes.join("; "));
    }
    let uncovered: Vec<_> = open(coverage).collect();
    if !uncovered.is_empty() {
        let _ =
            writeln!(text, "\n{} of {} uncovered: {}", uncovered.len(), coverage.len(), uncovered.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_model::requirement::Catalogue;

    #[test]
    fn every_requirement_is_listed_with_what_becomes_of_it() {
        let catalogue = Catalogue::built_in().unwrap();
        let text = requirements(&coverage::of(&catalogue, &[]));
        assert!(text.contains("waived: A price cannot be observed"), "{text}");
        assert!(text.contains("measured only: "), "{text}");
        assert!(text.contains("✗ R1 "), "{text}");
        assert!(text.contains("\n51 of 54 uncovered: R1 R2 "), "{text}");
        assert_eq!(text.lines().count(), 110);
    }

    #[test]
    fn the_listing_for_programs_says_the_same() {
        let catalogue = Catalogue::built_in().unwrap();
        let coverage = coverage::of(&catalogue, &[]);
        let listing = serde_json::to_value(listing(&[], &coverage)).unwrap();
        let requirement = |id: &str| {
            let all = listing["requirements"].as_array().unwrap();
            all.iter().find(|r| r["id"] == id).unwrap().clone()
        };
        assert_eq!(requirement("R43")["waived"], serde_json::Value::Null);
        assert_eq!(requirement("R43")["scenarios"], serde_json::json!([]));
        assert_eq!(
            (&requirement("R47")["kind"], requirement("R47")["waived"].is_string()),
            (&"A".into(), true)
        );
        assert_eq!(
            (&requirement("R20")["kind"], requirement("R20")["waived"].is_string()),
            (&"U".into(), true)
        );
        assert_eq!(listing["uncovered"].as_array().unwrap().len(), 51);
    }
}
