//! Pods that write although another leads.

use super::{Facts, diagnosis, facts::text};
use meshproof_model::event::Diagnosis;

/// `second-writer`: the API server's audit log has a write by a pod that did not hold the Lease.
pub(super) fn second_writer(facts: &Facts) -> Option<Diagnosis> {
    if facts.claim.word != "single-writer" {
        return None;
    }
    let detail = &facts.claim.detail;
    let others = detail["others"].as_array()?;
    let first = others.first()?;
    let (pod, object, at) = (text(&first["pod"]), text(&first["object"]), text(&first["at"]));
    let lease = text(&detail["lease"]);
    let had_led = match first["held_until"].as_str() {
        Some(until) => format!("went on after {until}, when it no longer held it"),
        None => "had not held it at all until then".to_owned(),
    };
    let account = |other: &serde_json::Value| text(&other["in_words"]).to_owned();
    let because = others.iter().take(3).map(account).chain([format!(
        "{pod} {had_led}; the token of each request names its pod, and the API server's log the time"
    )]);
    Some(diagnosis(
        "second-writer",
        format!("pod {pod} wrote {object} at {at} without holding {lease}"),
        because,
        "see in the pod's log (below logs/ in the evidence) why it took itself for the leader then; seen.json has the other writes",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "azure-alb-system/alb-controller-istio-extension-74f9bd6b8c-x9k2p";

    fn written(word: &str, held_until: Option<&str>) -> Facts {
        let mut facts = Facts::default();
        facts.claim.word = word.into();
        let object = "secrets alb-controller-istio-extension-identity in azure-alb-system";
        let at = "2026-12-01T07:10:03.120944Z";
        facts.claim.detail = json!({
            "lease": "lease/alb-controller-istio-extension in azure-alb-system",
            "others": [{"pod": POD, "object": object, "at": at, "held_until": held_until,
                "in_words": format!("{POD} updated {object} at {at}, when another held the Lease")}],
        });
        facts
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        vec![provoked("second-writer", POD, written("single-writer", None))]
    }

    #[test]
    fn it_says_what_was_written_when_and_whether_the_pod_had_led() {
        let said = |until| diagnose(&written("single-writer", until));
        let title = said(None).title;
        assert!(title.contains("secrets alb-controller-istio-extension-identity"), "{title}");
        assert!(title.contains("2026-12-01T07:10:03.120944Z"), "{title}");
        assert!(said(None).because.iter().any(|reason| reason.contains("had not held it at all")));
        let after = said(Some("2026-12-01T07:10:00Z")).because;
        assert!(
            after.iter().any(|reason| reason.contains("went on after 2026-12-01T07:10:00Z")),
            "{after:?}"
        );
    }

    #[test]
    fn a_claim_about_something_else_has_no_second_writer() {
        assert_eq!(diagnose(&written("leads", None)).id, "unknown");
        let mut silent = written("single-writer", None);
        silent.claim.detail = Value::Null;
        assert_eq!(diagnose(&silent).id, "unknown");
    }
}
