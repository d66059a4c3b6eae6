//! Causes that lie with the HTTPRoute's backends.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{condition, items, name_of, text},
};
use meshproof_model::event::Diagnosis;

/// A backendRef with the route it stands in.
struct Reference<'a> {
    route: &'a Value,
    namespace: &'a str,
    service: &'a str,
    port: Option<u64>,
}

/// Why a reference is refused, by the condition's reason: the cause's id, and what to do.
const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "RefNotPermitted",
        "reference-not-permitted",
        "permit it with a ReferenceGrant in the Service's namespace (from HTTPRoute of the route's, to Service)",
    ),
    (
        "InvalidKind",
        "backend-kind-unsupported",
        "name a Service that has pods: nothing else can be a backend",
    ),
    (
        "UnsupportedProtocol",
        "backend-protocol-unsupported",
        "offer the port as plain TCP or HTTP (protocol, appProtocol)",
    ),
];

/// Ids of [`refused`].
pub(super) const REFUSED: &[&str] =
    &["reference-not-permitted", "backend-kind-unsupported", "backend-protocol-unsupported"];

/// A backendRef that may not be used as it is.
pub(super) fn refused(facts: &Facts) -> Option<Diagnosis> {
    let (route, id, next) = facts.routes().into_iter().find_map(|route| {
        let parents = items(&route["status"]["parents"]).iter();
        let mut conditions = parents.filter_map(|parent| condition(&parent["conditions"], "ResolvedRefs"));
        let refusal = conditions.find(|condition| condition["status"] == "False")?;
        let (_, id, next) = REFUSALS.iter().find(|(reason, ..)| refusal["reason"] == *reason)?;
        Some((route, *id, *next))
    })?;
    Some(diagnosis(
        id,
        format!("HTTPRoute {} refers to a backend that it may not use", name_of(route)),
        [resolved_refs(route)],
        next,
    ))
}

/// `backend-not-found`: a route of the Gateway names a Service that does not exist.
pub(super) fn backend_not_found(facts: &Facts) -> Option<Diagnosis> {
    let missing = unresolved(facts)
        .find(|reference| facts.get("services", reference.namespace, reference.service).is_none())?;
    let elsewhere: Vec<String> = facts
        .list("services")
        .iter()
        .filter(|service| service["metadata"]["name"] == missing.service)
        .map(name_of)
        .collect();
    let mut because = vec![resolved_refs(missing.route)];
    because.extend(elsewhere.iter().map(|service| format!("a Service of that name is {service}")));
    let next = if elsewhere.is_empty() {
        "create the Service, or correct the backendRef"
    } else {
        "name the namespace in the backendRef and permit it there with a ReferenceGrant, or move the backend"
    };
    Some(diagnosis(
        "backend-not-found",
        format!(
            "HTTPRoute {} names Service {}/{}, which does not exist",
            name_of(missing.route),
            missing.namespace,
            missing.service
        ),
        because,
        next,
    ))
}

/// `backend-port-missing`: a route names a port that its Service does not have.
pub(super) fn backend_port_missing(facts: &Facts) -> Option<Diagnosis> {
    let (reference, ports) = unresolved(facts).find_map(|reference| {
        let service = facts.get("services", reference.namespace, reference.service)?;
        let ports: Vec<u64> =
            items(&service["spec"]["ports"]).iter().filter_map(|port| port["port"].as_u64()).collect();
        let missing = reference.port.is_none_or(|port| !ports.contains(&port));
        missing.then_some((reference, ports))
    })?;
    let asked = reference.port.map_or("no port".to_string(), |port| format!("port {port}"));
    let offered: Vec<String> = ports.iter().map(ToString::to_string).collect();
    Some(diagnosis(
        "backend-port-missing",
        format!(
            "HTTPRoute {} names {asked} of Service {}/{}, which offers {}",
            name_of(reference.route),
            reference.namespace,
            reference.service,
            offered.join(", ")
        ),
        [resolved_refs(reference.route)],
        "correct the port in the route's backendRef, or add it to the Service",
    ))
}

/// References of the Gateway's routes, except of those routes whose every reference is resolved.
fn unresolved(facts: &Facts) -> impl Iterator<Item = Reference<'_>> {
    facts.routes().into_iter().filter(|route| !is_resolved(route)).flat_map(|route| {
        let own = text(&route["metadata"]["namespace"]);
        let references = items(&route["spec"]["rules"]).iter().flat_map(|rule| items(&rule["backendRefs"]));
        references.map(move |reference| Reference {
            route,
            namespace: reference["namespace"].as_str().unwrap_or(own),
            service: text(&reference["name"]),
            port: reference["port"].as_u64(),
        })
    })
}

fn is_resolved(route: &Value) -> bool {
    let parents = items(&route["status"]["parents"]);
    !parents.is_empty()
        && parents.iter().all(|parent| {
            condition(&parent["conditions"], "ResolvedRefs")
                .is_some_and(|resolved| resolved["status"] == "True")
        })
}

/// What the route's status says of its references.
fn resolved_refs(route: &Value) -> String {
    let said = items(&route["status"]["parents"])
        .iter()
        .filter_map(|parent| condition(&parent["conditions"], "ResolvedRefs"))
        .find(|condition| condition["status"] != "True");
    match said {
        Some(said) => format!(
            "its status: ResolvedRefs is {}, {}: {}",
            text(&said["status"]),
            text(&said["reason"]),
            text(&said["message"])
        ),
        None => "its status says nothing about it (yet)".into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::tests::{Provoked, provoked};

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let name = "isto-example-namespace/traffic-split-mesh-route";
        let said = |reason: &str, message: &str| {
            let mut route = route("backend-v1", 8080);
            let condition = &mut route[0]["status"]["parents"][0]["conditions"][0];
            (condition["reason"], condition["message"]) = (reason.into(), message.into());
            Facts::sample().with("httproutes", route).expecting(200).answered(500, "backend_invalid")
        };
        let missing = |service: &str, port: u64| {
            let facts = Facts::sample().with("httproutes", route(service, port));
            facts.expecting(200).answered(500, "backend_invalid")
        };
        vec![
            provoked(
                "reference-not-permitted",
                name,
                said(
                    "RefNotPermitted",
                    "No ReferenceGrant in namespace test-infra permits test-infra/backend-v1",
                ),
            ),
            provoked(
                "backend-kind-unsupported",
                name,
                said(
                    "InvalidKind",
                    "Service isto-example-namespace/backend-v1 is of type ExternalName, which has no endpoints",
                ),
            ),
            provoked(
                "backend-protocol-unsupported",
                name,
                said(
                    "UnsupportedProtocol",
                    "Port 8080 of Service isto-example-namespace/backend-v1 speaks kubernetes.io/h2c, which is not supported",
                ),
            ),
            provoked("backend-not-found", "isto-example-namespace/backend-v9", missing("backend-v9", 8080)),
            provoked(
                "backend-port-missing",
                "isto-example-namespace/backend-v1",
                missing("backend-v1", 8081),
            ),
        ]
    }

    fn route(service: &str, port: u64) -> Value {
        json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "traffic-split-mesh-route"},
            "spec": {"parentRefs": [{"name": "gateway-01"}],
                "rules": [{"backendRefs": [{"name": service, "port": port}]}]},
            "status": {"parents": [{"conditions": [{"type": "ResolvedRefs", "status": "False",
                "reason": "BackendNotFound", "message": "recorded message"}]}]}
        }])
    }

    #[test]
    fn a_port_the_service_does_not_have_is_named_with_those_it_has() {
        let facts = Facts::sample().with("httproutes", route("backend-v1", 8081)).expecting(200);
        let diagnosis = diagnose(&facts.answered(500, "backend_invalid"));
        assert_eq!(diagnosis.id, "backend-port-missing");
        assert!(
            diagnosis
                .title
                .contains("port 8081 of Service isto-example-namespace/backend-v1, which offers 8080"),
            "{}",
            diagnosis.title
        );
    }

    #[test]
    fn a_service_in_another_namespace_is_pointed_at() {
        let facts = Facts::sample()
            .with("httproutes", route("backend-v1", 8080))
            .with("services", json!([{"metadata": {"namespace": "test-infra", "name": "backend-v1"}}]));
        let diagnosis = diagnose(&facts.expecting(200).answered(500, "backend_invalid"));
        assert_eq!(diagnosis.id, "backend-not-found");
        assert!(diagnosis.because.iter().any(|reason| reason.contains("test-infra/backend-v1")));
        assert!(diagnosis.next.contains("ReferenceGrant"));
    }

    /// The Gateway and the sample in one namespace, the route in the scenario's.
    fn gateway_elsewhere() -> Facts {
        let sample = Facts::sample();
        let moved = |plural: &str| {
            let mut object = sample.list(plural)[0].clone();
            object["metadata"]["namespace"] = "test-infra".into();
            json!([object])
        };
        let mut routed = route("backend-v1", 8080);
        routed[0]["spec"]["parentRefs"][0]["namespace"] = "test-infra".into();
        let mut facts = ["gateways", "services", "pods"]
            .into_iter()
            .fold(sample.clone(), |facts, plural| facts.with(plural, moved(plural)))
            .with("httproutes", routed);
        facts.claim.namespace = "test-infra".into();
        facts
    }

    #[test]
    fn routes_of_all_namespaces_that_name_the_gateway_count() {
        let facts = gateway_elsewhere().expecting(200).answered(500, "backend_invalid");
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.id, "backend-not-found", "{diagnosis:?}");
        assert!(diagnosis.title.contains("isto-example-namespace/traffic-split-mesh-route"), "{diagnosis:?}");
        let mut other = route("backend-v1", 8080);
        other[0]["metadata"]["namespace"] = "test-infra".into();
        other[0]["spec"]["parentRefs"][0]["name"] = "another".into();
        assert_eq!(diagnose(&facts.with("httproutes", other)).id, "unknown", "it is another Gateway's");
    }

    #[test]
    fn a_claim_about_a_route_is_about_its_gateway_too() {
        let mut facts = gateway_elsewhere();
        (facts.claim.word, facts.claim.gateway) = ("status".into(), String::new());
        facts.claim.namespace = "isto-example-namespace".into();
        facts.claim.route = "traffic-split-mesh-route".into();
        assert_eq!(facts.gateway().map(name_of).as_deref(), Some("test-infra/gateway-01"));
        assert_eq!(diagnose(&facts).id, "backend-not-found");
    }

    #[test]
    fn pods_do_not_depend_on_routes() {
        let mut facts = gateway_elsewhere();
        (facts.claim.word, facts.claim.gateway) = ("pods".into(), String::new());
        assert_eq!(diagnose(&facts).id, "unknown");
    }

    #[test]
    fn a_backend_that_a_claim_names_alone_is_found_by_the_routes() {
        let mut facts = gateway_elsewhere().with(
            "services",
            json!([{"metadata": {"namespace": "isto-example-namespace",
            "name": "backend-v1"}}]),
        );
        facts.look_for_backend();
        assert_eq!(facts.claim.namespace_of_backend(), "isto-example-namespace");
        let mut beside = gateway_elsewhere();
        beside.look_for_backend();
        assert_eq!(beside.claim.namespace_of_backend(), "test-infra");
    }

    #[test]
    fn a_route_that_resolves_is_not_at_fault() {
        let diagnosis = diagnose(&Facts::sample().expecting(200).answered(500, "backend_invalid"));
        assert_eq!(diagnosis.id, "unknown");
    }
}
