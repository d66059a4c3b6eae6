//! `junit.xml`: a suite per scenario, a case per step.

mod conformance;

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, SerializeError, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::{
    explain::explain,
    json::Report,
    text::{in_other_words, outcome},
};
use meshproof_model::event::{Attempt, ScenarioResult, StepResult, Verdict};

/// The run in JUnit's format.
pub(super) fn render(report: &Report) -> Result<String, SerializeError> {
    let mut junit = quick_junit::Report::new("meshproof");
    junit.set_time(Duration::from_millis(report.timings.total));
    junit.add_test_suites(report.scenarios.iter().map(|scenario| suite(report, scenario)));
    junit.add_test_suites(report.conformance.iter().map(conformance::suite));
    // A phase that failed and was made good says nothing, where scenarios ran.
    if report.scenarios.is_empty() || report.exit_code.is_some_and(|code| code > 1) {
        junit.add_test_suites(setup(report));
    }
    junit.add_test_suites(not_run(report));
    junit.to_string()
}

/// A run that did not come to all of its scenarios: its failed phases say why.
fn setup(report: &Report) -> Option<TestSuite> {
    if report.errors.is_empty() {
        return None;
    }
    let mut suite = TestSuite::new("set-up");
    for (phase, error) in &report.errors {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(error.as_str());
        let mut case = TestCase::new(phase.as_str(), status);
        case.set_classname("set-up");
        suite.add_test_case(case);
    }
    Some(suite)
}

/// Scenarios that were to run and did not come to their end: a report without them must not look complete.
fn not_run(report: &Report) -> Option<TestSuite> {
    let mut suite = TestSuite::new("not-run");
    for id in report.not_run() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("was to run and did not come to its end");
        let mut case = TestCase::new(id, status);
        case.set_classname("not-run");
        suite.add_test_case(case);
    }
    (!suite.test_cases.is_empty()).then_some(suite)
}

fn suite(report: &Report, scenario: &ScenarioResult) -> TestSuite {
    let mut suite = TestSuite::new(scenario.name());
    suite.set_time(Duration::from_millis(scenario.duration_ms));
    suite.add_property(Property::new("title", scenario.title.as_str()));
    suite.add_property(Property::new("document", scenario.document.as_str()));
    suite.add_property(Property::new("verdict", scenario.verdict.to_string()));
    if scenario.broken.is_some() {
        suite.add_property(Property::new("broken on purpose", outcome(scenario)));
    }
    for requirement in &scenario.requirements {
        suite.add_property(Property::new(requirement.id.as_str(), requirement.verdict.to_string()));
    }
    let attempts = report.attempts.get(&scenario.id).map(Vec::as_slice).unwrap_or_default();
    if report.flaky.contains(&scenario.id) {
        suite.add_property(Property::new("flaky", "proved only when run again"));
    }
    if let Some(parent) = report.rerun_of.as_ref().filter(|_| report.carried_over.contains(&scenario.id)) {
        suite.add_property(Property::new("carried over from", parent.as_str()));
    }
    for step in &scenario.steps {
        let mut case = case(scenario, step);
        // A scenario that broke off outside of any step has its attempts at the first one.
        let own = attempts.iter().filter(|attempt| attempt.step.unwrap_or(0) == step.info.index);
        for attempt in own {
            case.status.add_rerun(rerun(attempt));
        }
        suite.add_test_case(case);
    }
    for problem in &scenario.problems {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(problem.as_str());
        let mut case = TestCase::new("clean-up", status);
        case.set_classname(scenario.name());
        suite.add_test_case(case);
    }
    suite
}

/// An attempt before: of a case that passed at last it makes a flaky one.
fn rerun(attempt: &Attempt) -> TestRerun {
    let kind = match attempt.verdict {
        Verdict::Failed => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut rerun = TestRerun::new(kind);
    rerun.set_message(format!("{} in run {}: {}", attempt.verdict, attempt.run, attempt.why));
    if let Some(diagnosis) = &attempt.diagnosis {
        rerun.set_type(diagnosis.as_str());
    }
    rerun
}

fn case(scenario: &ScenarioResult, step: &StepResult) -> TestCase {
    let mut status = match step.verdict {
        // A case is good or it is not; how good is a property.
        Verdict::Proved | Verdict::Partly | Verdict::Measured => TestCaseStatus::success(),
        Verdict::Skipped | Verdict::Waived => TestCaseStatus::skipped(),
        Verdict::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if let Some(because) = &step.info.waived {
        status.set_message(format!("waived: {because}"));
    }
    if let Some(failure) = &step.failure {
        status.set_message(format!("expected {}; seen {}", failure.expected, failure.seen));
        if let Some(diagnosis) = &failure.diagnosis {
            status.set_type(diagnosis.id.as_str());
        }
    }
    let is_culprit = scenario.culprit().is_some_and(|culprit| culprit.info.index == step.info.index);
    if is_culprit {
        status.set_description(explain(scenario));
    }
    // The number keeps names apart: a scenario may claim the same thing twice.
    let mut case = TestCase::new(format!("{:02} {}", step.info.index + 1, step.info.name), status);
    case.set_classname(scenario.name());
    case.set_time(Duration::from_millis(step.duration_ms));
    case.add_property(Property::new("verdict", step.verdict.to_string()));
    for (name, ids) in [
        ("proves", &step.info.proves),
        ("does not prove", &step.info.sets_aside),
        ("breaks", &step.info.breaks),
    ] {
        if !ids.is_empty() {
            case.add_property(Property::new(name, ids.join(" ")));
        }
    }
    let mut out = step.observed.summary.clone();
    if let Some(instead) = &step.info.instead {
        out.push_str(&format!("\ninstead {}", in_other_words(instead)));
    }
    if !out.is_empty() {
        case.set_system_out(out);
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_run_is_a_suite_per_scenario() {
        insta::assert_snapshot!(render(&Report::from_events(&sample::failed_run())).unwrap());
    }

    #[test]
    fn what_was_proved_only_when_it_ran_again_is_flaky() {
        let mut report = Report::from_events(&sample::proved_run());
        let id = report.scenarios[0].id.clone();
        let attempt = Attempt { run: "first".into(), ..Attempt::of("first", &sample::failed()) };
        report.attempts.insert(id.clone(), vec![attempt]);
        report.flaky.push(id);
        let xml = render(&report).unwrap();
        assert!(xml.contains("<flakyFailure ") && xml.contains("failed in run first"), "{xml}");
        assert!(xml.contains(r#"<property name="flaky""#) && xml.contains("failures=\"0\""), "{xml}");
    }

    #[test]
    fn what_was_to_run_and_did_not_is_an_error() {
        let mut report = Report::from_events(&sample::proved_run());
        report.selected.push("gone/missing".into());
        let xml = render(&report).unwrap();
        assert!(xml.contains("name=\"gone/missing\"") && xml.contains("errors=\"1\""), "{xml}");
    }

    #[test]
    fn what_is_waived_is_skipped_with_the_reason() {
        let xml = render(&Report::from_events(&sample::waived_run())).unwrap();
        assert!(xml.contains(r#"<skipped message="waived: It has no extension."/>"#), "{xml}");
        assert!(xml.contains("It announces an Istio ALPN."), "{xml}");
    }

    #[test]
    fn a_broken_world_that_turned_red_is_a_success_and_says_so() {
        let mut report = Report::from_events(&sample::proved_run());
        report.scenarios = vec![sample::red()];
        let xml = render(&report).unwrap();
        assert!(xml.contains("failures=\"0\"") && xml.contains("errors=\"0\""), "{xml}");
        let said = "red as expected: step 5 failed with gateway-sends-istio-alpn";
        assert!(xml.contains(said) && !xml.contains("name=\"R45\""), "{xml}");
        assert!(xml.contains("name=\"breaks\" value=\"R45\""), "{xml}");
    }

    #[test]
    fn a_run_without_scenarios_tells_what_went_wrong_before() {
        let events = [meshproof_model::event::Event::PhaseFinished {
            phase: "engine".into(),
            elapsed_ms: 3,
            error: Some("no Docker Engine answers".into()),
        }];
        let xml = render(&Report::from_events(&events)).unwrap();
        assert!(xml.contains("errors=\"1\"") && xml.contains("no Docker Engine answers"), "{xml}");
    }
}
