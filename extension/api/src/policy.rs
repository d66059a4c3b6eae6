//! What the policies of the group have in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a policy is about.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API group.
    #[serde(default)]
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; the policy's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Parts of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub section_names: Vec<String>,
}

/// What became of a policy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct PolicyStatus {
    /// `Accepted` (the policy is valid and in force) and `ResolvedRefs` (what it is about exists).
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A duration as Go writes it (`1h2m3.5s`, `300ms`, `0`), in milliseconds; none for what is no duration or negative.
pub fn go_duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let units =
            [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        // Of "ms" the "m" comes later in the list.
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail.get(unit.len()..)?;
    }
    let milliseconds = (seconds * 1000.0).round();
    // Go's longest duration is some 292 years.
    (milliseconds <= 9.2e15).then_some(milliseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, milliseconds) in [
            ("3600s", 3_600_000),
            ("1h2m3.5s", 3_723_500),
            ("300ms", 300),
            ("0s", 0),
            ("0", 0),
            ("1.5m", 90_000),
            ("5us", 0),
        ] {
            assert_eq!(go_duration(text), Some(milliseconds), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1d", "1..5s", "9999999999999999h", "+"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
