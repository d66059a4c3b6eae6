//! Frontends: a name and a Service of its own for each Gateway, and a port on the proxies for each of its ports.

use super::addresses::{self, Wanted, unusable};
use super::model::{Association, Certificates, Frontend, GatewayPlan, Gateways, ListenerPlan};
use super::settings::Settings;
use super::template::finished;
use super::{client_certificate, client_validation};
use crate::world::{Infrastructure, Key, Service, TlsSecret, World};
use alb_api::names::{self, annotation, label};
use alb_config::{Entry, Kind, proto};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Ports proxies bind: above the privileged ones and below those the kernel picks for outgoing connections.
const BIND_PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Gives every accepted Gateway its frontend, and its listeners their ports. The older Gateway comes first.
pub(super) fn assign(world: &World, settings: &Settings, gateways: &mut Gateways) {
    let mut taken: BTreeMap<String, Key> = BTreeMap::new();
    for gateway in &mut gateways.all {
        let Ok(association) = &gateway.association else { continue };
        let name = association.frontend_name.clone();
        gateway.frontend = match taken.get(&name) {
            _ if !association.exists => {
                let id = &association.load_balancer.resource_id;
                Err(unusable(format!(
                    "Application Gateway for Containers resource {id} has no frontend {name}"
                )))
            }
            Some(owner) => Err(unusable(format!("Frontend {name} belongs to Gateway {owner}"))),
            None => {
                taken.insert(name.clone(), gateway.key.clone());
                let fqdn = alb_api::frontend::fqdn(&name, &settings.zone);
                match &association.address {
                    Wanted::Unusable(message) => Err(unusable(message.clone())),
                    wanted => {
                        let addresses = addresses::given(wanted, &fqdn, service(world, &name));
                        Ok(Frontend { name, fqdn, addresses })
                    }
                }
            }
        };
    }
    assign_ports(world, &mut gateways.all);
}

fn service<'a>(world: &'a World, frontend: &str) -> Option<&'a Service> {
    world.services.get(&Key::new(names::DATA_PLANE_NAMESPACE, frontend)).map(|object| &object.spec)
}

/// Ports once given stay: the Service remembers them. A new one is the first free port from a hash on, so that
/// replicas agree before the Service exists.
fn assign_ports(world: &World, gateways: &mut [GatewayPlan]) {
    let mut used: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let mut ports: BTreeMap<(String, u16), u16> = BTreeMap::new();
    let mut wanted = Vec::new();
    for gateway in gateways.iter() {
        let (Ok(association), Ok(frontend)) = (&gateway.association, &gateway.frontend) else { continue };
        let remembered = service(world, &frontend.name).map(|s| s.ports.as_slice()).unwrap_or_default();
        let used = used.entry(association.load_balancer.id.clone()).or_default();
        for listener in gateway.listeners.iter().filter(|listener| gateway.is_served(listener)) {
            let port = listener.listener.port;
            let key = (frontend.name.clone(), port);
            if ports.contains_key(&key) {
                continue;
            }
            let bound = remembered
                .iter()
                .filter(|remembered| remembered.port == port)
                .filter_map(|remembered| u16::try_from(remembered.target_port.as_u64()?).ok())
                .find(|bound| BIND_PORTS.contains(bound) && used.insert(*bound));
            match bound {
                Some(bound) => drop(ports.insert(key, bound)),
                None => wanted.push((association.load_balancer.id.clone(), key)),
            }
        }
    }
    for (load_balancer, key) in wanted {
        let used = used.entry(load_balancer).or_default();
        if ports.contains_key(&key) {
            continue;
        }
        let free = candidates(&key).find(|bound| !used.contains(bound));
        if let Some(bound) = free {
            used.insert(bound);
            ports.insert(key, bound);
        }
    }
    for gateway in gateways {
        let Ok(frontend) = gateway.frontend.clone() else { continue };
        for listener in &mut gateway.listeners {
            let port = ports.get(&(frontend.name.clone(), listener.listener.port));
            listener.bind_port = port.copied().unwrap_or_default();
        }
    }
}

fn candidates((frontend, port): &(String, u16)) -> impl Iterator<Item = u16> {
    let hash = Sha256::digest(format!("{frontend}:{port}"));
    let start = u16::from_be_bytes([hash[0], hash[1]]) % (BIND_PORTS.end - BIND_PORTS.start);
    let start = BIND_PORTS.start + start;
    (start..BIND_PORTS.end).chain(BIND_PORTS.start..start)
}

/// What the proxies are told of all frontends, by load balancer: resource names and content.
pub(super) fn resources(world: &World, gateways: &Gateways) -> BTreeMap<String, BTreeMap<String, Entry>> {
    let mut all: BTreeMap<String, BTreeMap<String, Entry>> = BTreeMap::new();
    for gateway in &gateways.all {
        let Some((load_balancer, frontend)) = gateway.place() else { continue };
        let resources = all.entry(load_balancer.id.clone()).or_default();
        let content = Kind::Frontend(resource(world, gateway, frontend));
        let entry = match gateway.is_known() {
            true => Entry::Content(content),
            false => Entry::Unknown { instead: Some(content) },
        };
        resources.insert(frontend.resource_name(), entry);
        let certificates = served(gateway).filter_map(|listener| listener.certificates.as_ref());
        let of_gateway = gateway.client_certificate.iter().flat_map(|certificate| &certificate.secret);
        for secret in certificates.flat_map(|certificates| &certificates.secrets).chain(of_gateway) {
            let entry = match world.tls_secrets.get(secret) {
                Some(TlsSecret::Certificate(pair)) => Entry::Content(Kind::Certificate(proto::Certificate {
                    certificate_chain: pair.chain.clone(),
                    private_key: pair.key.clone(),
                })),
                _ => Entry::Unknown { instead: None },
            };
            resources.insert(Certificates::resource_name(secret), entry);
        }
    }
    all
}

/// The listeners of a Gateway that carry traffic.
fn served(gateway: &GatewayPlan) -> impl Iterator<Item = &ListenerPlan> {
    gateway.listeners.iter().filter(|listener| gateway.is_served(listener) && listener.bind_port != 0)
}

/// The frontend as the proxies see it.
fn resource(world: &World, gateway: &GatewayPlan, frontend: &Frontend) -> proto::Frontend {
    let (mut listeners, mut tls_listeners) = (Vec::new(), Vec::new());
    for plan in served(gateway) {
        let listener = proto::Listener {
            name: plan.id(),
            bind_port: u32::from(plan.bind_port),
            port: u32::from(plan.listener.port),
            hostname: plan.listener.hostname.clone().unwrap_or_default(),
        };
        match plan.tls {
            None => listeners.push(listener),
            Some(mode) => {
                let certificates = plan.certificates.iter().flat_map(|all| &all.secrets);
                tls_listeners.push(proto::TlsListener {
                    listener: Some(listener),
                    certificates: certificates.map(Certificates::resource_name).collect(),
                    client_validation: plan
                        .client_validation
                        .as_ref()
                        .map(|validation| client_validation::resource(world, validation)),
                    mode: mode.into(),
                    policy: plan.tls_policy.clone(),
                })
            }
        }
    }
    let backend_client_certificate = client_certificate::resource_name(gateway.client_certificate.as_ref());
    let (fqdn, gateway) = (frontend.fqdn.clone(), gateway.key.to_string());
    proto::Frontend { fqdn, gateway, listeners, tls_listeners, backend_client_certificate }
}

/// The Services of all frontends with at least one served listener.
pub(super) fn services(gateways: &Gateways, world: &World) -> BTreeMap<Key, Value> {
    let of_gateway = |gateway: &GatewayPlan| {
        let Association { load_balancer, address, .. } = gateway.association.as_ref().ok()?;
        let frontend = gateway.frontend.as_ref().ok()?;
        let ports: BTreeMap<u16, (u16, &str)> = served(gateway)
            .map(|plan| {
                let scheme = match plan.tls {
                    None => "http",
                    Some(proto::TlsMode::TerminateHttp) => "https",
                    Some(_) => "tls",
                };
                (plan.listener.port, (plan.bind_port, scheme))
            })
            .collect();
        if ports.is_empty() {
            return None;
        }
        let infrastructure = &gateway.object.spec.infrastructure;
        let mut service = manifest(&gateway.key, &load_balancer.id, &frontend.name, &ports, infrastructure);
        if let Wanted::Ip(address) = address {
            service["spec"]["loadBalancerIP"] = address.to_string().into();
        }
        Some((Key::new(names::DATA_PLANE_NAMESPACE, &frontend.name), finished(service, world)))
    };
    gateways.all.iter().filter_map(of_gateway).collect()
}

fn manifest(
    gateway: &Key,
    load_balancer: &str,
    frontend: &str,
    ports: &BTreeMap<u16, (u16, &str)>,
    infrastructure: &Infrastructure,
) -> Value {
    let value = alb_api::frontend::load_balancer_label(load_balancer);
    let ports: Vec<Value> = ports
        .iter()
        .map(|(port, (bound, scheme))| {
            json!({"name": format!("{scheme}-{port}"), "port": port, "targetPort": bound, "protocol": "TCP"})
        })
        .collect();
    // The Gateway's own first: what the controller knows its objects by cannot be replaced.
    let with = |own: &BTreeMap<String, String>, ours: Vec<(&str, String)>| -> BTreeMap<String, String> {
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.clone().into_iter().chain(ours).collect()
    };
    let labels = with(
        &infrastructure.labels,
        vec![
            (label::MANAGED_BY, label::MANAGED_BY_VALUE.to_owned()),
            (label::FRONTEND, frontend.to_owned()),
            (label::LOAD_BALANCER, value.clone()),
        ],
    );
    let annotations = with(
        &infrastructure.annotations,
        vec![
            (annotation::GATEWAY, gateway.to_string()),
            (annotation::LOAD_BALANCER, load_balancer.to_owned()),
        ],
    );
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": frontend,
            "namespace": names::DATA_PLANE_NAMESPACE,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "type": "LoadBalancer",
            // `externalTrafficPolicy` stays Cluster: every node takes connections, whether it has a proxy or not. For that,
            // kube-proxy puts the node's address in the place of the client's, and so x-forwarded-for names a node.
            // The load balancer's addresses are routed to the Service as such: node ports would only be waste.
            "allocateLoadBalancerNodePorts": false,
            "selector": {"app.kubernetes.io/name": "alb-proxy", label::LOAD_BALANCER: value},
            "ports": ports,
        },
    })
}
