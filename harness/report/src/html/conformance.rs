//! What the Gateway API's conformance suite found, as a section of the page.

use super::{Named, Sign, named, text};
use meshproof_model::event::{Conformance, ConformanceCount, ConformanceTest, Verdict};

/// The section.
pub(super) struct Section {
    pub(super) headline: String,
    pub(super) version: String,
    pub(super) report: Option<String>,
    pub(super) problems: Vec<String>,
    pub(super) profiles: Vec<Profile>,
    pub(super) tests: Vec<Test>,
}

/// A profile's row.
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) core: String,
    pub(super) extended: String,
    pub(super) features: Vec<Named>,
}

/// A test's row.
pub(super) struct Test {
    pub(super) verdict: Sign,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) features: String,
    pub(super) took: String,
    pub(super) why: String,
    pub(super) failed: String,
    pub(super) output: String,
}

impl Section {
    pub(super) fn new(conformance: &Conformance) -> Self {
        let mut tests: Vec<&ConformanceTest> = conformance.tests.iter().collect();
        // What is wrong stands first, what is not claimed last.
        tests.sort_by_key(|test| match test.verdict {
            Verdict::Failed => 0,
            Verdict::Error => 1,
            Verdict::Waived => 3,
            _ => 2,
        });
        let profiles = conformance.profiles.iter().map(|(name, profile)| Profile {
            name: name.clone(),
            core: count(profile.core),
            extended: count(profile.extended),
            features: [("claimed", &profile.claimed), ("not claimed", &profile.unclaimed)]
                .into_iter()
                .filter(|(_, features)| !features.is_empty())
                .map(|(what, features)| named(format!("{} {what}", features.len()), features.join(", ")))
                .collect(),
        });
        Self {
            headline: conformance.summary(),
            version: conformance.version.clone(),
            report: conformance.report.clone(),
            problems: conformance.problems.clone(),
            profiles: profiles.collect(),
            tests: tests.into_iter().map(Test::from).collect(),
        }
    }
}

/// `36 of 36`, and what is missing.
fn count(count: ConformanceCount) -> String {
    let mut line = format!("{} of {}", count.passed, count.passed + count.failed + count.skipped);
    for (number, what) in [(count.failed, "failed"), (count.skipped, "skipped")] {
        if number > 0 {
            line.push_str(&format!(", {number} {what}"));
        }
    }
    line
}

impl From<&ConformanceTest> for Test {
    fn from(test: &ConformanceTest) -> Self {
        Self {
            verdict: test.verdict.into(),
            name: test.name.clone(),
            description: test.description.clone(),
            features: test.features.join(" "),
            took: if test.verdict.is_taken() { text::duration(test.duration_ms) } else { String::new() },
            why: test.why.clone(),
            failed: test.failed.join(", "),
            output: test.output.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::sample;
    use crate::{Report, html::render};

    #[test]
    fn the_page_is_about_the_suite_and_not_about_requirements() {
        let page = render(&Report::from_events(&sample::conformance_run()), Path::new("r")).unwrap();
        for said in [
            "Gateway API conformance v1.6.3",
            "33 of 34, 1 failed",
            "HTTPRouteRedirectHostAndStatus",
            "expected 302, seen 404",
            "HTTPRouteCORS",
            r#"href="conformance-report.yaml""#,
        ] {
            assert!(page.contains(said), "{said}");
        }
        assert!(!page.contains("What each requirement promises"));
        assert!(page.contains("1 proved, 1 failed, 1 not claimed"));
    }
}
