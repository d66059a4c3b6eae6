//! Causes of a right answer from the wrong backend.

use super::{
    Facts,
    account::account,
    attachment,
    beyond::answerer,
    diagnosis,
    facts::{items, name_of, text},
    inbound,
};
use meshproof_model::event::Diagnosis;
use serde_json::Value;

/// Ids of [`wrong_backend`].
pub(super) const WRONG_BACKEND: &[&str] = &[
    "service-selects-others",
    "route-to-other-backend",
    "address-of-another-gateway",
    "gateway-asks-others",
];

/// The right status, from somebody else.
pub(super) fn wrong_backend(facts: &Facts) -> Option<Diagnosis> {
    let claim = &facts.claim;
    let (answerer, pod) = answerer(facts)?;
    let pod = pod?;
    let right = answerer.namespace == claim.namespace_of_backend()
        && facts.backend_pods().any(|backend| backend["metadata"]["name"] == answerer.pod.as_str());
    if right || claim.backend.is_empty() {
        return None;
    }
    // Another status was wanted, of a backend that is there: he was not asked at all.
    let instead = claim.last_status == Some(200) && inbound::service(facts).is_some();
    let wanted = claim.expected_status == claim.last_status;
    if !wanted && !instead {
        return None;
    }
    let who = name_of(pod);
    let mut because = vec![format!(
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
    let leads = |route: &&Value| {
        let own = text(&route["metadata"]["namespace"]);
        let mut references =
            items(&route["spec"]["rules"]).iter().flat_map(|rule| items(&rule["backendRefs"]));
        references.any(|reference| {
            let namespace = reference["namespace"].as_str().unwrap_or(own);
            facts
                .get("services", namespace, text(&reference["name"]))
                .is_some_and(|service| selects(&service))
        })
    };
    let gateway = facts.gateway()?;
    if let Some(route) = attachment::routes(facts, gateway).find(leads) {
        return Some(diagnosis(
            "route-to-other-backend",
            format!("HTTPRoute {} sends to a Service whose pod {who} answered", name_of(route)),
            because,
            format!(
                "correct the route's backendRefs or matches, so that requests come to Service {}",
                claim.backend
            ),
        ));
    }
    // Another Gateway leads there, which is right if it was that one that was asked.
    let others: Vec<&Value> =
        facts.list("gateways").iter().filter(|other| name_of(other) != name_of(gateway)).collect();
    let led = others.iter().find_map(|other| Some((*other, attachment::routes(facts, other).find(leads)?)));
    if let Some((other, route)) = led {
        let address = |of: &Value| of["status"]["addresses"][0]["value"].as_str().map(str::to_owned);
        let shared = address(gateway).filter(|own| address(other).as_ref() == Some(own))?;
        because.push(format!("HTTPRoute {} of Gateway {} leads to it", name_of(route), name_of(other)));
        return Some(diagnosis(
            "address-of-another-gateway",
            format!(
                "Gateway {} has {shared} in status.addresses[0].value, where Gateway {} answers",
                name_of(gateway),
                name_of(other)
            ),
            because,
            "see which frontend the gateway's status is taken from; each Gateway has an address of its own",
        ));
    }
    if !wanted {
        return None;
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
            "spec": {"parentRefs": [{"name": "gateway-01"}], "rules": [{"backendRefs": [{"name": routed, "port": 8080}]}]},
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
                "isto-example-namespace/traffic-split-mesh-route",
                two_backends(right.clone(), "backend-v2"),
            ),
            provoked(
                "address-of-another-gateway",
                "isto-example-namespace/gateway-02",
                two_gateways("fe.example"),
            ),
            provoked("gateway-asks-others", OTHER, two_backends(right, "backend-v1")),
        ]
    }

    /// The second Gateway, at this address, has a route to the second backend.
    fn two_gateways(address: &str) -> Facts {
        let gateway = |name: &str, address: &str| {
            json!({"metadata": {"namespace": "isto-example-namespace", "name": name},
                "spec": {"gatewayClassName": "azure-alb-external"}, "status": {"addresses": [{"value": address}],
                    "conditions": [{"type": "Accepted", "status": "True"}]}})
        };
        let route = |gateway: &str, backend: &str| {
            json!({"metadata": {"namespace": "isto-example-namespace", "name": backend},
                "spec": {"parentRefs": [{"name": gateway}], "rules": [{"backendRefs": [{"name": backend, "port": 8080}]}]}})
        };
        two_backends(json!({"app": "backend-v1"}), "backend-v1")
            .with("gateways", json!([gateway("gateway-01", "fe.example"), gateway("gateway-02", address)]))
            .with("httproutes", json!([route("gateway-01", "backend-v1"), route("gateway-02", "backend-v2")]))
    }

    #[test]
    fn what_another_gateway_leads_to_is_its_affair_unless_they_share_an_address() {
        assert_eq!(wrong_backend(&two_gateways("other.example")), None);
    }

    #[test]
    fn an_answer_of_the_right_pod_or_status_for_another_reason_is_not_the_wrong_backend() {
        let facts = two_backends(json!({"app": "backend-v1"}), "backend-v1");
        assert_eq!(wrong_backend(&answered_by(facts.clone(), POD)), None);
        assert_eq!(wrong_backend(&facts.expecting(503)), None, "another status was wanted");
    }
}
