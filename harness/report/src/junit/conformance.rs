//! The Gateway API's conformance suite: a suite, and a case for each of its tests.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use meshproof_model::event::{Conformance, ConformanceTest, Verdict};

const NAME: &str = "gateway-api-conformance";

pub(super) fn suite(conformance: &Conformance) -> TestSuite {
    let mut suite = TestSuite::new(NAME);
    suite.add_property(Property::new("version", conformance.version.as_str()));
    for (name, profile) in &conformance.profiles {
        let counts = [("core", profile.core), ("extended", profile.extended)];
        for (part, count) in counts {
            let value =
                format!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
            suite.add_property(Property::new(format!("{name} {part}"), value));
        }
    }
    for test in &conformance.tests {
        suite.add_test_case(case(test));
    }
    for problem in &conformance.problems {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(problem.as_str());
        let mut case = TestCase::new("suite", status);
        case.set_classname(NAME);
        suite.add_test_case(case);
    }
    suite
}

fn case(test: &ConformanceTest) -> TestCase {
    let mut status = match test.verdict {
        Verdict::Proved | Verdict::Partly | Verdict::Measured => TestCaseStatus::success(),
        Verdict::Skipped | Verdict::Waived => TestCaseStatus::skipped(),
        Verdict::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if !test.why.is_empty() {
        status.set_message(test.why.as_str());
    }
    if !test.failed.is_empty() {
        status.set_description(format!("failed: {}", test.failed.join(", ")));
    }
    let mut case = TestCase::new(test.name.as_str(), status);
    case.set_classname(NAME);
    case.set_time(Duration::from_millis(test.duration_ms));
    case.add_property(Property::new("verdict", test.verdict.to_string()));
    case.add_property(Property::new("features", test.features.join(" ")));
    if !test.output.is_empty() {
        case.set_system_out(test.output.as_str());
    }
    case
}

#[cfg(test)]
mod tests {
    use crate::sample;
    use crate::{Report, junit::render};

    #[test]
    fn each_test_is_a_case_that_says_what_it_is_about() {
        let xml = render(&Report::from_events(&sample::conformance_run())).unwrap();
        assert!(xml.contains(r#"<testsuite name="gateway-api-conformance""#), "{xml}");
        assert!(
            xml.contains(r#"<failure message="expected 302, seen 404"/>"#)
                || xml.contains("expected 302, seen 404")
        );
        assert!(xml.contains(r#"value="33 passed, 1 failed, 0 skipped""#), "{xml}");
        assert!(xml.contains(r#"failures="1""#) && xml.contains("HTTPRouteRedirectHostAndStatus"), "{xml}");
        assert!(xml.contains(r#"<skipped message="a feature of it is not claimed"/>"#), "{xml}");
    }
}
