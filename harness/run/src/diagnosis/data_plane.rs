//! Causes that lie between ALB Controller and its proxies.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of, text},
};
use meshproof_model::event::Diagnosis;

/// `controller-not-running`: nobody writes the Gateway's status.
pub(super) fn controller_not_running(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    // What the API server writes when a Gateway is made.
    let waits = |condition: &Value| condition["status"] == "Unknown" && condition["reason"] == "Pending";
    if !items(&gateway["status"]["conditions"]).iter().all(waits) {
        return None;
    }
    let controller = facts.names.control_plane.as_ref()?;
    let deployment = facts.get("deployments", &controller.namespace, &controller.deployment);
    let replicas = |field: &str| deployment.and_then(|d| d["status"][field].as_u64()).unwrap_or_default();
    if replicas("readyReplicas") > 0 {
        return None;
    }
    let name = controller.in_full();
    let (title, next) = match deployment {
        None => {
            (format!("there is no Deployment {name}"), format!("install the chart {}", controller.release))
        }
        Some(_) => (
            format!("Deployment {name} has no ready replica"),
            "see why its pods are not Ready, or scale it up".to_owned(),
        ),
    };
    Some(diagnosis(
        "controller-not-running",
        title,
        [format!("nobody has written the status of Gateway {} (yet)", name_of(gateway))],
        next,
    ))
}

/// `configuration-refused`: a proxy does not take what the controller sends.
pub(super) fn configuration_refused(facts: &Facts) -> Option<Diagnosis> {
    let refused = facts.names.words.configuration_refused.as_deref()?;
    let gateways = facts.gateway().into_iter().map(|gateway| ("Gateway", gateway));
    let routes = facts.routes().into_iter().map(|route| ("HTTPRoute", route));
    let (kind, object, message) = gateways.chain(routes).find_map(|(kind, object)| {
        let of = |part: &Value| {
            text(condition(&part["conditions"], "Programmed").map_or(&Value::Null, |c| &c["message"]))
                .to_owned()
        };
        let status = &object["status"];
        let parts =
            std::iter::once(status).chain(items(&status["listeners"])).chain(items(&status["parents"]));
        let message = parts.map(of).find(|message| message.contains(refused))?;
        Some((kind, object, message))
    })?;
    Some(diagnosis(
        "configuration-refused",
        format!("a proxy refuses the configuration of {kind} {}", name_of(object)),
        [message],
        format!(
            "read the proxy's log (logs/{}/ in the evidence); proxy and controller may be of different versions",
            facts.names.data_plane
        ),
    ))
}

/// `no-proxy`: no proxy of the load balancer is connected or Ready.
pub(super) fn no_proxy(facts: &Facts) -> Option<Diagnosis> {
    let gateway = facts.gateway()?;
    let programmed = condition(&gateway["status"]["conditions"], "Programmed")?;
    let message = text(&programmed["message"]);
    if !facts.names.words.no_proxy.iter().any(|said| said == message) {
        return None;
    }
    let proxies = facts.of("deployments", &facts.names.data_plane).map(|deployment| {
        let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or_default();
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        format!("Deployment {}: {ready} of {wanted} ready", name_of(deployment))
    });
    Some(diagnosis(
        "no-proxy",
        format!("no proxy serves Gateway {}", name_of(gateway)),
        [format!("Programmed is {}: {message}", text(&programmed["status"]))].into_iter().chain(proxies),
        "see why the proxies are not Ready (readyz.txt below admin/ in the evidence says what they wait for)",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    fn gateway(conditions: Value) -> Facts {
        let mut facts = Facts::sample();
        facts.claim.word = "status".into();
        facts.with(
            "gateways",
            json!([{
                "metadata": {"namespace": "isto-example-namespace", "name": "gateway-01"},
                "spec": {"gatewayClassName": "azure-alb-external"},
                "status": {"conditions": conditions},
            }]),
        )
    }

    fn programmed(reason: &str, message: &str) -> Facts {
        gateway(json!([
            {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "Valid Gateway"},
            {"type": "Programmed", "status": "False", "reason": reason, "message": message},
        ]))
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let name = "isto-example-namespace/gateway-01";
        let untouched = gateway(json!([
            {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller"},
            {"type": "Programmed", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller"},
        ]));
        let proxies = json!([{"metadata": {"namespace": "azure-alb-dataplane", "name": "alb-proxy-4vsb1fw1"},
            "spec": {"replicas": 2}, "status": {}}]);
        vec![
            provoked("controller-not-running", "azure-alb-system/alb-controller", untouched.with("deployments", json!([{
                "metadata": {"namespace": "azure-alb-system", "name": "alb-controller"}, "spec": {"replicas": 0}, "status": {}}]))),
            provoked("configuration-refused", name, programmed("Invalid",
                "A proxy refused it: frontend/fe-7k2m9x4q: port 0 is no port")),
            provoked("no-proxy", name, programmed("Pending", "No proxy is connected").with("deployments", proxies)),
        ]
    }

    #[test]
    fn a_controller_that_has_spoken_is_running() {
        assert_eq!(
            controller_not_running(
                &programmed("Pending", "No proxy is connected").with("deployments", json!([]))
            ),
            None
        );
    }
}
