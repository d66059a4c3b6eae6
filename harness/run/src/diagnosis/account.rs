//! What the gateway says of a failure on the way to a backend.

use super::Facts;

/// An answer was wanted, and the gateway got none from the backend; or it was to be refused, and was not for the reason that
/// was to be. Where the gateway keeps no log, its status says as much as there is.
pub(super) fn failed(facts: &Facts) -> bool {
    let claim = &facts.claim;
    let unanswered = claim.expected_status == Some(200) && claim.last_status != Some(200);
    let given = facts.last_account().map(|entry| entry.reason.as_str());
    // Who waits for mutual TLS to fail does not want to hear why it does.
    let otherwise = match (&claim.expected_reason, given) {
        (Some(wanted), Some(given)) if claim.expected_status == claim.last_status => {
            wanted != given && wanted != "upstream_tls_handshake_failed"
        }
        _ => false,
    };
    (unanswered || otherwise)
        && match facts.last_account() {
            Some(entry) => {
                let reason = entry.reason.as_str();
                ["upstream_tls_handshake_failed", "upstream_reset", "upstream_connect_failed"]
                    .contains(&reason)
                    || entry.status == 403
            }
            None => matches!(claim.last_status, Some(403 | 502 | 503)),
        }
}

/// What the gateway says of the failure, for the reasons.
pub(super) fn account(facts: &Facts) -> String {
    match facts.last_account() {
        Some(entry) => {
            let pod = entry.upstream_pod.as_deref().map(|pod| format!(" for {pod}")).unwrap_or_default();
            format!("the gateway's log: {} {}{pod}", entry.status, entry.reason)
        }
        None => match facts.claim.last_status {
            Some(status) => format!("the gateway answers {status}, and its log says nothing of it"),
            None => "the gateway's log says nothing of it".to_owned(),
        },
    }
}
