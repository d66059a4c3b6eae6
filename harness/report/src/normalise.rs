//! Replaces what changes from run to run by a name for it.
//!
//! What stays must be what a reviewer has to see: a changed transcript is a changed behaviour.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Characters Kubernetes generates names of: no vowels, no digits that look like letters.
const GENERATED: &str = "[bcdfghjklmnpqrstvwxz2456789]";

/// Patterns with what stands for them, in the order in which they are applied.
static RULES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let pod = format!("-{GENERATED}{{6,10}}-{GENERATED}{{5}}\\b");
    [
        // RFC 3339 times.
        (r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", "<time>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uid>"),
        // With or without a port.
        (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(:\d+)?\b", "<address>"),
        (pod.as_str(), "-<pod>"),
        // Frontends: `fe-` and 8 characters, a hash of load balancer and Gateway.
        (r"\bfe-[a-z0-9]{8}\b", "fe-<hash>"),
        // Image tags and digests are hashes of their content.
        (r"\bsha256:[0-9a-f]{64}\b", "<digest>"),
        (r"(/[a-z0-9-]+):[0-9a-f]{8,64}\b", "$1:<tag>"),
        (r"\b(?:[0-9a-f]{2}:){7,}[0-9a-f]{2}\b", "<serial>"),
        (r"\b[0-9a-f]{16,}\b", "<hash>"),
        (r"\b\d+(\.\d+)? ?(ms|µs|ns|s|min)\b", "<duration>"),
    ]
    .into_iter()
    .filter_map(|(pattern, name)| Some((Regex::new(pattern).ok()?, name)))
    .collect()
});

/// Keys of objects that hold nothing but volatile values.
const VOLATILE: &[&str] = &[
    "uid",
    "resourceVersion",
    "managedFields",
    "creationTimestamp",
    "lastTransitionTime",
    "lastProbeTime",
    "lastHeartbeatTime",
    "startTime",
    "startedAt",
    "finishedAt",
    "containerID",
    "imageID",
    "age",
    "selfLink",
    // What a step counts and times; its claim says what of it matters.
    "measured",
];

/// Text with volatile parts replaced.
pub fn normalise(text: &str) -> String {
    RULES
        .iter()
        .fold(text.to_string(), |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
}

/// The same for a structure: volatile keys are dropped, strings (keys as well) are normalised, empty
/// parts left out.
pub(super) fn normalise_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(normalise(text)),
        Value::Array(items) => Value::Array(items.iter().map(normalise_value).collect()),
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, value)| !is_volatile(key) && !value.is_null())
                .map(|(key, value)| (normalise(key), normalise_value(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn is_volatile(key: &str) -> bool {
    VOLATILE.contains(&key) || key.ends_with("_ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_a_pattern() {
        assert_eq!(RULES.len(), 10);
    }

    #[test]
    fn volatile_parts_get_names() {
        for (volatile, named) in [
            ("200 from backend-v1-6c8f9d7b54-q2w8z", "200 from backend-v1-<pod>"),
            (
                "pod/alb-controller-istio-extension-74f9bd6b8c-x9k2p 2/2",
                "pod/alb-controller-istio-extension-<pod> 2/2",
            ),
            ("curl fe-7k2m9x4q.alb.internal (172.18.255.200:80)", "curl fe-<hash>.alb.internal (<address>)"),
            ("ready since 2026-11-23T16:02:11Z", "ready since <time>"),
            ("uid 9c1b1f0e-5a53-4f6e-9f0e-6c1f6a1f2b7d", "uid <uid>"),
            ("first 503 after 214 ms, stayed 5.1 s", "first 503 after <duration>, stayed <duration>"),
            ("localhost/meshproof/echo:4be19f00aa12", "localhost/meshproof/echo:<tag>"),
            ("serial 1f:02:aa:bb:cc:dd:ee:ff:00", "serial <serial>"),
        ] {
            assert_eq!(normalise(volatile), named);
        }
    }

    #[test]
    fn what_a_reviewer_must_see_stays() {
        for stays in [
            "Application Gateway For Containers resource has been successfully updated.",
            "2 pods alb-controller-istio-extension- ready 2/2 restarts 0",
            "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension",
            "backend-v1:8080",
            "gateway.networking.k8s.io/v1",
            "503 upstream_tls_handshake_failed",
            "20 requests",
        ] {
            assert_eq!(normalise(stays), stays);
        }
    }

    #[test]
    fn structures_lose_volatile_keys_and_keep_the_rest() {
        let value = serde_json::json!({
            "uid": "x", "observedGeneration": 1, "lastTransitionTime": "2026-11-23T16:02:11Z", "became_ms": 12,
            "pods": [{"name": "backend-v1-6c8f9d7b54-q2w8z"}], "message": "", "none": null
        });
        let kept = serde_json::json!({"observedGeneration": 1, "pods": [{"name": "backend-v1-<pod>"}], "message": ""});
        assert_eq!(normalise_value(&value), kept);
    }

    #[test]
    fn normalising_twice_changes_nothing_more() {
        let once = normalise("backend-v1-6c8f9d7b54-q2w8z at 10.244.0.7:3000 after 3 ms");
        assert_eq!(normalise(&once), once);
    }
}
