use proptest::prelude::*;

use super::*;
use meshproof_model::event::ScenarioResult;

fn scenario(id: &str, verdict: &str, duration_ms: u64) -> ScenarioResult {
    serde_json::from_value(serde_json::json!({
        "id": id, "title": "", "document": "", "verdict": verdict, "duration_ms": duration_ms, "cleanup_ms": 0,
        "requirements": [], "errata": [], "steps": [],
    }))
    .unwrap()
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn a_share_is_one_of_several() {
    assert_eq!("2/3".parse(), Ok(Share { index: 2, of: 3 }));
    for wrong in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2", "1/2/3", "1/4000000000"] {
        assert!(wrong.parse::<Share>().is_err(), "{wrong}");
    }
}

#[test]
fn requirements_are_known_or_told_apart() {
    let catalogue = Catalogue::built_in().unwrap();
    assert_eq!(
        requirements(&ids(&["R45", "r43"]), &catalogue).unwrap().into_iter().collect::<Vec<_>>(),
        ["R43", "R45"]
    );
    let error = requirements(&ids(&["R99"]), &catalogue).unwrap_err();
    assert!(error.starts_with("there is no requirement `R99`; did you mean"), "{error}");
    let error = requirements(&ids(&["strictness"]), &catalogue).unwrap_err();
    assert!(error.ends_with("`meshproof list --requirements` lists them"), "{error}");
}

#[test]
fn what_was_not_proved_or_not_reached_runs_again() {
    let report = Report {
        scenarios: vec![scenario("a", "proved", 1), scenario("b", "failed", 1), scenario("c", "error", 1)],
        selected: ids(&["a", "b", "c", "d"]),
        ..Report::default()
    };
    assert_eq!(unproved(&report).into_iter().collect::<Vec<_>>(), ["b", "c", "d"]);
}

#[test]
fn durations_count_only_if_all_are_known() {
    let report = Report {
        scenarios: vec![
            scenario("a", "proved", 10),
            scenario("b", "proved", 20),
            scenario("b", "failed", 40),
        ],
        ..Report::default()
    };
    let known = durations(&ids(&["a", "b"]), &report).unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [("a".into(), 10), ("b".into(), 30)]);
    assert_eq!(durations(&ids(&["a", "x"]), &report), None);
}

#[test]
fn the_longest_scenario_does_not_share_with_all_the_others() {
    let all = ids(&["a", "b", "c", "long"]);
    let known = [("a", 10), ("b", 10), ("c", 10), ("long", 25)].map(|(id, ms)| (id.to_owned(), ms)).into();
    let part = |index| share(&all, Some(&known), Share { index, of: 2 });
    assert_eq!((part(1), part(2)), (ids(&["long"]), ids(&["a", "b", "c"])));
    let part = |index| share(&all, None, Share { index, of: 2 });
    assert_eq!((part(1), part(2)), (ids(&["a", "c"]), ids(&["b", "long"])));
}

proptest! {
    #[test]
    fn shares_are_the_whole_and_nearly_balanced(weights in prop::collection::vec(1_u64..100_000, 0..20), of in 1_u32..6) {
        let all: Vec<String> = (0..weights.len()).map(|number| format!("s{number}")).collect();
        let known: BTreeMap<String, u64> = all.iter().cloned().zip(weights.iter().copied()).collect();
        let shares: Vec<Vec<String>> = (1..=of).map(|index| share(&all, Some(&known), Share { index, of })).collect();
        let mut together: Vec<String> = shares.concat();
        together.sort();
        let mut sorted = all.clone();
        sorted.sort();
        prop_assert_eq!(together, sorted);
        let loads: Vec<u64> = shares.iter().map(|own| own.iter().map(|id| known[id]).sum()).collect();
        let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
        prop_assert!(spread <= weights.iter().copied().max().unwrap_or(0));
    }
}
