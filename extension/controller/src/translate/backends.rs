//! Backends: references resolved, Services with the pods behind them, and how to speak to them.

use super::backend_tls::Policies;
use super::condition::{Refusal, Verdict};
use super::grants::{To, is_granted};
use super::model::{RouteId, kind_of, kind_of_route};
use super::slices::Slices;
use crate::world::{BackendRef, Endpoint, Key, Service, ServicePort, Watched, World};
use alb_api::messages::reason;
use alb_api::names;
use alb_config::proto::{self, backend::Security};
use alb_config::{Entry, Kind};
use std::collections::BTreeSet;

/// Name of the Secret resource with the Istio identity.
pub(super) const ISTIO_SECRET: &str = "secret/istio";

/// HTTP/2 with prior knowledge, as a Service says it.
const H2C: &str = "kubernetes.io/h2c";

/// A Backend resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Backend {
    pub(super) entry: Entry,
    /// It is spoken to with the Istio identity.
    pub(super) is_in_mesh: bool,
}

/// What the name of a Backend resource ends in whose pods are spoken to in
/// HTTP/2 whatever the Service says: gRPC needs it.
const HTTP2: &str = "/http2";

/// The Service that a reference of a route means, whether it exists or not.
pub(super) fn service(world: &World, route: &RouteId, reference: &BackendRef) -> Verdict<Key> {
    let namespace = route.1.namespace.as_str();
    let group = reference.group.as_deref().unwrap_or_default();
    let kind = reference.kind.as_deref().unwrap_or("Service");
    if !group.is_empty() || kind != "Service" {
        let kind = kind_of(kind, group);
        let message = format!("Backend {} is a {kind}: only Service is supported", reference.name);
        return Err(Refusal::new(reason::INVALID_KIND, message));
    }
    let target = Key::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name);
    if !is_granted(world, (kind_of_route(route), namespace), To::Service, &target) {
        let message = format!("No ReferenceGrant in namespace {} permits {target}", target.namespace);
        return Err(Refusal::new(reason::REF_NOT_PERMITTED, message));
    }
    Ok(target)
}

/// Resolves a reference of a route to the name of a Backend resource.
pub(super) fn resolve(world: &World, route: &RouteId, reference: &BackendRef) -> Verdict<String> {
    let target = service(world, route, reference)?;
    let is_grpc = route.0 == Watched::GrpcRoute;
    // What is not looked into may be anything.
    let is_http = route.0 != Watched::TlsRoute;
    let not_found = |message: String| Refusal::new(reason::BACKEND_NOT_FOUND, message);
    let Some(service) = world.services.get(&target) else {
        return Err(not_found(format!("Service {target} does not exist")));
    };
    if service.spec.r#type.as_deref() == Some("ExternalName") {
        let message = format!("Service {target} is of type ExternalName, which has no endpoints");
        return Err(Refusal::new(reason::INVALID_KIND, message));
    }
    let Some(number) = reference.port else {
        return Err(not_found(format!("The reference to Service {target} names no port")));
    };
    let port = find_port(&service.spec, number)
        .ok_or_else(|| not_found(format!("Service {target} has no port {number}")))?;
    match (port.protocol.as_deref(), port.app_protocol.as_deref()) {
        (None | Some("TCP"), Some(protocol @ "kubernetes.io/ws")) if is_grpc => {
            let message = format!("Port {number} of Service {target} speaks {protocol}, which is not gRPC");
            Err(Refusal::new(reason::UNSUPPORTED_BACKEND_PROTOCOL, message))
        }
        (None | Some("TCP"), Some(protocol @ "kubernetes.io/wss")) if is_http => {
            let message =
                format!("Port {number} of Service {target} speaks {protocol}, which is not supported");
            Err(Refusal::new(reason::UNSUPPORTED_BACKEND_PROTOCOL, message))
        }
        (None | Some("TCP"), protocol) => {
            let http2 = if is_grpc && protocol != Some(H2C) { HTTP2 } else { "" };
            Ok(format!("{}{number}{http2}", prefix(&target)))
        }
        (Some(protocol), _) => {
            let message = format!("Port {number} of Service {target} is {protocol}, not TCP");
            Err(Refusal::new(reason::UNSUPPORTED_BACKEND_PROTOCOL, message))
        }
    }
}

/// What the names of a Service's Backend resources begin with; the rest is the port.
pub(super) fn prefix(service: &Key) -> String {
    format!("backend/{service}:")
}

/// Service and port of a Backend resource.
pub(super) fn named(resource: &str) -> Option<(Key, u16)> {
    let resource = resource.strip_suffix(HTTP2).unwrap_or(resource);
    let (service, number) = resource.strip_prefix("backend/")?.rsplit_once(':')?;
    let (namespace, name) = service.split_once('/')?;
    Some((Key::new(namespace, name), number.parse().ok()?))
}

/// The Backend resource of that name, if its Service has such a port.
pub(super) fn build(world: &World, slices: &Slices, policies: &Policies, resource: &str) -> Option<Backend> {
    let (key, number) = named(resource)?;
    let port = find_port(&world.services.get(&key)?.spec, number)?;
    // R17, R18: the label alone decides, and there is no way back to clear text. Elsewhere a policy does (R19).
    let is_in_mesh = world.is_in_mesh(&key.namespace);
    #[cfg(feature = "faults")]
    let is_in_mesh =
        crate::faults::in_mesh(is_in_mesh, port.name.as_ref().is_some_and(|name| !name.is_empty()));
    let mut is_known = true;
    let security = match policies.tls(&key, port) {
        _ if is_in_mesh => Security::IstioMtls(proto::IstioMtls { secret: ISTIO_SECRET.to_owned() }),
        #[cfg(feature = "faults")]
        Some(_) if crate::faults::fault("backend-tls-policy-ignored") => {
            Security::ClearText(proto::ClearText {})
        }
        Some(tls) => {
            is_known = tls.is_known;
            Security::ServerTls(tls.content)
        }
        None => Security::ClearText(proto::ClearText {}),
    };
    // Whose certificate to expect is known when the pods are.
    let has_pods = || slices.of(world, &key).any(|slice| slice.endpoints.iter().any(|one| one.pod.is_some()));
    if is_in_mesh && !world.pod_namespaces.contains(&key.namespace) && has_pods() {
        is_known = false;
    }
    let protocol = match port.app_protocol.as_deref() {
        Some(H2C) => proto::Protocol::Http2,
        _ if resource.ends_with(HTTP2) => proto::Protocol::Http2,
        _ => proto::Protocol::Http1,
    };
    let content = Kind::Backend(proto::Backend {
        service: key.to_string(),
        port: u32::from(number),
        endpoints: endpoints(world, slices, &key, port, is_in_mesh),
        protocol: protocol.into(),
        security: Some(security),
    });
    let entry = match is_known {
        true => Entry::Content(content),
        false => Entry::Unknown { instead: Some(content) },
    };
    Some(Backend { entry, is_in_mesh })
}

fn endpoints(
    world: &World,
    slices: &Slices,
    service: &Key,
    port: &ServicePort,
    is_in_mesh: bool,
) -> Vec<proto::Endpoint> {
    // A dual-stack Service lists each pod once per family: one is enough.
    let family = match slices.of(world, service).any(|slice| slice.address_type == "IPv4") {
        true => "IPv4",
        false => "IPv6",
    };
    let wanted = port.name.as_deref().unwrap_or_default();
    let all: Vec<(&Endpoint, u16)> = slices
        .of(world, service)
        .filter(|slice| slice.address_type == family)
        .filter_map(|slice| {
            let port = slice.ports.iter().find(|port| {
                port.name.as_deref().unwrap_or_default() == wanted
                    && port.protocol.as_deref().unwrap_or("TCP") == "TCP"
            })?;
            Some((slice, port.port?))
        })
        .flat_map(|(slice, number)| slice.endpoints.iter().map(move |endpoint| (endpoint, number)))
        .collect();
    // As kube-proxy does: when none is ready, those that terminate and still serve are better than none.
    let is_ready = |endpoint: &Endpoint| endpoint.ready && !endpoint.terminating;
    let fall_back = !all.iter().any(|(endpoint, _)| is_ready(endpoint));
    let mut seen = BTreeSet::new();
    let mut endpoints: Vec<proto::Endpoint> = all
        .into_iter()
        .filter(|(endpoint, _)| is_ready(endpoint) || (fall_back && endpoint.serving && endpoint.terminating))
        .filter_map(|(one, number)| endpoint(world, one, number, is_in_mesh))
        .filter(|endpoint| seen.insert((endpoint.address.clone(), endpoint.port)))
        .collect();
    endpoints.sort_by(|a, b| (&a.pod, &a.address, a.port).cmp(&(&b.pod, &b.address, b.port)));
    endpoints
}

fn endpoint(world: &World, endpoint: &Endpoint, port: u16, is_in_mesh: bool) -> Option<proto::Endpoint> {
    let pod = endpoint.pod.as_ref();
    let mut spiffe_id = String::new();
    if is_in_mesh && let Some(pod) = pod {
        // The pod's own watch may lag behind the slice's: its identity is known in a moment, and until then
        // it could only be refused.
        let object = world.pods.get(&Key::new(&pod.namespace, &pod.name))?;
        let account = Some(object.spec.service_account_name.as_str()).filter(|name| !name.is_empty());
        let trust_domain = world.identity.as_ref().and_then(|identity| identity.trust_domain());
        spiffe_id = format!(
            "spiffe://{}/ns/{}/sa/{}",
            trust_domain.unwrap_or(names::DEFAULT_TRUST_DOMAIN),
            pod.namespace,
            account.unwrap_or("default")
        );
    }
    Some(proto::Endpoint {
        address: endpoint.address.clone(),
        port: u32::from(port),
        pod: pod.map(|pod| format!("{}/{}", pod.namespace, pod.name)).unwrap_or_default(),
        spiffe_id,
        node: endpoint.node.clone(),
    })
}

/// The identity as the proxies get it.
pub(super) fn istio_secret(world: &World) -> Option<Entry> {
    world.identity.as_ref().map(|identity| {
        Entry::Content(Kind::Secret(proto::Secret {
            certificate_chain: identity.certificate_chain.clone(),
            private_key: identity.private_key.clone(),
            trust_bundle: identity.trust_bundle.clone(),
        }))
    })
}

fn find_port(service: &Service, number: u16) -> Option<&ServicePort> {
    service.ports.iter().find(|port| port.port == number)
}
