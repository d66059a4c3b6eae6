//! Causes that keep a request from finding a route.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of, text},
};
use meshproof_model::event::Diagnosis;

/// Why a parent does not accept a route, by the condition's reason: the cause's id, and what to do.
const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "NotAllowedByListeners",
        "route-not-allowed",
        "let the listener admit the namespace (allowedRoutes.namespaces: from All or a Selector), or move the route",
    ),
    (
        "NoMatchingListenerHostname",
        "route-hostname-mismatch",
        "make spec.hostnames of the route and the listener's hostname meet",
    ),
    (
        "NoMatchingParent",
        "route-without-listener",
        "correct sectionName or port in the route's parentRef: the Gateway has no such listener",
    ),
    ("UnsupportedValue", "route-not-supported", "take out of the route what the message names"),
];

/// Ids of [`not_accepted`].
pub(super) const NOT_ACCEPTED: &[&str] =
    &["route-not-allowed", "route-hostname-mismatch", "route-without-listener", "route-not-supported"];

/// The Gateway does not accept a route that names it.
pub(super) fn not_accepted(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    let (route, refusal) = routes(facts, gateway).find_map(|route| {
        let parents = items(&route["status"]["parents"])
            .iter()
            .filter(|parent| parent["parentRef"]["name"] == gateway["metadata"]["name"]);
        let mut refusals = parents.filter_map(|parent| condition(&parent["conditions"], "Accepted"));
        Some((route, refusals.find(|accepted| accepted["status"] == "False")?))
    })?;
    let (_, id, next) = REFUSALS.iter().find(|(reason, ..)| refusal["reason"] == *reason)?;
    Some(diagnosis(
        id,
        format!("Gateway {} does not accept HTTPRoute {}", name_of(gateway), name_of(route)),
        [format!("Accepted is False, {}: {}", text(&refusal["reason"]), text(&refusal["message"]))],
        *next,
    ))
}

/// Routes that name the Gateway as a parent.
pub(super) fn routes<'a>(facts: &'a Facts, gateway: &'a Value) -> impl Iterator<Item = &'a Value> {
    let metadata = &gateway["metadata"];
    facts.routes_of((text(&metadata["namespace"]), text(&metadata["name"])))
}

/// `ingress-not-supported`: what is wanted is said in an Ingress, and no route says it.
pub(super) fn ingress(facts: &Facts) -> Option<Diagnosis> {
    let ingress = facts.of("ingresses", &facts.claim.namespace).find(|ingress| {
        let annotation = &ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"];
        let class = facts.names.class.as_str();
        ingress["spec"]["ingressClassName"] == class || *annotation == class
    })?;
    let answered = facts.last_account().is_some_and(|entry| entry.reason != "no_route");
    if answered || facts.of("httproutes", &facts.claim.namespace).next().is_some() {
        return None;
    }
    let name = name_of(ingress);
    let said = facts.warnings().into_iter().find(|warning| warning.contains(&format!("Ingress {name}: ")));
    Some(diagnosis(
        "ingress-not-supported",
        format!("Ingress {name} is not served: the Ingress API is not supported"),
        said.or_else(|| Some("its namespace has no HTTPRoute".to_owned())),
        format!("say the same with a Gateway of class {} and an HTTPRoute", facts.names.class),
    ))
}

/// `route-missing`: no route names the Gateway.
pub(super) fn missing(facts: &Facts) -> Option<Diagnosis> {
    facts.last_account().filter(|entry| entry.reason == "no_route" && unwanted(facts))?;
    let gateway = facts.gateway()?;
    if routes(facts, gateway).next().is_some() {
        return None;
    }
    let others = facts.list("httproutes").iter().map(|route| {
        let parents: Vec<&str> =
            items(&route["spec"]["parentRefs"]).iter().map(|parent| text(&parent["name"])).collect();
        format!("HTTPRoute {} names {}", name_of(route), parents.join(", "))
    });
    Some(diagnosis(
        "route-missing",
        format!("no HTTPRoute names Gateway {}", name_of(gateway)),
        ["the gateway's log: 404 no_route".to_owned()].into_iter().chain(others.take(3)),
        "apply the HTTPRoute, or correct its parentRefs (a Gateway in another namespace has to be named with it)",
    ))
}

/// Whether 404 is not what the claim wants: then its cause is to be found.
fn unwanted(facts: &Facts) -> bool {
    facts.claim.expected_status != Some(404)
}

/// `no-matching-rule`: routes are there, and none of their rules is about the request.
pub(super) fn no_matching_rule(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "no_route" && unwanted(facts))?;
    let gateway = facts.gateway()?;
    let of = |route: &Value| {
        let hosts: Vec<&str> = items(&route["spec"]["hostnames"]).iter().map(text).collect();
        let matches = items(&route["spec"]["rules"]).iter().flat_map(|rule| items(&rule["matches"]));
        let paths: Vec<&str> = matches.map(|m| m["path"]["value"].as_str().unwrap_or("/")).collect();
        let or = |all: Vec<&str>, none: &str| if all.is_empty() { none.to_owned() } else { all.join(", ") };
        format!("HTTPRoute {}: hosts {}; paths {}", name_of(route), or(hosts, "any"), or(paths, "/"))
    };
    let routes: Vec<String> = routes(facts, gateway).map(of).collect();
    let host = last.rest.get("host").and_then(Value::as_str).unwrap_or_default();
    (!routes.is_empty()).then(|| {
        diagnosis(
            "no-matching-rule",
            format!("no route of Gateway {} is about {host}{}", name_of(gateway), last.path),
            routes.into_iter().take(4),
            "ask for a host and path that a rule matches, or add the rule; a change takes a moment to reach the proxies",
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    fn unanswered() -> Facts {
        let mut facts = Facts::sample().expecting(200).answered(404, "no_route");
        if let Some(entry) = facts.access_log.last_mut() {
            entry.path = "/orders".into();
            entry.upstream_pod = None;
            entry.rest.insert("host".into(), "fe-7k2m9x4q.alb.internal".into());
        }
        facts
    }

    /// A route with this in its spec that the Gateway refuses for this reason, as ALB Controller writes it.
    fn route(spec: Value, reason: &str, message: &str) -> Facts {
        let status = if reason.is_empty() { "True" } else { "False" };
        let mut route = json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "traffic-split-mesh-route"},
            "spec": {"parentRefs": [{"name": "gateway-01"}]},
            "status": {"parents": [{
                "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway-01",
                    "namespace": "isto-example-namespace"},
                "controllerName": "alb.networking.azure.io/alb-controller",
                "conditions": [{"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": ""},
                    {"type": "Accepted", "status": status, "reason": reason, "message": message}],
            }]},
        }]);
        for (key, value) in spec.as_object().into_iter().flatten() {
            route[0]["spec"][key] = value.clone();
        }
        unanswered().with("httproutes", route)
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let name = "isto-example-namespace/traffic-split-mesh-route";
        let gateway = "isto-example-namespace/gateway-01";
        let ingress = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "shop"},
            "spec": {"ingressClassName": "azure-alb-external"}}]);
        vec![
            provoked(
                "route-not-allowed",
                name,
                route(
                    json!({}),
                    "NotAllowedByListeners",
                    "No listener of Gateway isto-example-namespace/gateway-01 admits routes of namespace other",
                ),
            ),
            provoked(
                "route-hostname-mismatch",
                name,
                route(
                    json!({"hostnames": ["shop.example"]}),
                    "NoMatchingListenerHostname",
                    "No listener of Gateway isto-example-namespace/gateway-01 shares a hostname with the route",
                ),
            ),
            provoked(
                "route-without-listener",
                name,
                route(
                    json!({}),
                    "NoMatchingParent",
                    "Gateway isto-example-namespace/gateway-01 has no listener that the parentRef selects",
                ),
            ),
            provoked(
                "route-not-supported",
                name,
                route(json!({}), "UnsupportedValue", "Not supported: filter RequestMirror"),
            ),
            provoked("route-missing", gateway, unanswered().with("httproutes", json!([]))),
            provoked(
                "no-matching-rule",
                gateway,
                route(
                    json!({"rules": [{"matches": [{"path": {"type": "PathPrefix",
                "value": "/cart"}}]}]}),
                    "",
                    "Route is Accepted",
                ),
            ),
            provoked(
                "ingress-not-supported",
                "isto-example-namespace/shop",
                unanswered().with("httproutes", json!([])).with("ingresses", ingress),
            ),
        ]
    }

    #[test]
    fn a_rule_that_does_not_match_is_told_with_those_there_are() {
        let rules =
            json!({"rules": [{"matches": [{"path": {"value": "/cart"}}]}], "hostnames": ["shop.example"]});
        let diagnosis = no_matching_rule(&route(rules, "", "")).unwrap();
        assert!(diagnosis.title.ends_with("fe-7k2m9x4q.alb.internal/orders"), "{diagnosis:?}");
        assert!(diagnosis.because[0].ends_with("hosts shop.example; paths /cart"), "{diagnosis:?}");
    }
}
