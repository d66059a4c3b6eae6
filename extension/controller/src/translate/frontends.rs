//! Frontends: a name and a Service of its own for each Gateway, and a port on the proxies for each of its ports.

use super::condition::Refusal;
use super::gateways::{Association, GatewayPlan};
use super::{Settings, data_plane};
use crate::world::{Key, Service, World};
use alb_api::messages::reason;
use alb_api::names::{self, annotation, label};
use alb_config::proto;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Ports proxies bind: above the privileged ones and below those the kernel picks for outgoing connections.
const BIND_PORTS: std::ops::Range<u16> = 10_000..30_000;

/// The frontend of a Gateway.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frontend {
    /// Name, first label of the FQDN and name of its Service.
    pub(super) name: String,
    /// Fully qualified name.
    pub(super) fqdn: String,
    /// Whether its Service has an address.
    pub(super) has_address: bool,
}

impl Frontend {
    /// Name of its resource in the proxies' configuration.
    pub(super) fn resource_name(&self) -> String {
        format!("frontend/{}", self.name)
    }
}

/// Gives every accepted Gateway its frontend, and its listeners their ports. The older Gateway comes first.
pub(super) fn assign(world: &World, settings: &Settings, gateways: &mut [GatewayPlan<'_>]) {
    let mut taken: BTreeMap<String, &Key> = BTreeMap::new();
    for gateway in gateways.iter_mut() {
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
                taken.insert(name.clone(), gateway.key);
                let fqdn = alb_api::frontend::fqdn(&name, &settings.zone);
                let service = service(world, &name);
                Ok(Frontend { name, fqdn, has_address: service.is_some_and(|service| service.has_address) })
            }
        };
    }
    assign_ports(world, gateways);
}

fn unusable(message: String) -> Refusal {
    Refusal::new(reason::ADDRESS_NOT_USABLE, message)
}

fn service<'a>(world: &'a World, frontend: &str) -> Option<&'a Service> {
    world.services.get(&Key::new(names::DATA_PLANE_NAMESPACE, frontend)).map(|object| &object.spec)
}

/// Ports once given stay: the Service remembers them. A new one is the first free port from a hash on, so that
/// replicas agree before the Service exists.
fn assign_ports(world: &World, gateways: &mut [GatewayPlan<'_>]) {
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

/// The frontend as the proxies see it: load balancer, resource name, content.
pub(super) fn resource<'a>(gateway: &GatewayPlan<'a>) -> Option<(&'a str, String, proto::Frontend)> {
    let (Ok(Association { load_balancer, .. }), Ok(frontend)) = (&gateway.association, &gateway.frontend)
    else {
        return None;
    };
    let listeners: Vec<proto::Listener> = gateway
        .listeners
        .iter()
        .filter(|listener| gateway.is_served(listener) && listener.bind_port != 0)
        .map(|listener| proto::Listener {
            name: listener.listener.name.clone(),
            bind_port: u32::from(listener.bind_port),
            port: u32::from(listener.listener.port),
            hostname: listener.listener.hostname.clone().unwrap_or_default(),
        })
        .collect();
    let content =
        proto::Frontend { fqdn: frontend.fqdn.clone(), gateway: gateway.key.to_string(), listeners };
    Some((load_balancer.id.as_str(), frontend.resource_name(), content))
}

/// The Services of all frontends with at least one served listener.
pub(super) fn services(gateways: &[GatewayPlan<'_>], world: &World) -> BTreeMap<Key, Value> {
    gateways
        .iter()
        .filter_map(|gateway| {
            let (association, frontend) =
                (gateway.association.as_ref().ok()?, gateway.frontend.as_ref().ok()?);
            let ports: BTreeMap<u16, u16> = gateway
                .listeners
                .iter()
                .filter(|listener| gateway.is_served(listener) && listener.bind_port != 0)
                .map(|listener| (listener.listener.port, listener.bind_port))
                .collect();
            if ports.is_empty() {
                return None;
            }
            let service = data_plane::finished(
                manifest(gateway.key, &association.load_balancer.id, &frontend.name, &ports),
                world,
            );
            Some((Key::new(names::DATA_PLANE_NAMESPACE, &frontend.name), service))
        })
        .collect()
}

fn manifest(gateway: &Key, load_balancer: &str, frontend: &str, ports: &BTreeMap<u16, u16>) -> Value {
    let value = alb_api::frontend::load_balancer_label(load_balancer);
    let ports: Vec<Value> = ports
        .iter()
        .map(|(port, bound)| {
            json!({"name": format!("http-{port}"), "port": port, "targetPort": bound, "protocol": "TCP"})
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": frontend,
            "namespace": names::DATA_PLANE_NAMESPACE,
            "labels": {
                label::MANAGED_BY: label::MANAGED_BY_VALUE,
                label::FRONTEND: frontend,
                label::LOAD_BALANCER: value,
            },
            "annotations": {
                annotation::GATEWAY: gateway.to_string(),
                annotation::LOAD_BALANCER: load_balancer,
            },
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
