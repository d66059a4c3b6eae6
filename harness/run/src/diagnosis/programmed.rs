//! What is said to be programmed, and is not served.

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of},
};
use meshproof_model::event::Diagnosis;

/// `programmed-before-served`: the status says that the data plane has the configuration, and a request sent then shows that it
/// has not. Why is the gateway's own affair; what was promised too early is told.
pub(super) fn before_served(facts: &Facts) -> Option<Diagnosis> {
    if facts.claim.word != "served" {
        return None;
    }
    let gateway = facts.gateway()?;
    let says = |status: &serde_json::Value| {
        condition(&status["conditions"], "Programmed").is_some_and(|condition| condition["status"] == "True")
    };
    let routes = facts.routes().into_iter();
    let said = routes.filter(|route| items(&route["status"]["parents"]).iter().any(says));
    let said: Vec<String> =
        said.map(|route| format!("HTTPRoute {} says Programmed, too", name_of(route))).collect();
    says(&gateway["status"]).then(|| {
        diagnosis(
            "programmed-before-served",
            format!(
                "Gateway {} says that it is programmed, and does not serve what it says",
                name_of(gateway)
            ),
            [facts.claim.seen.clone()].into_iter().chain(said.into_iter().take(2)),
            "let the condition Programmed follow what every proxy serves, not what was sent to it",
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    fn refused(programmed: &str) -> Facts {
        let gateway = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
            "spec": {"gatewayClassName": "azure-alb-external"},
            "status": {"addresses": [{"value": "fe.example"}], "conditions": [
                {"type": "Accepted", "status": "True"}, {"type": "Programmed", "status": programmed}]}}]);
        let mut facts = Facts::sample().with("gateways", gateway).expecting(404);
        facts.claim.word = "served".into();
        facts.claim.seen = "request 2 after it was said to be programmed: the answer is refused".into();
        facts
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        vec![provoked("programmed-before-served", "isto-example-namespace/gateway-01", refused("True"))]
    }

    #[test]
    fn what_nobody_promised_was_not_promised_too_early() {
        assert_eq!(diagnose(&refused("False")).id, "unknown");
        let mut asked = refused("True");
        asked.claim.word = "request".into();
        assert_ne!(diagnose(&asked).id, "programmed-before-served");
    }
}
