//! Names in a report that become paths and anchors: a report may come from anywhere, and what is written or read by it stays
//! in its folder.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::Report;
use meshproof_model::scenario::discover;

/// A field of a report that cannot be what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is {value:?}, {why}")]
pub struct Unfit {
    /// Which field, e.g. `scenarios[2].id`.
    pub place: String,
    /// What it holds.
    pub value: String,
    /// What it should be.
    pub why: &'static str,
}

const ID: &str = "which is no id of a scenario: names of folders, with slashes between them";
const BELOW: &str = "which does not stay below the folder of the report";
const NAME: &str = "which is no name of a run: letters, digits, `-`, `_`, `.`";
const ROUND: &str = "but rounds are counted from 1";
const TWICE: &str = "which another scenario of this report is called as well";

/// Checks every field of a report that names a file, a folder or a place in a page.
///
/// # Errors
/// The first that is not fit.
pub(super) fn check(report: &Report) -> Result<(), Unfit> {
    let unfit =
        |place: String, value: &str, why: &'static str| Err(Unfit { place, value: value.to_owned(), why });
    // A run that has not begun has no name.
    if !report.run.is_empty() && !is_name(&report.run) {
        return unfit("run".to_owned(), &report.run, NAME);
    }
    let selected = report.selected.iter().enumerate().map(|(at, id)| (format!("selected[{at}]"), id));
    let whole = report.partition.iter().flat_map(|share| share.whole.iter().enumerate());
    let whole = whole.map(|(at, id)| (format!("partition.whole[{at}]"), id));
    let scenarios = report.scenarios.iter().enumerate();
    let ids = scenarios.clone().map(|(at, scenario)| (format!("scenarios[{at}].id"), &scenario.id));
    for (place, id) in selected.chain(whole).chain(ids) {
        if !discover::is_id(id) {
            return unfit(place, id, ID);
        }
    }
    let mut names = BTreeSet::new();
    for (at, scenario) in scenarios {
        if scenario.round == Some(0) {
            return unfit(format!("scenarios[{at}].round"), "0", ROUND);
        }
        if !names.insert(scenario.name()) {
            return unfit(format!("scenarios[{at}]"), &scenario.name(), TWICE);
        }
        for (step, result) in scenario.steps.iter().enumerate() {
            let evidence = result.failure.as_ref().and_then(|failure| failure.evidence.as_deref());
            if let Some(path) = evidence.filter(|path| !is_below(path)) {
                let place = format!("scenarios[{at}].steps[{step}].failure.evidence");
                return unfit(place, &path.display().to_string(), BELOW);
            }
        }
    }
    Ok(())
}

/// Whether this can be the name of a run, and of its folder.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '@' | ' ');
    !matches!(name, "" | "." | "..") && name.chars().all(fits)
}

/// Whether a path stays below the folder it is relative to, on any system.
fn is_below(path: &Path) -> bool {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let text = path.to_string_lossy();
    plain && !text.is_empty() && !text.contains(['\\', '\0', ':'])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::sample;
    use meshproof_model::event::Partition;

    fn report() -> Report {
        Report::from_events(&sample::failed_run())
    }

    #[test]
    fn what_a_run_writes_is_fit() {
        assert_eq!(check(&report()), Ok(()));
        assert_eq!(check(&Report::default()), Ok(()));
    }

    #[rstest]
    fn what_leads_elsewhere_is_refused_with_its_place(
        #[values(
            "",
            ".",
            "..",
            "../x",
            "../../etc/cron.d/x",
            "/etc/passwd",
            "a/../../x",
            "a//b",
            "a/",
            "..\\x",
            "C:\\x",
            "a\0b",
            "a\nb",
            "a/./b",
            "\u{202e}a",
            "a~2",
            "~/x"
        )]
        path: &str,
    ) {
        let mut with_id = report();
        with_id.scenarios[1].id = path.into();
        let mut selected = report();
        selected.selected.push(path.into());
        let mut share = report();
        share.partition = Some(Partition { index: 1, of: 1, whole: vec![path.into()] });
        for (report, place) in
            [(with_id, "scenarios[1].id"), (selected, "selected[2]"), (share, "partition.whole[0]")]
        {
            let unfit = check(&report).unwrap_err();
            assert_eq!((unfit.place.as_str(), unfit.value.as_str()), (place, path));
        }
    }

    #[rstest]
    fn evidence_and_runs_stay_where_they_are(
        #[values("../evidence", "/etc", "evidence/../../x", "evidence\\..\\x", "C:/x", "")] path: &str,
    ) {
        let mut report = report();
        let step = report.scenarios[1].steps.iter_mut().find(|step| step.failure.is_some()).unwrap();
        step.failure.as_mut().unwrap().evidence = Some(path.into());
        let error = check(&report).unwrap_err().to_string();
        assert!(error.starts_with("scenarios[1].steps[4].failure.evidence is "), "{error}");
        let named = Report { run: format!("../{path}"), ..Report::default() };
        assert_eq!(check(&named).unwrap_err().place, "run");
    }

    #[test]
    fn two_scenarios_do_not_write_over_each_other() {
        let mut twice = report();
        twice.scenarios[1].id = twice.scenarios[0].id.clone();
        assert_eq!(check(&twice).unwrap_err().place, "scenarios[1]");
        twice.scenarios[1].round = Some(2);
        assert_eq!(check(&twice), Ok(()));
        twice.scenarios[1].round = Some(0);
        assert_eq!(check(&twice).unwrap_err().place, "scenarios[1].round");
    }
}
