use super::*;
use crate::sample;
use meshproof_model::event::{Hop, Traffic, TrafficFailure};

fn proved_run() -> Report {
    Report { run: "before".into(), ..Report::from_events(&sample::proved_run()) }
}

/// The main scenario, failed.
fn failed_run() -> Report {
    let mut report = Report { run: "after".into(), ..Report::from_events(&sample::failed_run()) };
    report.scenarios.remove(0);
    report.scenarios[0].id = "service-mesh-integration".into();
    report
}

#[test]
fn what_got_worse_comes_first() {
    let diff = diff(&proved_run(), &failed_run());
    assert!(diff.is_worse());
    insta::assert_snapshot!(diff.text());
}

#[test]
fn the_same_for_machines() {
    insta::assert_json_snapshot!(diff(&proved_run(), &failed_run()));
}

#[test]
fn another_good_run_makes_no_difference() {
    let json = serde_json::to_string(&proved_run()).unwrap();
    let json = json.replace("6c8f9d7b54-q2w8z", "79b5cc4d6f-h4xzw").replace("172.18.255.200", "172.19.0.1");
    let mut other: Report = serde_json::from_str(&json).unwrap();
    for step in &mut other.scenarios[0].steps {
        step.duration_ms += 499;
        step.observed.answers.iter_mut().for_each(|group| group.count += 3);
    }
    let diff = diff(&proved_run(), &other);
    assert_eq!(diff.changes, []);
    assert!(diff.text().ends_with("\nNo difference.\n"));
}

#[test]
fn runs_of_different_things_say_so_although_versions_are_the_same() {
    let with = |digest: &str| {
        let mut report = proved_run();
        let digests = &mut report.basis.digests;
        digests.charts = [("alb-controller".to_owned(), digest.repeat(64).into())].into();
        digests.charts.insert("the-same".to_owned(), "sha256:1".to_owned().into());
        let of_proxy = format!("sha256:{}", digest.repeat(64));
        digests.running = [("alb-proxy".to_owned(), of_proxy.into())].into();
        report
    };
    let diff = diff(&with("a"), &with("b"));
    assert!(!diff.is_worse());
    let names: Vec<_> = diff.changes.iter().filter_map(|change| change.name.as_deref()).collect();
    assert_eq!(names, ["chart alb-controller", "running image alb-proxy"]);
    assert!(
        diff.changes
            .iter()
            .all(|change| (change.subject, change.aspect) == (Subject::Setting, Aspect::Content))
    );
    let text = diff.text();
    assert!(text.contains("running image alb-proxy: sha256:aaaaaaaaaaaa… → sha256:bbbbbbbbbbbb…"), "{text}");
    assert!(text.contains("No difference in verdicts."), "{text}");
    let unknown = super::diff(&with("a"), &proved_run());
    assert_eq!(unknown.changes, [], "what one run did not see is no difference");
}

#[test]
fn getting_better_is_not_worse() {
    let diff = diff(&failed_run(), &proved_run());
    assert!(!diff.is_worse());
    assert!(diff.changes.iter().any(|change| change.grade == Grade::Better));
}

#[test]
fn what_was_not_reached_any_more_is_told_in_few_lines() {
    let mut stopped = proved_run();
    let scenario = &mut stopped.scenarios[0];
    scenario.verdict = Verdict::Failed;
    scenario.steps[1].verdict = Verdict::Failed;
    scenario.steps[2..].iter_mut().for_each(|step| step.verdict = Verdict::Skipped);
    scenario.requirements[1..].iter_mut().for_each(|requirement| requirement.verdict = Verdict::Skipped);
    let text = diff(&proved_run(), &stopped).text();
    assert!(text.contains("\n  R43, R45: proved → skipped\n"), "{text}");
    assert!(text.contains("\n    pods in azure-alb-system become as described: proved → failed\n"), "{text}");
    assert!(text.contains("\n    3 steps: proved → skipped\n"), "{text}");
}

#[test]
fn what_is_not_tried_any_more_got_worse() {
    let mut without = proved_run();
    without.scenarios.clear();
    let diff = diff(&proved_run(), &without);
    assert!(diff.is_worse());
    assert!(diff.text().contains("R10, R43, R45: proved → not run"), "{}", diff.text());
}

#[test]
fn what_was_proved_and_is_waived_got_worse() {
    let waived = Report::from_events(&sample::waived_run());
    let there = diff(&proved_run(), &waived);
    assert!(there.is_worse());
    assert!(there.text().contains("R45: proved → waived"), "{}", there.text());
    assert!(!diff(&waived, &proved_run()).is_worse());
    assert!(matches!(grade(Some(Verdict::Failed), Some(Verdict::Waived)), Grade::Other));
}

#[test]
fn times_count_only_beyond_both_limits() {
    for (a, b, counts) in [
        (100, 599, false),
        (100, 600, true),
        (10_000, 12_499, false),
        (10_000, 12_500, true),
        (12_500, 10_000, true),
        (0, 400, false),
    ] {
        assert_eq!(NOISE.is_exceeded(a, b), counts, "{a} {b}");
    }
}

#[test]
fn steps_and_versions_that_came_or_went_are_told() {
    let mut other = proved_run();
    other.cluster.as_mut().unwrap().istio = "1.32".into();
    let steps = &mut other.scenarios[0].steps;
    steps.remove(3);
    let mut again = steps[0].clone();
    again.observed.summary = "the same name once more".into();
    steps.push(again);
    let text = diff(&proved_run(), &other).text();
    assert!(text.contains("Istio: 1.31 → 1.32"), "{text}");
    assert!(text.contains("delete peer-authentication.yaml: the step is gone"), "{text}");
    assert!(text.contains("install implementation: a new step"), "{text}");
    assert!(text.contains("No difference in verdicts."), "{text}");
}

/// A good run whose constant traffic failed so often for each of these reasons.
fn with_failures(reasons: &[(&str, usize)]) -> Report {
    let failure = |reason: &str| TrafficFailure {
        at_ms: 3,
        status: Some(503),
        reason: reason.into(),
        hop: Hop::Gateway,
        seen: format!("503 ({reason})"),
    };
    let failures = reasons.iter().flat_map(|(reason, times)| vec![failure(reason); *times]).collect();
    let mut report = proved_run();
    let traffic = Traffic { sent: 1000, failures, ..Traffic::default() };
    report.scenarios[0].steps[2].observed.traffic = Some(Box::new(traffic));
    report
}

#[test]
fn failures_of_constant_traffic_are_told() {
    let told = |a: &[(&str, usize)], b: &[(&str, usize)]| diff(&with_failures(a), &with_failures(b)).text();
    let text = told(&[], &[("no_endpoint", 1)]);
    assert!(text.contains("constant traffic: 0 failures → 1 failure (no_endpoint)"), "{text}");
    let text = told(&[("reset", 9)], &[("no_endpoint", 2), ("reset", 7)]);
    assert!(
        text.contains("constant traffic: 9 failures (reset) → 9 failures (no_endpoint, reset)"),
        "{text}"
    );
    let text = told(&[("reset", 40)], &[("reset", 12)]);
    assert!(text.contains("constant traffic: 40 failures (reset) → 12 failures (reset)"), "{text}");
}

#[test]
fn a_few_more_failures_of_the_same_kind_make_no_difference() {
    for (a, b) in [(0, 0), (1, 9), (4, 13), (100, 300), (300, 100)] {
        let diff = diff(&with_failures(&[("reset", a)]), &with_failures(&[("reset", b)]));
        assert_eq!(diff.changes, [], "{a} {b}");
    }
}

#[test]
fn what_ran_without_istio_has_no_version_to_compare() {
    let mut without = proved_run();
    without.cluster.as_mut().unwrap().istio = String::new();
    without.implementation.as_mut().unwrap().version = String::new();
    assert_eq!(diff(&proved_run(), &without).changes, []);
    without.implementation.as_mut().unwrap().name = "other".into();
    let text = diff(&proved_run(), &without).text();
    assert!(text.contains("→ other\n"), "{text}");
}
