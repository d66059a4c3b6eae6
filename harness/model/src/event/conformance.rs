//! What the Gateway API's own conformance suite found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Verdict;

/// A test of the suite, after it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConformanceTest {
    /// Its short name, e.g. `HTTPRouteSimpleSameNamespace`.
    pub name: String,
    /// What it is about, in the suite's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The features that it puts to the test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Proved, failed, waived (a feature is not claimed), skipped by the suite itself, or error: it did not come to its end.
    pub verdict: Verdict,
    /// How long it took; tests run side by side.
    pub duration_ms: u64,
    /// Parts of it that failed, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// Why it is not proved, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The end of what it printed, if it is not proved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// How many tests of a profile came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConformanceCount {
    /// Passed.
    pub passed: u32,
    /// Failed, or without an end.
    pub failed: u32,
    /// Left out, by the suite itself or by whoever asked for some tests only.
    pub skipped: u32,
}

/// What came of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConformanceProfile {
    /// Tests of core features alone.
    pub core: ConformanceCount,
    /// Tests of claimed extended features.
    pub extended: ConformanceCount,
    /// Extended features that are claimed.
    pub claimed: Vec<String>,
    /// Extended features that are not.
    pub unclaimed: Vec<String>,
}

/// What came of the suite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conformance {
    /// The suite's version, which is the Gateway API's.
    pub version: String,
    /// Profiles, by name.
    pub profiles: BTreeMap<String, ConformanceProfile>,
    /// Every test that was to run, in the order in which they ended; those about features that are not claimed come last.
    pub tests: Vec<ConformanceTest>,
    /// The suite's own report (`ConformanceReport`), seen from the folder of the results. There is none of a part of the suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What went wrong outside of any test: what the suite sets up first, clean-up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Conformance {
    /// Tests with this verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &ConformanceTest> {
        self.tests.iter().filter(move |test| test.verdict == verdict)
    }

    /// What it proves of the gateway: everything that is claimed, or not.
    pub fn verdict(&self) -> Verdict {
        let claimed =
            self.tests.iter().map(|test| test.verdict).filter(|verdict| *verdict != Verdict::Waived);
        let worst = claimed.max().unwrap_or(Verdict::Waived);
        match worst {
            Verdict::Failed => Verdict::Failed,
            _ if !self.problems.is_empty() => Verdict::Error,
            // Left out by the suite itself, for something that this cluster lacks: nothing was seen that speaks against it.
            Verdict::Skipped => Verdict::Partly,
            verdict => verdict,
        }
    }

    /// One line: `41 proved, 2 failed, 3 skipped, 20 not claimed`.
    pub fn summary(&self) -> String {
        let count = |verdict| self.with(verdict).count();
        let parts = [
            (count(Verdict::Proved), "proved"),
            (count(Verdict::Failed), "failed"),
            (count(Verdict::Error), "without an end"),
            (count(Verdict::Skipped), "skipped"),
            (count(Verdict::Waived), "not claimed"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        if parts.is_empty() { "no test ran".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conformance(verdicts: &[Verdict]) -> Conformance {
        let test = |verdict: &Verdict| ConformanceTest {
            name: "A".into(),
            description: String::new(),
            features: Vec::new(),
            verdict: *verdict,
            duration_ms: 0,
            failed: Vec::new(),
            why: String::new(),
            output: String::new(),
        };
        Conformance { tests: verdicts.iter().map(test).collect(), ..Conformance::default() }
    }

    #[test]
    fn what_is_claimed_and_does_not_hold_counts_and_what_is_not_claimed_does_not() {
        use Verdict::{Error, Failed, Partly, Proved, Skipped, Waived};
        for (verdicts, whole) in [
            (&[Proved, Waived][..], Proved),
            (&[Proved, Failed, Error], Failed),
            (&[Proved, Error], Error),
            (&[Proved, Skipped], Partly),
            (&[Waived], Waived),
            (&[], Waived),
        ] {
            assert_eq!(conformance(verdicts).verdict(), whole, "{verdicts:?}");
        }
        let mut unclean = conformance(&[Proved]);
        unclean.problems.push("a namespace stays".into());
        assert_eq!(unclean.verdict(), Error);
    }

    #[test]
    fn a_summary_names_what_there_is() {
        use Verdict::{Failed, Proved, Waived};
        assert_eq!(
            conformance(&[Proved, Proved, Failed, Waived]).summary(),
            "2 proved, 1 failed, 1 not claimed"
        );
        assert_eq!(conformance(&[]).summary(), "no test ran");
    }
}
