//! Load balancers: those that ALB Controller manages, and those that people brought.

use crate::world::{Key, World};
use alb_api::frontend;
use std::collections::BTreeSet;

/// A load balancer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LoadBalancer {
    /// By what proxies and snapshots refer to it.
    pub(super) id: String,
    /// Resource id as Azure would give it.
    pub(super) resource_id: String,
    /// Where it comes from.
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// An ApplicationLoadBalancer.
    Managed(Key),
    /// A TrafficController, with the names of its frontends.
    Brought(BTreeSet<String>),
}

/// All load balancers, ordered. Of several TrafficControllers with one id the first by name counts.
pub(super) fn collect(world: &World) -> Vec<LoadBalancer> {
    let managed = world.load_balancers.iter().filter(|(_, object)| !object.meta.deleting).map(|(key, _)| {
        let id = key.to_string();
        LoadBalancer {
            resource_id: frontend::traffic_controller_id(&id),
            id,
            origin: Origin::Managed(key.clone()),
        }
    });
    let mut ids = BTreeSet::new();
    let brought = world
        .traffic_controllers
        .values()
        .filter(|object| !object.meta.deleting && !object.spec.id.is_empty())
        .filter(|object| ids.insert(object.spec.id.to_ascii_lowercase()))
        .map(|object| LoadBalancer {
            id: object.spec.id.clone(),
            resource_id: object.spec.id.clone(),
            origin: Origin::Brought(object.spec.frontends.iter().map(|f| f.name.clone()).collect()),
        });
    managed.chain(brought).collect()
}
