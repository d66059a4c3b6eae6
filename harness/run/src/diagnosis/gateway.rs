//! Causes that lie with the Gateway.

use serde_json::Value;

use super::{
    Claim, Facts, diagnosis,
    facts::{condition, items, name_of, text},
};
use meshproof_model::event::Diagnosis;

/// `wrong-class`: nobody of ours feels responsible for the Gateway.
pub(super) fn wrong_class(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    let class = text(&gateway["spec"]["gatewayClassName"]);
    let controller =
        facts.get("gatewayclasses", "", class).map(|object| text(&object["spec"]["controllerName"]));
    let because = match controller {
        Some(name) if name == facts.names.controller => return None,
        // Another gateway under test with a class of its own: its status says that it took the Gateway.
        Some(_)
            if condition(&gateway["status"]["conditions"], "Accepted")
                .is_some_and(|c| c["status"] == "True") =>
        {
            return None;
        }
        Some(other) => format!("GatewayClass {class} belongs to controller {other}"),
        None => format!("there is no GatewayClass {class}"),
    };
    let classes: Vec<&str> =
        facts.list("gatewayclasses").iter().map(|class| text(&class["metadata"]["name"])).collect();
    Some(diagnosis(
        "wrong-class",
        format!("no controller takes Gateway {} with class {class}", name_of(gateway)),
        [because, format!("classes in this cluster: {}", classes.join(", "))],
        format!(
            "set spec.gatewayClassName to {}, or install the chart that brings the class",
            facts.names.class
        ),
    ))
}

/// `load-balancer-missing`: the Gateway names no load balancer that there is, or not as it must be named.
pub(super) fn load_balancer_missing(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    let accepted = condition(&gateway["status"]["conditions"], "Accepted")?;
    let reason = text(&accepted["reason"]);
    if accepted["status"] != "False" || !matches!(reason, "InvalidParameters" | "UnsupportedAddress") {
        return None;
    }
    Some(diagnosis(
        "load-balancer-missing",
        format!("Gateway {} names no load balancer that can be used", name_of(gateway)),
        [format!("Accepted is False, {reason}: {}", text(&accepted["message"]))],
        "create the ApplicationLoadBalancer, or correct the annotations alb-namespace and alb-name (or alb-id and the address)",
    ))
}

/// `listener-not-accepted`: a listener of the Gateway is refused, so nobody listens.
pub(super) fn listener_not_accepted(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    if facts.last_account().is_some_and(|entry| entry.reason != "no_route") {
        return None;
    }
    let (listener, refusal) = items(&gateway["status"]["listeners"]).iter().find_map(|listener| {
        let conditions = ["Accepted", "ResolvedRefs"].map(|kind| condition(&listener["conditions"], kind));
        let refusal = conditions.into_iter().flatten().find(|condition| condition["status"] == "False")?;
        Some((listener, refusal))
    })?;
    Some(diagnosis(
        "listener-not-accepted",
        format!("listener {} of Gateway {} is not accepted", text(&listener["name"]), name_of(gateway)),
        [format!(
            "{} is False, {}: {}",
            text(&refusal["type"]),
            text(&refusal["reason"]),
            text(&refusal["message"])
        )],
        "correct the listener: its protocol (HTTP), its port and hostname (each pair once), its allowedRoutes.kinds (HTTPRoute)",
    ))
}

/// `listener-name-differs`: a listener's status was looked for under a name that the Gateway's spec does not give it. The
/// Gateway API wants the two equal (GatewayStatus, `listeners[].name`).
pub(super) fn listener_name_differs(facts: &Facts) -> Option<Diagnosis> {
    if facts.claim.word != "status" {
        return None;
    }
    let (_, rest) = facts.claim.seen.split_once("listeners[")?;
    // A field of a listener that is missing is another matter.
    let (asked, _) = rest.split_once("] is missing").filter(|(asked, _)| !asked.contains(']'))?;
    let named = |listeners: &Value| -> Vec<String> {
        items(listeners).iter().map(|listener| text(&listener["name"]).to_owned()).collect()
    };
    let gateway = facts.gateway()?;
    let (spec, status) = (named(&gateway["spec"]["listeners"]), named(&gateway["status"]["listeners"]));
    if spec.iter().any(|name| name == asked) {
        let other = status
            .iter()
            .find(|name| !spec.contains(name))
            .filter(|_| !status.iter().any(|name| name == asked))?;
        return Some(diagnosis(
            "listener-name-differs",
            format!(
                "the status of Gateway {} calls a listener {other}, and its spec calls it {asked}",
                name_of(gateway)
            ),
            [
                format!(
                    "spec.listeners[].name: {}; status.listeners[].name: {}",
                    spec.join(", "),
                    status.join(", ")
                ),
                "the Gateway API wants a listener's status under the name its spec gives it".to_string(),
            ],
            "let the gateway write each listener's status under the listener's own name",
        ));
    }
    if spec != status {
        return None;
    }
    Some(diagnosis(
        "listener-name-differs",
        format!("no listener of Gateway {} is called {asked}", name_of(gateway)),
        [
            format!("its spec and its status both say {}", spec.join(", ")),
            "the Gateway API wants a listener's status under the name its spec gives it".to_string(),
        ],
        format!("look for {} in the status, or call the listener {asked} in the spec", spec.join(", ")),
    ))
}

/// Whether a claim about a status wanted the Gateway, or a listener of it, to be refused.
fn was_to_be_refused(claim: &Claim) -> bool {
    let wanted = &claim.detail["wanted"];
    let refused = |status: &Value| {
        items(&status["conditions"]).iter().any(|condition| {
            matches!(text(&condition["type"]), "Accepted" | "Programmed") && condition["status"] == "False"
        })
    };
    claim.word == "status" && (refused(wanted) || items(&wanted["listeners"]).iter().any(refused))
}

/// `no-address`: the Gateway has no address, or its frontend's Service has none.
pub(super) fn no_address(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    // A Gateway that was to be refused is to have none.
    if was_to_be_refused(&facts.claim) {
        return None;
    }
    let Some(address) = items(&gateway["status"]["addresses"]).first() else {
        let conditions = items(&gateway["status"]["conditions"]);
        let mut because: Vec<String> = conditions
            .iter()
            .filter(|condition| condition["status"] != "True")
            .map(|condition| {
                format!(
                    "{} is {}: {} ({})",
                    text(&condition["type"]),
                    text(&condition["status"]),
                    text(&condition["message"]),
                    text(&condition["reason"])
                )
            })
            .collect();
        if conditions.is_empty() {
            because.push("no controller has written its status".into());
        }
        return Some(diagnosis(
            "no-address",
            format!("Gateway {} has no address", name_of(gateway)),
            because,
            "see the ApplicationLoadBalancer it names (annotations alb-namespace, alb-name) and the controller's log",
        ));
    };
    let fqdn = text(&address["value"]);
    let frontend = fqdn.split('.').next().unwrap_or_default();
    let service = facts.list("services").iter().find(|service| service["metadata"]["name"] == frontend)?;
    if service["spec"]["type"] != "LoadBalancer"
        || !items(&service["status"]["loadBalancer"]["ingress"]).is_empty()
    {
        return None;
    }
    Some(diagnosis(
        "no-address",
        format!("the frontend {fqdn} has no load-balancer address"),
        [format!("Service {} has an empty status.loadBalancer", name_of(service))],
        "see the pods of whatever assigns load-balancer addresses (on kind: namespace meshproof-system)",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let name = "isto-example-namespace/gateway-01";
        let gateway = |status: serde_json::Value| {
            let gateway = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
                "spec": {"gatewayClassName": "azure-alb-external"}, "status": status}]);
            Facts::sample().with("gateways", gateway)
        };
        vec![
            provoked("wrong-class", name, Facts::sample().with("gatewayclasses", json!([]))),
            provoked(
                "load-balancer-missing",
                name,
                gateway(json!({"conditions": [{"type": "Accepted", "status": "False",
                "reason": "InvalidParameters",
                "message": "ApplicationLoadBalancer alb-test-infra/alb-test does not exist"}]})),
            ),
            provoked(
                "listener-not-accepted",
                name,
                gateway(json!({
                "addresses": [{"type": "Hostname", "value": "fe-7k2m9x4q.alb.internal"}],
                "conditions": [{"type": "Accepted", "status": "False", "reason": "ListenersNotValid",
                    "message": "No listener is valid: https"}],
                "listeners": [{"name": "https", "conditions": [{"type": "Accepted", "status": "False",
                    "reason": "UnsupportedProtocol", "message": "Protocol HTTPS is not supported: only HTTP is"}]}]})),
            ),
            provoked("listener-name-differs", "gateway-01-http", listener("http")),
            provoked(
                "no-address",
                name,
                gateway(json!({"conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "Valid Gateway"},
                {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned",
                    "message": "Service azure-alb-dataplane/fe-7k2m9x4q of the frontend has no address yet"}]})),
            ),
        ]
    }

    fn listener(status: &str) -> Facts {
        let gateway = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
            "spec": {"gatewayClassName": "azure-alb-external", "listeners": [{"name": "http"}]},
            "status": {"addresses": [{"value": "a"}], "listeners": [{"name": status}],
                "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted"}]}}]);
        let mut facts = Facts::sample().with("gateways", gateway);
        facts.claim.word = "status".into();
        facts.claim.expected = "status of gateway/gateway-01 becomes a.yaml within 1s".into();
        facts.claim.seen =
            "listeners[gateway-01-http] is missing; listeners[http] is there, not wanted".into();
        facts
    }

    #[test]
    fn a_listener_that_the_status_calls_otherwise_than_the_spec_is_the_gateways_fault() {
        assert_ne!(diagnose(&listener("other")).id, "listener-name-differs");
    }

    #[test]
    fn a_status_with_a_name_that_the_spec_does_not_have_is_named() {
        let mut facts = listener("gateway-01-http");
        facts.claim.seen =
            "listeners[http] is missing; listeners[gateway-01-http] is there, not wanted".into();
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "listener-name-differs");
        assert!(diagnosis.title.contains("gateway-01-http") && diagnosis.title.contains("calls it http"));
    }

    #[test]
    fn a_gateway_of_the_same_name_in_another_namespace_is_not_meant() {
        let right = listener("http").list("gateways")[0].clone();
        let mut other = right.clone();
        other["metadata"]["namespace"] = "third".into();
        other["status"]["listeners"][0]["name"] = "other".into();
        let facts = listener("http").with("gateways", json!([other, right]));
        assert_eq!(diagnose(&facts).id, "listener-name-differs");
        let mut facts = facts;
        facts.claim.namespace = "third".into();
        assert_ne!(diagnose(&facts).id, "listener-name-differs");
    }

    #[test]
    fn a_listener_that_lacks_a_field_is_there_under_its_name() {
        let mut facts = listener("http");
        facts.claim.seen = "listeners[http].supportedKinds[HTTPRoute] is missing".into();
        assert_ne!(diagnose(&facts).id, "listener-name-differs");
    }

    #[test]
    fn a_gateway_that_was_to_be_refused_is_to_have_no_address() {
        let gateway = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
            "spec": {"gatewayClassName": "azure-alb-external"}, "status": {"conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "Valid Gateway"}]}}]);
        let mut facts = Facts::sample().with("gateways", gateway);
        facts.claim.word = "status".into();
        let wanted =
            |status: &str| json!({"wanted": {"conditions": [{"type": "Accepted", "status": status}]}});
        facts.claim.detail = wanted("False");
        assert_eq!(diagnose(&facts).id, "unknown");
        facts.claim.detail = wanted("True");
        assert_eq!(diagnose(&facts).id, "no-address");
    }

    #[test]
    fn a_claim_about_one_gateway_is_not_explained_by_another() {
        let gateway = |name: &str, accepted: &str| {
            json!({"metadata": {"namespace": "isto-example-namespace", "name": name},
                "spec": {"gatewayClassName": "azure-alb-external"}, "status": {"conditions": [
                    {"type": "Accepted", "status": accepted, "reason": "InvalidParameters", "message": "none"}]}})
        };
        let mut facts =
            Facts::sample().with("gateways", json!([gateway("first", "False"), gateway("second", "True")]));
        facts.claim.word = "status".into();
        facts.claim.gateway = String::new();
        facts.claim.expected = "status of gateway/second becomes a.yaml within 1s".into();
        assert_ne!(diagnose(&facts).id, "load-balancer-missing");
        facts.claim.expected = "status of gateway/first becomes a.yaml within 1s".into();
        assert_eq!(diagnose(&facts).id, "load-balancer-missing");
    }

    #[test]
    fn a_class_of_somebody_else_is_named() {
        let facts = Facts::sample().with(
            "gatewayclasses",
            json!([{"metadata": {"name": "azure-alb-external"}, "spec": {"controllerName": "example.org/other"}}]),
        );
        let gateway = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
            "spec": {"gatewayClassName": "azure-alb-external"}}]);
        let diagnosis = diagnose(&facts.with("gateways", gateway));
        assert_eq!(diagnosis.id, "wrong-class");
        assert!(diagnosis.because[0].contains("example.org/other"));
    }

    #[test]
    fn a_class_that_does_not_exist_is_named() {
        let diagnosis = diagnose(&Facts::sample().with("gatewayclasses", json!([])));
        assert_eq!(diagnosis.id, "wrong-class");
        assert!(diagnosis.because[0].contains("no GatewayClass azure-alb-external"));
    }

    #[test]
    fn a_gateway_without_an_address_tells_its_conditions() {
        let facts = Facts::sample().with(
            "gateways",
            json!([{
                "metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
                "spec": {"gatewayClassName": "azure-alb-external"},
                "status": {"conditions": [{"type": "Accepted", "status": "False", "reason": "Invalid",
                    "message": "load balancer alb-test not found"}]}
            }]),
        );
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "no-address");
        assert!(diagnosis.because[0].contains("load balancer alb-test not found"));
    }

    #[test]
    fn a_frontend_whose_service_waits_for_an_address_is_named() {
        let facts = Facts::sample().with(
            "services",
            json!([{
                "metadata": {"namespace": "azure-alb-dataplane", "name": "fe-7k2m9x4q"},
                "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}
            }]),
        );
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "no-address");
        assert!(diagnosis.because[0].contains("azure-alb-dataplane/fe-7k2m9x4q"));
    }
}
