use serde_json::json;

use super::*;
use meshproof_model::event::{ScenarioResult, StepInfo, StepKind, StepResult, Verdict};
use meshproof_report::mutants::{Table, Trial, page};

pub(super) fn step_info() -> StepInfo {
    StepInfo {
        index: 0,
        name: String::new(),
        word: String::new(),
        kind: StepKind::Claim,
        expected: None,
        cites: None,
        proves: Vec::new(),
        waives: Vec::new(),
        breaks: Vec::new(),
        sets_aside: Vec::new(),
        errata: Vec::new(),
        line: 1,
        must_fail: None,
        measured: false,
        waived: None,
        instead: None,
    }
}

pub(super) fn result(steps: Vec<StepResult>) -> ScenarioResult {
    ScenarioResult {
        id: "s".into(),
        title: "t".into(),
        round: None,
        broken: None,
        document: "d".into(),
        verdict: steps.iter().map(|step| step.verdict).max().unwrap_or(Verdict::Proved),
        duration_ms: 0,
        cleanup_ms: 0,
        requirements: Vec::new(),
        errata: Vec::new(),
        steps,
        kept: Vec::new(),
        problems: Vec::new(),
    }
}

/// The folder of the scenarios of this project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn all() -> Vec<Mutant> {
    let loaded =
        Mutant::load_all(&root(), &Catalogue::built_in().unwrap(), &Implementation::built_in().unwrap());
    loaded.unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is wrong with one file of mutants, beside faults of one program.
fn problem(text: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(FOLDER);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(root.path().join("service-mesh-integration")).unwrap();
    std::fs::write(root.path().join("service-mesh-integration/scenario.yaml"), "").unwrap();
    let faults = "programs: {proxy: {release: alb-controller, value: a.b, images: [alb-proxy], namespace: n, \
                  selector: s, faults: [clear-text-fallback]}}\n";
    std::fs::write(folder.join(FAULTS), faults).unwrap();
    std::fs::write(folder.join("a.yaml"), text).unwrap();
    let catalogue = Catalogue::built_in().unwrap();
    let loaded = Mutant::load_all(root.path(), &catalogue, &Implementation::built_in().unwrap());
    let problems = loaded.unwrap_err();
    problems.0.iter().map(|problem| problem.show()).collect()
}

fn with(fields: &str) -> String {
    format!(
        "mutants:\n- id: m\n  breaks: Something.\n  requirement: R45\n  scenarios: [service-mesh-integration]\n{fields}\n"
    )
}

#[test]
fn what_is_wrong_with_a_mutant_has_its_place_and_a_way_out() {
    let red = "  turns-red: {diagnosis: gateway-sends-istio-alpn}\n";
    for (text, wanted) in [
        (with("  fault: proxy/clear-text-fallback"), "`turns-red` is missing"),
        (with(red), "nothing is broken"),
        (with(&format!("{red}  fault: proxy/clear-text-falback")), "did you mean `clear-text-fallback`?"),
        (with(&format!("{red}  fault: mesh/x")), "no program `mesh`"),
        (with(&format!("{red}  values: {{alb-controler: {{a: 1}}}}")), "did you mean `alb-controller`?"),
        (with(&format!("{red}  values: {{alb-controller: {{a: 1}}}}")), "`control` is missing"),
        (with(&format!("{red}  fualt: proxy/clear-text-fallback")), "did you mean `fault`?"),
        (
            with("  turns-red: {diagnosis: gateway-sends-istio-alp}\n  fault: proxy/clear-text-fallback"),
            "did you mean `gateway-sends-istio-alpn`?",
        ),
        (with("  turns-red: {diagnosis: unknown}\n  fault: proxy/clear-text-fallback"), "`sees`"),
        (
            with("  turns-red: {diagnosis: unknown, sees: a}\n  fault: proxy/clear-text-fallback"),
            "`why-unknown` go together",
        ),
        (
            with(&format!("{red}  manifests: {{a.yaml: [{{merge: service/a, omit: service/a}}]}}")),
            "one of `merge`, `omit`, `add` and `replace`",
        ),
        (with(&format!("{red}  fault: proxy/clear-text-fallback\n- id: m")), "missing"),
    ] {
        let problem = problem(&text);
        assert!(problem.contains(wanted) && problem.contains("a.yaml:"), "{wanted}\n{problem}");
    }
    let unknown = with(red).replace("R45", "R99").replace("integration]", "integratio]");
    assert!(problem(&unknown).contains("there is no requirement `R99`"));
}

#[test]
fn a_fault_takes_the_images_with_faults_and_sets_the_charts_value() {
    let alb = Implementation::built_in().unwrap();
    let mutants = all();
    let mutant = mutants.iter().find(|mutant| mutant.id == "clear-text-fallback").unwrap();
    let mutated = mutant.implementation(&alb, Path::new("scratch")).unwrap();
    let values = &mutated.releases[0].values;
    assert_eq!(values["dataPlane"]["image"]["repository"], "${images.alb-proxy-faults.repository}");
    assert_eq!(values["image"]["tag"], "${images.alb-controller-faults.tag}");
    assert_eq!(values["dataPlane"]["testing"], json!({"fault": "clear-text-fallback"}));
    assert_eq!(mutated.releases[1], alb.releases[1]);
}

#[test]
fn every_mutant_reads_and_makes_its_gateway_and_its_scenarios() {
    let (catalogue, alb) = (Catalogue::built_in().unwrap(), Implementation::built_in().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    for mutant in all() {
        let mutated = mutant.implementation(&alb, scratch.path());
        let mutated = mutated.unwrap_or_else(|error| panic!("{}: {error}", mutant.id));
        for id in &mutant.scenarios {
            let scenario = mutant.scenario(&root(), id, &catalogue, &mutated);
            let scenario = scenario.unwrap_or_else(|problems| panic!("{}: {problems}", mutant.id));
            let red = &mutant.turns_red;
            let step = scenario.steps.iter().find(|step| match &red.step {
                Some(pattern) => meshproof_run::matching::glob(pattern, &step.info.name),
                None => step.info.proves.contains(&mutant.requirement),
            });
            assert!(step.is_some(), "{}: no step of {id} could turn red as it says", mutant.id);
        }
    }
}

#[test]
fn every_provable_requirement_has_a_mutant_and_there_are_enough() {
    let mutants = all();
    assert!(mutants.len() >= 60, "{}", mutants.len());
    let catalogue = Catalogue::built_in().unwrap();
    let without = without_mutant(&catalogue, &mutants);
    assert!(without.is_empty(), "no mutant breaks {}", without.join(", "));
}

/// A fault that no mutant uses proves nothing, and one that no program knows would never act.
#[test]
fn every_fault_is_in_its_program_and_has_a_mutant() {
    let mutants = all();
    let faults: BTreeSet<(String, String)> = mutants
        .iter()
        .filter_map(|mutant| mutant.mutation.fault.as_ref())
        .map(|fault| (fault.program.images.last().cloned().unwrap_or_default(), fault.name.clone()))
        .collect();
    let extension = root().join("../extension");
    let sources = |folder: &str| -> String {
        let mut text = String::new();
        for folder in [folder, "runtime"] {
            read_all(&extension.join(folder).join("src"), &mut text);
        }
        text
    };
    for (image, fault) in &faults {
        let folder = image.replace("alb-controller-istio-extension", "istio-extension").replace("alb-", "");
        assert!(sources(&folder).contains(&format!("\"{fault}\"")), "{image} knows no fault {fault}");
    }
    let programs = mutants.iter().filter_map(|mutant| mutant.mutation.fault.as_ref());
    for program in programs.map(|fault| &fault.program) {
        let image = program.images.last().cloned().unwrap_or_default();
        let unused = program.faults.iter().find(|fault| !faults.contains(&(image.clone(), (*fault).clone())));
        assert_eq!(unused, None, "no mutant has this fault of {image}");
    }
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn a_manifest_that_the_scenario_does_not_read_is_refused() {
    let (catalogue, alb) = (Catalogue::built_in().unwrap(), Implementation::built_in().unwrap());
    let mut mutant = all().remove(0);
    mutant.mutation.manifests = [("nowhere.yaml".to_owned(), Vec::new())].into();
    let error = mutant.scenario(&root(), "service-mesh-integration", &catalogue, &alb).unwrap_err();
    assert!(error.to_string().contains("reads no file"), "{error}");
}

/// The README shows what was measured, and nothing else.
#[test]
fn the_readme_tells_what_was_last_measured() {
    let measured = Table::last_measured();
    if measured.trials.is_empty() {
        return;
    }
    let readme = std::fs::read_to_string(root().join("../README.md")).unwrap();
    let table = measured.markdown(&Catalogue::built_in().unwrap());
    assert!(readme.contains(table.trim_end()), "put this into README.md:\n{table}");
    let ids: Vec<String> = all().into_iter().map(|mutant| mutant.id).collect();
    let gone = measured.trials.iter().find(|trial| !ids.contains(&trial.mutant));
    assert_eq!(gone.map(|trial| &trial.mutant), None, "measured, and no longer there");
}

fn trial(requirement: &str, outcome: Outcome, because: Option<&str>) -> Trial {
    Trial {
        mutant: "m".into(),
        breaks: "b".into(),
        requirement: requirement.into(),
        scenario: "s".into(),
        diagnosis: "d".into(),
        outcome,
        not_caught_because: because.map(str::to_owned),
        took_ms: 1,
    }
}

#[test]
fn a_table_is_good_if_all_are_caught_or_the_gap_is_said() {
    let caught = || trial("R45", Outcome::Caught, None);
    let table = |trials| Table { trials, ..Table::default() };
    assert!(table(vec![caught()]).is_good());
    assert!(!table(Vec::new()).is_good());
    assert!(!table(vec![caught(), trial("R45", Outcome::Missed, None)]).is_good());
    assert!(table(vec![caught(), trial("R45", Outcome::Missed, Some("known"))]).is_good());
    // No reason makes a mutant that was not put to the test say something.
    for nothing in [Outcome::Unviable("u".into()), Outcome::Error("e".into())] {
        assert!(!table(vec![caught(), trial("R45", nothing, Some("known"))]).is_good());
    }
}

#[test]
fn the_table_counts_by_requirement_for_every_reader() {
    let catalogue = Catalogue::built_in().unwrap();
    let trials = vec![
        trial("R45", Outcome::Caught, None),
        trial("R45", Outcome::CaughtOtherwise("another diagnosis".into()), None),
        trial("R7", Outcome::Missed, Some("known <gap>")),
    ];
    let table = Table { started: "2026-01-02T03:04:05Z".into(), trials, ..Table::default() };
    let rows = table.rows(&catalogue);
    assert_eq!(rows.iter().map(|row| row.requirement.as_str()).collect::<Vec<_>>(), ["R7", "R45"]);
    assert_eq!((rows[1].trials, rows[1].caught, rows[1].otherwise), (2, 1, 1));
    let text = table.text(&catalogue);
    assert!(text.contains("R45  1 of 2 caught") && text.contains("known: known <gap>"), "{text}");
    assert!(text.contains("3 mutants put to the test: 1 caught, 1 caught otherwise, 1 missed"), "{text}");
    let markdown = table.markdown(&catalogue);
    assert!(
        markdown.contains("| R45 | 2 | 1 | 1 | 0 | 0 |") && markdown.contains("on 2026-01-02"),
        "{markdown}"
    );
    let page = page::render(&table, &catalogue).unwrap();
    assert!(page.contains("another diagnosis") && !page.contains("known <gap>"), "texts are escaped");
    let json = serde_json::to_value(&table).unwrap();
    assert_eq!(json["trials"][1]["outcome"], "caught-otherwise");
    assert_eq!(serde_json::from_value::<Table>(json).unwrap(), table);
}
