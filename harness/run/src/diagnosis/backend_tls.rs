//! Causes that lie with a BackendTLSPolicy.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{items, name_of, text},
};
use crate::probe::AccessLogEntry;
use meshproof_model::event::Diagnosis;

/// `backend-tls-policy-not-usable`: the gateway was told to speak TLS in a way that cannot be.
pub(super) fn policy_not_usable(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "tls_policy_invalid")?;
    let because = [account(last)].into_iter().chain(policies(facts).flat_map(complaints));
    Some(diagnosis(
        "backend-tls-policy-not-usable",
        format!(
            "the BackendTLSPolicy for {}/{} cannot be used",
            facts.claim.namespace_of_backend(),
            facts.claim.backend
        ),
        because,
        "correct what the policy's conditions name: until then no request reaches the backend",
    ))
}

/// `backend-not-verified`: the backend did not prove what a BackendTLSPolicy asks for.
pub(super) fn backend_not_verified(facts: &Facts) -> Option<Diagnosis> {
    let is_about = |entry: &&AccessLogEntry| {
        entry.upstream_tls.as_ref().is_some_and(|tls| tls.mode == "tls")
            && matches!(entry.reason.as_str(), "upstream_tls_handshake_failed" | "upstream_identity_mismatch")
    };
    let last = facts.last_account().filter(is_about)?;
    let asks = policies(facts).map(|policy| {
        let validation = &policy["spec"]["validation"];
        let refs = items(&validation["caCertificateRefs"]);
        let trusted: Vec<&str> = refs.iter().map(|reference| text(&reference["name"])).collect();
        let trusted = match trusted.is_empty() {
            true => "public authorities".to_owned(),
            false => trusted.join(", "),
        };
        let hostname = text(&validation["hostname"]);
        format!("BackendTLSPolicy {} wants {hostname}, vouched for by {trusted}", name_of(policy))
    });
    Some(diagnosis(
        "backend-not-verified",
        format!(
            "{}/{} did not prove what its BackendTLSPolicy asks for",
            facts.claim.namespace_of_backend(),
            facts.claim.backend
        ),
        [account(last)].into_iter().chain(asks),
        "compare the certificate the pod serves with the policy's hostname and CA certificates",
    ))
}

/// The policies for the backend of the claim.
fn policies(facts: &Facts) -> impl Iterator<Item = &Value> {
    let claim = &facts.claim;
    facts.list("backendtlspolicies").iter().filter(move |policy| {
        policy["metadata"]["namespace"] == claim.namespace_of_backend()
            && items(&policy["spec"]["targetRefs"])
                .iter()
                .any(|target| target["name"] == claim.backend.as_str())
    })
}

/// What the controller holds against a policy.
fn complaints(policy: &Value) -> Vec<String> {
    let ancestors = items(&policy["status"]["ancestors"]).iter();
    let conditions = ancestors.flat_map(|ancestor| items(&ancestor["conditions"]));
    let negative = conditions.filter(|condition| condition["status"] == "False");
    negative
        .map(|condition| {
            let (kind, reason) = (text(&condition["type"]), text(&condition["reason"]));
            format!("{kind} is False ({reason}): {}", text(&condition["message"]))
        })
        .collect()
}

/// The gateway's account in words.
fn account(entry: &AccessLogEntry) -> String {
    let detail = entry.rest.get("detail").and_then(Value::as_str);
    let detail = detail.map(|detail| format!(", {detail}")).unwrap_or_default();
    format!("the gateway's log: {} {}{detail}", entry.status, entry.reason)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let backend = "isto-example-namespace/backend-v1";
        vec![
            provoked("backend-tls-policy-not-usable", backend, facts("tls_policy_invalid")),
            provoked("backend-not-verified", backend, facts("upstream_tls_handshake_failed")),
        ]
    }

    fn facts(reason: &str) -> Facts {
        let policy = json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "backend-v1"},
            "spec": {
                "targetRefs": [{"kind": "Service", "name": "backend-v1"}],
                "validation": {"hostname": "a.example", "caCertificateRefs": [{"name": "some-ca"}]},
            },
            "status": {"ancestors": [{"conditions": [
                {"type": "Accepted", "status": "False", "reason": "NoValidCACertificate", "message": "no ConfigMap some-ca"},
            ]}]},
        }]);
        let plain = json!([{"metadata": {"name": "isto-example-namespace"}}]);
        let facts = Facts::sample().with("namespaces", plain).with("peerauthentications", json!([]));
        let mut facts =
            facts.with("backendtlspolicies", policy).expecting(200).answered(503, reason).over("http/1.1");
        if let Some(tls) = facts.access_log.last_mut().and_then(|entry| entry.upstream_tls.as_mut()) {
            tls.mode = "tls".into();
        }
        facts
    }

    #[test]
    fn a_policy_that_cannot_be_used_tells_its_conditions() {
        let diagnosis = diagnose(&facts("tls_policy_invalid"));
        assert_eq!(diagnosis.id, "backend-tls-policy-not-usable");
        assert!(diagnosis.because[1].contains("NoValidCACertificate"), "{:?}", diagnosis.because);
    }

    #[test]
    fn a_backend_that_proves_something_else_is_told_what_was_wanted() {
        for reason in ["upstream_tls_handshake_failed", "upstream_identity_mismatch"] {
            let diagnosis = diagnose(&facts(reason));
            assert_eq!(diagnosis.id, "backend-not-verified");
            assert!(diagnosis.because[1].contains("wants a.example, vouched for by some-ca"));
        }
    }

    #[test]
    fn mutual_tls_of_the_mesh_is_not_blamed_on_a_policy() {
        let mut facts = facts("upstream_identity_mismatch");
        if let Some(tls) = facts.access_log.last_mut().and_then(|entry| entry.upstream_tls.as_mut()) {
            tls.mode = "mtls".into();
        }
        assert_eq!(diagnose(&facts).id, "upstream-identity-mismatch");
    }
}
