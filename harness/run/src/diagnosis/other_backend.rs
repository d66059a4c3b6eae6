//! Causes of a right answer from the wrong backend.

use super::{
    Facts,
    account::account,
    beyond::answerer,
    diagnosis,
    facts::{items, name_of, text},
    inbound,
};
use meshproof_model::event::Diagnosis;
use serde_json::Value;

/// Ids of [`wrong_backend`].
pub(super) const WRONG_BACKEND: &[&str] =
    &["service-selects-others", "route-to-other-backend", "gateway-asks-others"];

/// The right status, from somebody else.
pub(super) fn wrong_backend(facts: &Facts) -> Option<Diagnosis> {
    let claim = &facts.claim;
    let (answerer, pod) = answerer(facts)?;
    let pod = pod?;
    let right = answerer.namespace == claim.namespace_of_backend()
        && facts.backend_pods().any(|backend| backend["metadata"]["name"] == answerer.pod.as_str());
    if right || claim.backend.is_empty() || claim.expected_status != claim.last_status {
        return None;
    }
    let who = name_of(pod);
    let because = vec![format!(
        "pod {who} answered, and one of {}/{} was to",
        claim.namespace_of_backend(),
        claim.backend
    )];
    let selects =
        |service: &&Value| inbound::selected(facts, service).any(|selected| name_of(selected) == who);
    if let Some(service) = inbound::service(facts).filter(|service| selects(service)) {
        let selector = service["spec"]["selector"].to_string();
        return Some(diagnosis(
            "service-selects-others",
            format!("Service {} selects pod {who} (spec.selector: {selector})", name_of(service)),
            because,
            format!(
                "make spec.selector of the Service select the pods of Deployment {} alone",
                claim.backend
            ),
        ));
    }
    let routes = facts.of("httproutes", &claim.namespace).flat_map(|route| {
        let own = text(&route["metadata"]["namespace"]);
        let references = items(&route["spec"]["rules"]).iter().flat_map(|rule| items(&rule["backendRefs"]));
        references.map(move |reference| {
            (route, reference["namespace"].as_str().unwrap_or(own), text(&reference["name"]))
        })
    });
    let mut leading = routes.filter(|(_, namespace, service)| {
        facts.get("services", namespace, service).is_some_and(|service| selects(&service))
    });
    if let Some((route, namespace, service)) = leading.next() {
        return Some(diagnosis(
            "route-to-other-backend",
            format!(
                "HTTPRoute {} sends to Service {namespace}/{service}, whose pod {who} answered",
                name_of(route)
            ),
            because,
            format!(
                "correct the route's backendRefs or matches, so that requests come to Service {}",
                claim.backend
            ),
        ));
    }
    Some(diagnosis(
        "gateway-asks-others",
        format!(
            "Gateway {}/{} asks pod {who}, to which no route of the namespace leads",
            claim.namespace, claim.gateway
        ),
        because.into_iter().chain([account(facts)]),
        "see how the gateway chooses endpoints: the pod is behind none of the Services that the routes name",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::beyond::tests::answered_by;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "backend-v1-6c8f9d7b54-q2w8z";
    const OTHER: &str = "backend-v2-6c8f9d7b54-aaaaa";

    fn two_backends(selector: Value, routed: &str) -> Facts {
        let pod = |name: &str, app: &str| {
            json!({"metadata": {"namespace": "isto-example-namespace", "name": name, "labels": {"app": app}},
                "spec": {"initContainers": [{"name": "istio-proxy"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let service = |name: &str, selector: Value| {
            json!({"metadata": {"namespace": "isto-example-namespace", "name": name},
                "spec": {"selector": selector, "ports": [{"port": 8080}]}})
        };
        let route = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "traffic-split-mesh-route"},
            "spec": {"rules": [{"backendRefs": [{"name": routed, "port": 8080}]}]},
            "status": {"parents": [{"conditions": [{"type": "ResolvedRefs", "status": "True"}]}]}}]);
        let facts = Facts::sample()
            .with("pods", json!([pod(POD, "backend-v1"), pod(OTHER, "backend-v2")]))
            .with(
                "services",
                json!([service("backend-v1", selector), service("backend-v2", json!({"app": "backend-v2"}))]),
            )
            .with("httproutes", route);
        answered_by(facts.expecting(200).answered(200, "ok").over(""), OTHER)
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let right = json!({"app": "backend-v1"});
        let selected = two_backends(json!({"app": "backend-v2"}), "backend-v1");
        vec![
            provoked("service-selects-others", "isto-example-namespace/backend-v1", selected),
            provoked(
                "route-to-other-backend",
                "isto-example-namespace/backend-v2",
                two_backends(right.clone(), "backend-v2"),
            ),
            provoked("gateway-asks-others", OTHER, two_backends(right, "backend-v1")),
        ]
    }

    #[test]
    fn an_answer_of_the_right_pod_or_status_for_another_reason_is_not_the_wrong_backend() {
        let facts = two_backends(json!({"app": "backend-v1"}), "backend-v1");
        assert_eq!(wrong_backend(&answered_by(facts.clone(), POD)), None);
        assert_eq!(wrong_backend(&facts.expecting(503)), None, "another status was wanted");
    }
}
