//! Kinds that scenarios speak of and that nobody here knows: the cluster is asked before anything is made in it.

use meshproof_lab::cluster::api::{self, ApiError};
use meshproof_lab::cluster::{ClusterError, Target};
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_model::scenario::Problems;
use meshproof_model::scenario::kinds::learned::{Told, learn};
use meshproof_run::scenario::Scenario;

/// What the cluster says of the kinds that scenarios speak of.
pub(super) enum Asked {
    /// It has nothing to say that was not known.
    Nothing,
    /// The scenarios, as they read now.
    Anew(Vec<Scenario>),
    /// It does not know them, or a scenario does not read with what they are.
    Unknown(Problems),
}

/// Asks the cluster for the kinds that the scenarios speak of.
///
/// # Errors
/// It cannot be asked.
pub(super) async fn ask(
    target: &Target,
    pack: &Pack,
    implementation: &Implementation,
    scenarios: &[&Scenario],
) -> Result<Asked, ClusterError> {
    if scenarios.iter().all(|scenario| scenario.kinds.is_empty()) {
        return Ok(Asked::Nothing);
    }
    let known = known(target).await?;
    Ok(judge(&known, scenarios, |id| Scenario::load(&pack.scenarios, id, &pack.catalogue, implementation)))
}

async fn known(target: &Target) -> Result<Vec<Told>, ApiError> {
    api::all_kinds(&target.client().await?).await
}

fn judge(
    known: &[Told],
    scenarios: &[&Scenario],
    read: impl Fn(&str) -> Result<Scenario, Problems>,
) -> Asked {
    let needed = || scenarios.iter().flat_map(|scenario| &scenario.kinds);
    // What a step before may define is looked for when it is needed.
    let unknown: Vec<_> =
        needed().filter(|needed| !needed.may_come).filter_map(|needed| needed.against(known)).collect();
    if !unknown.is_empty() {
        return Asked::Unknown(Problems(unknown));
    }
    for told in known.iter().filter(|told| needed().any(|needed| told.is(needed.kind))) {
        learn(told);
    }
    let mut problems = Vec::new();
    let mut anew = Vec::new();
    for scenario in scenarios {
        match read(&scenario.id) {
            Ok(scenario) => anew.push(scenario),
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() { Asked::Anew(anew) } else { Asked::Unknown(Problems(problems)) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use meshproof_model::requirement::Catalogue;

    fn told(kind: &str, namespaced: bool) -> Told {
        let plural = format!("{}s", kind.to_lowercase());
        Told { group: "asked.example".into(), version: "v1".into(), kind: kind.into(), plural, namespaced }
    }

    fn scenario(steps: &str) -> Scenario {
        let head = "title: t\ndocument: {name: d, edition: e}\nnamespace: ns\nsteps:\n";
        let text = format!("{head}{steps}");
        let read = |_: &Path| Ok(text.clone());
        let (catalogue, implementation) =
            (Catalogue::built_in().unwrap(), Implementation::built_in().unwrap());
        Scenario::load_with(Path::new("s"), "s", &catalogue, &implementation, &read).unwrap()
    }

    const STEP: &str = "- absent: shelf.asked.example/a\n  within: 1s\n";

    #[test]
    fn a_kind_that_the_cluster_knows_is_read_anew_as_it_is_there() {
        let first = scenario(STEP);
        assert!(first.kinds[0].kind.assumed && first.kinds[0].kind.namespaced);
        let asked = judge(&[told("Shelf", false)], &[&first], |_| Ok(scenario(STEP)));
        let Asked::Anew(anew) = asked else { panic!("it is known") };
        assert!(!anew[0].kinds[0].kind.assumed && !anew[0].kinds[0].kind.namespaced);
    }

    #[test]
    fn one_that_it_does_not_know_is_told_with_its_place() {
        let scenario_of = |steps: &str| scenario(&steps.replace("shelf", "sehlf"));
        let first = scenario_of(STEP);
        let asked = judge(&[told("Shelf", true)], &[&first], |_| Ok(scenario_of(STEP)));
        let Asked::Unknown(problems) = asked else { panic!("it is not known") };
        assert_eq!(
            problems.0[0].to_string(),
            "s/scenario.yaml:5:11: the cluster knows no kind sehlf.asked.example"
        );
        assert_eq!(problems.0[0].help.as_deref(), Some("nearest: shelf.asked.example"));
        // After a step that may have brought it, it is looked for when it is needed.
        let later =
            scenario_of(&format!("- shell: {{run: make it}}\n{STEP}").replace("{run: make it}", "a.yaml"));
        let asked = judge(&[told("Shelf", true)], &[&later], |_| Ok(scenario_of(STEP)));
        assert!(matches!(asked, Asked::Anew(_)));
    }
}
