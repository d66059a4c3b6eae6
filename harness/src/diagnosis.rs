//! From what was collected to a named cause.
//!
//! A pure function: facts in, [`Diagnosis`] out. Rules are tried in order, from what stops everything else
//! (an image that is missing) to what only shows in the answers; the first that recognises the facts wins.
//! Ids are stable: scenarios that break the world on purpose require them.

mod backend_tls;
mod facts;
mod gateway;
mod mesh;
mod pods;
mod route;

pub use self::facts::{Claim, Facts};
use crate::event::Diagnosis;

/// A rule: the cause, if the facts show it.
type Rule = fn(&Facts) -> Option<Diagnosis>;

/// Every rule, in the order in which they are tried.
const RULES: &[Rule] = &[
    pods::image_missing,
    gateway::wrong_class,
    route::backend_not_found,
    route::backend_port_missing,
    backend_tls::policy_not_usable,
    backend_tls::backend_not_verified,
    mesh::mesh_wide_strict,
    mesh::gateway_sends_istio_alpn,
    mesh::no_client_certificate,
    mesh::backend_without_sidecar,
    mesh::namespace_label_missing,
    mesh::upstream_identity_mismatch,
    mesh::no_strict_peer_authentication,
    gateway::no_address,
    pods::pod_not_ready,
];

/// The cause that the facts name. Never silent: without one, `unknown` says where to look.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    RULES.iter().find_map(|rule| rule(facts)).unwrap_or_else(|| unknown(facts))
}

fn unknown(facts: &Facts) -> Diagnosis {
    let mut because: Vec<String> = facts
        .accounts()
        .last()
        .map(|entry| format!("the gateway's last word: {} ({})", entry.status, entry.reason))
        .into_iter()
        .collect();
    because.extend(facts.warnings().into_iter().take(3));
    diagnosis(
        "unknown",
        "nothing in the evidence names a cause that is known here",
        because,
        "read access-log.jsonl (which hop answered, and why), then the objects' conditions and events in the evidence",
    )
}

/// A reason longer than this is cut: the whole of it stands in the evidence.
const LONGEST: usize = 260;

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_string(),
    }
}

/// Builds a diagnosis.
fn diagnosis(
    id: &str,
    title: impl Into<String>,
    because: impl IntoIterator<Item = String>,
    next: impl Into<String>,
) -> Diagnosis {
    Diagnosis {
        id: id.into(),
        title: title.into(),
        because: because.into_iter().map(|reason| shortened(&reason)).collect(),
        next: next.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_known_cause_it_says_where_to_look() {
        let diagnosis = diagnose(&Facts::default());
        assert_eq!(diagnosis.id, "unknown");
        assert!(diagnosis.next.contains("access-log.jsonl"));
    }

    #[test]
    fn an_unknown_cause_still_tells_the_gateways_last_word() {
        let facts = Facts::sample().answered(500, "overloaded");
        let diagnosis = diagnose(&facts);
        assert_eq!((diagnosis.id.as_str(), diagnosis.because.len()), ("unknown", 1));
        assert!(diagnosis.because[0].contains("500 (overloaded)"));
    }
}
