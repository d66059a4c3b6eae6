//! Load balancers: those that ALB Controller manages, and those that people brought.

use super::model::{LoadBalancer, Origin};
use crate::world::World;
use alb_api::frontend;
use std::collections::BTreeSet;
use std::sync::Arc;

/// All load balancers, ordered. Of several TrafficControllers with one id the first by name counts.
pub(super) fn collect(world: &World) -> Vec<Arc<LoadBalancer>> {
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
    managed.chain(brought).map(Arc::new).collect()
}
