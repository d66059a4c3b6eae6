//! `meshproof list`: the scenarios, and which of them proves which requirement.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;

use super::catalogue;
use super::exit;
use crate::requirement::{Catalogue, Kind};
use crate::scenario::{Problems, Scenario, discover};

/// Arguments of `meshproof list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Where scenarios are
    #[command(flatten)]
    pub root: super::RootArgs,
    /// List the requirements instead, with the scenarios that prove them
    #[arg(long)]
    pub requirements: bool,
}

/// Runs `meshproof list`; the exit code.
pub fn run(args: &ListArgs) -> u8 {
    let Some(root) = args.root.find() else { return exit::USAGE };
    let Some(catalogue) = catalogue() else { return exit::SETUP };
    let scenarios = match load_all(&root, &catalogue) {
        Ok(scenarios) => scenarios,
        Err(problems) => {
            super::tell(&problems);
            return exit::USAGE;
        }
    };
    if scenarios.is_empty() {
        eprintln!("no scenario below {}", root.display());
        return exit::NOTHING;
    }
    print!("{}", if args.requirements { requirements(&catalogue, &scenarios) } else { list(&scenarios) });
    exit::PROVED
}

/// Loads every scenario below `root`.
fn load_all(root: &Path, catalogue: &Catalogue) -> Result<Vec<Scenario>, Problems> {
    let ids = discover::all(root).unwrap_or_default();
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for id in ids {
        match Scenario::load(root, &id, catalogue) {
            Ok(scenario) => all.push(scenario),
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(Problems(problems)) }
}

fn list(scenarios: &[Scenario]) -> String {
    let width = scenarios.iter().map(|scenario| scenario.id.len()).max().unwrap_or_default();
    let mut text = String::new();
    for scenario in scenarios {
        let _ = writeln!(text, "{:width$}  {}", scenario.id, scenario.title);
        if let Some(expects) = &scenario.expects {
            let _ = writeln!(text, "{:width$}    broken on purpose: {}", "", expects.diagnosis);
        }
    }
    text
}

fn requirements(catalogue: &Catalogue, scenarios: &[Scenario]) -> String {
    let mut text = String::new();
    for requirement in &catalogue.requirements {
        let proves = |scenario: &&Scenario| {
            scenario.expects.is_none()
                && scenario.steps.iter().any(|s| s.info.proves.contains(&requirement.id))
        };
        let by: Vec<_> = scenarios.iter().filter(proves).map(|scenario| scenario.id.as_str()).collect();
        let by = match (&requirement.waived, by.is_empty(), requirement.kind) {
            (Some(why), ..) => format!("waived: {why}"),
            (None, false, _) => by.join(", "),
            (None, true, Kind::U) => "unspecified: measured, never failed on".to_owned(),
            (None, true, _) => "not yet proved by any scenario".to_owned(),
        };
        let _ = writeln!(text, "{:<4} {:<8} {}", requirement.id, requirement.lines, requirement.text);
        let _ = writeln!(text, "{:<13} {by}", "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_listed_with_what_becomes_of_it() {
        let text = requirements(&Catalogue::built_in().unwrap(), &[]);
        assert!(text.contains("waived: A price cannot be observed"), "{text}");
        assert!(text.contains("unspecified"), "{text}");
        assert_eq!(text.lines().count(), 96);
    }
}
