//! Causes that lie with the Gateway.

use alb_api::names;

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of, text},
};
use crate::event::Diagnosis;

/// `wrong-class`: nobody of ours feels responsible for the Gateway.
pub(super) fn wrong_class(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    let class = text(&gateway["spec"]["gatewayClassName"]);
    let controller =
        facts.get("gatewayclasses", "", class).map(|object| text(&object["spec"]["controllerName"]));
    let because = match controller {
        Some(names::CONTROLLER_NAME) => return None,
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
            names::GATEWAY_CLASS
        ),
    ))
}

/// `no-address`: the Gateway has no address, or its frontend's Service has none.
pub(super) fn no_address(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;

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
