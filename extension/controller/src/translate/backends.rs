//! Backends: references resolved, Services with the pods behind them, and how to speak to them.

use super::backend_tls::Policies;
use super::condition::{Refusal, Verdict};
use super::routes::GROUP;
use crate::world::{BackendRef, Endpoint, EndpointSlice, Key, Service, ServicePort, World};
use alb_api::messages::reason;
use alb_api::names;
use alb_config::Kind;
use alb_config::proto::{self, weighted_backend::Target};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the Secret resource with the Istio identity.
pub(super) const ISTIO_SECRET: &str = "secret/istio";

/// The world, indexed for backends.
pub(super) struct Backends<'a> {
    world: &'a World,
    policies: &'a Policies<'a>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
    trust_domain: &'a str,
}

impl<'a> Backends<'a> {
    pub(super) fn new(world: &'a World, policies: &'a Policies<'a>) -> Self {
        let mut slices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, slice) in &world.endpoint_slices {
            let service = (key.namespace.as_str(), slice.spec.service.as_str());
            slices.entry(service).or_default().push(&slice.spec);
        }
        let trust_domain = world.identity.as_ref().and_then(|identity| identity.trust_domain());
        Self { world, policies, slices, trust_domain: trust_domain.unwrap_or(names::DEFAULT_TRUST_DOMAIN) }
    }

    /// The Service that a reference of a route in `namespace` means, whether it exists or not.
    pub(super) fn service(&self, namespace: &str, reference: &BackendRef) -> Verdict<Key> {
        let group = reference.group.as_deref().unwrap_or_default();
        let kind = reference.kind.as_deref().unwrap_or("Service");
        if !group.is_empty() || kind != "Service" {
            let kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
            let message = format!("Backend {} is a {kind}: only Service is supported", reference.name);
            return Err(Refusal::new(reason::INVALID_KIND, message));
        }
        let target = Key::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name);
        if target.namespace != namespace && !self.is_granted(namespace, &target) {
            let message = format!("No ReferenceGrant in namespace {} permits {target}", target.namespace);
            return Err(Refusal::new(reason::REF_NOT_PERMITTED, message));
        }
        Ok(target)
    }

    /// Resolves a reference of a route in `namespace` to the name of a Backend resource.
    pub(super) fn resolve(&self, namespace: &str, reference: &BackendRef) -> Verdict<String> {
        let target = self.service(namespace, reference)?;
        let not_found = |message: String| Refusal::new(reason::BACKEND_NOT_FOUND, message);
        let Some(service) = self.world.services.get(&target) else {
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
            (None | Some("TCP"), Some(protocol @ "kubernetes.io/wss")) => {
                let message =
                    format!("Port {number} of Service {target} speaks {protocol}, which is not supported");
                Err(Refusal::new(reason::UNSUPPORTED_BACKEND_PROTOCOL, message))
            }
            (None | Some("TCP"), _) => Ok(format!("backend/{target}:{number}")),
            (Some(protocol), _) => {
                let message = format!("Port {number} of Service {target} is {protocol}, not TCP");
                Err(Refusal::new(reason::UNSUPPORTED_BACKEND_PROTOCOL, message))
            }
        }
    }

    fn is_granted(&self, from: &str, target: &Key) -> bool {
        #[cfg(feature = "faults")]
        if crate::faults::fault("any-reference-granted") {
            return true;
        }
        self.world.grants.iter().filter(|(key, _)| key.namespace == target.namespace).any(|(_, grant)| {
            let source = grant.spec.from.iter().any(|source| {
                source.group == GROUP && source.kind == "HTTPRoute" && source.namespace == from
            });
            source
                && grant.spec.to.iter().any(|to| {
                    to.group.is_empty()
                        && to.kind == "Service"
                        && to.name.as_ref().is_none_or(|name| name.is_empty() || *name == target.name)
                })
        })
    }

    /// Adds the Backend resources that a rule refers to, and the Secret when one of them needs it.
    pub(super) fn collect(&self, rule: &proto::RouteRule, resources: &mut BTreeMap<String, Kind>) {
        for backend in &rule.backends {
            let Some(Target::Backend(name)) = &backend.target else { continue };
            if resources.contains_key(name) {
                continue;
            }
            let Some(backend) = self.backend(name) else { continue };
            #[cfg(feature = "faults")]
            if self.world.identity.is_none() && crate::faults::fault("nothing-without-the-extension") {
                continue;
            }
            if matches!(backend.security, Some(proto::backend::Security::IstioMtls(_)))
                && let Some(identity) = &self.world.identity
            {
                let secret = proto::Secret {
                    certificate_chain: identity.certificate_chain.clone(),
                    private_key: identity.private_key.clone(),
                    trust_bundle: identity.trust_bundle.clone(),
                };
                resources.insert(ISTIO_SECRET.to_owned(), Kind::Secret(secret));
            }
            resources.insert(name.clone(), Kind::Backend(backend));
        }
    }

    fn backend(&self, resource: &str) -> Option<proto::Backend> {
        let (service, number) = resource.strip_prefix("backend/")?.rsplit_once(':')?;
        let (namespace, name) = service.split_once('/')?;
        let number: u16 = number.parse().ok()?;
        let key = Key::new(namespace, name);
        let port = find_port(&self.world.services.get(&key)?.spec, number)?;
        // R17, R18: the label alone decides, and there is no way back to clear text. Elsewhere a policy does (R19).
        let in_mesh = self.world.is_in_mesh(namespace);
        #[cfg(feature = "faults")]
        let in_mesh =
            crate::faults::in_mesh(in_mesh, port.name.as_ref().is_some_and(|name| !name.is_empty()));
        let security = match self.policies.tls(&key, port) {
            _ if in_mesh => {
                proto::backend::Security::IstioMtls(proto::IstioMtls { secret: ISTIO_SECRET.to_owned() })
            }
            #[cfg(feature = "faults")]
            Some(_) if crate::faults::fault("backend-tls-policy-ignored") => {
                proto::backend::Security::ClearText(proto::ClearText {})
            }
            Some(tls) => proto::backend::Security::ServerTls(tls),
            None => proto::backend::Security::ClearText(proto::ClearText {}),
        };
        let protocol = match port.app_protocol.as_deref() {
            Some("kubernetes.io/h2c") => proto::Protocol::Http2,
            _ => proto::Protocol::Http1,
        };
        Some(proto::Backend {
            service: service.to_owned(),
            port: u32::from(number),
            endpoints: self.endpoints(namespace, name, port, in_mesh),
            protocol: protocol.into(),
            security: Some(security),
        })
    }

    fn endpoints(
        &self,
        namespace: &str,
        name: &str,
        port: &ServicePort,
        in_mesh: bool,
    ) -> Vec<proto::Endpoint> {
        let slices = self.slices.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
        // A dual-stack Service lists each pod once per family: one is enough.
        let family = if slices.iter().any(|slice| slice.address_type == "IPv4") { "IPv4" } else { "IPv6" };
        let wanted = port.name.as_deref().unwrap_or_default();
        let all: Vec<(&Endpoint, u16)> = slices
            .iter()
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
            .filter(|(endpoint, _)| {
                is_ready(endpoint) || (fall_back && endpoint.serving && endpoint.terminating)
            })
            .filter_map(|(endpoint, number)| self.endpoint(endpoint, number, in_mesh))
            .filter(|endpoint| seen.insert((endpoint.address.clone(), endpoint.port)))
            .collect();
        endpoints.sort_by(|a, b| (&a.pod, &a.address, a.port).cmp(&(&b.pod, &b.address, b.port)));
        endpoints
    }

    fn endpoint(&self, endpoint: &Endpoint, port: u16, in_mesh: bool) -> Option<proto::Endpoint> {
        let pod = endpoint.pod.as_ref();
        let mut spiffe_id = String::new();
        if in_mesh && let Some(pod) = pod {
            // The pod's own watch may lag behind the slice's: its identity is known in a moment, and until then
            // it could only be refused.
            let object = self.world.pods.get(&Key::new(&pod.namespace, &pod.name))?;
            let account = Some(object.spec.service_account_name.as_str()).filter(|name| !name.is_empty());
            spiffe_id = format!(
                "spiffe://{}/ns/{}/sa/{}",
                self.trust_domain,
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
}

fn find_port(service: &Service, number: u16) -> Option<&ServicePort> {
    service.ports.iter().find(|port| port.port == number)
}
