//! The suite's own report (Gateway API, `ConformanceReport`).

use std::collections::BTreeMap;

use meshproof_model::event::{ConformanceCount, ConformanceProfile};
use meshproof_model::yaml;
use serde::Deserialize;

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    name: String,
    #[serde(default)]
    core: Part,
    #[serde(default)]
    extended: Part,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    statistics: Statistics,
    #[serde(default)]
    supported_features: Vec<String>,
    #[serde(default)]
    unsupported_features: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    #[serde(default)]
    passed: u32,
    #[serde(default)]
    failed: u32,
    #[serde(default)]
    skipped: u32,
}

impl From<Statistics> for ConformanceCount {
    fn from(Statistics { passed, failed, skipped }: Statistics) -> Self {
        Self { passed, failed, skipped }
    }
}

/// What the report says of each profile.
///
/// # Errors
/// It is no such report.
pub fn profiles(text: &str) -> Result<BTreeMap<String, ConformanceProfile>, yaml::Error> {
    let report: Report = yaml::from_str(text)?;
    let profile = |profile: Profile| {
        let found = ConformanceProfile {
            core: profile.core.statistics.into(),
            extended: profile.extended.statistics.into(),
            claimed: profile.extended.supported_features,
            unclaimed: profile.extended.unsupported_features,
        };
        (profile.name, found)
    };
    Ok(report.profiles.into_iter().map(profile).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_own_count_is_read() {
        let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: ConformanceReport\nprofiles:\n- name: GATEWAY-HTTP\n  core:\n    \
                    result: failure\n    failedTests: [A]\n    statistics: {Failed: 1, Passed: 35, Skipped: 0}\n  extended:\n    \
                    statistics: {Failed: 0, Passed: 9, Skipped: 1}\n    supportedFeatures: [Mirror]\n    unsupportedFeatures: [Cors]\n";
        let profiles = profiles(text).unwrap();
        let found = &profiles["GATEWAY-HTTP"];
        assert_eq!(found.core, ConformanceCount { passed: 35, failed: 1, skipped: 0 });
        assert_eq!(found.extended, ConformanceCount { passed: 9, failed: 0, skipped: 1 });
        assert_eq!((found.claimed[0].as_str(), found.unclaimed[0].as_str()), ("Mirror", "Cors"));
    }
}
