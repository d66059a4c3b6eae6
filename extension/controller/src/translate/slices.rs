//! EndpointSlices by Service, and Services by pod: a slice or a pod that changes concerns these and no others.

use super::index::leave;
use crate::world::{Changes, EndpointSlice, Key, Watched, World};
use std::collections::{BTreeMap, BTreeSet};

/// The index.
#[derive(Debug, Default)]
pub(super) struct Slices {
    of_service: BTreeMap<Key, BTreeSet<Key>>,
    services_of_pod: BTreeMap<Key, BTreeSet<Key>>,
    /// What a slice was last entered under.
    entered: BTreeMap<Key, (Key, BTreeSet<Key>)>,
}

impl Slices {
    /// The slices of a Service.
    pub(super) fn of<'a>(
        &'a self,
        world: &'a World,
        service: &Key,
    ) -> impl Iterator<Item = &'a EndpointSlice> {
        let slices = self.of_service.get(service).into_iter().flatten();
        slices.filter_map(|key| world.endpoint_slices.get(key)).map(|slice| &slice.spec)
    }

    /// The Services that a pod stands behind.
    pub(super) fn services_of_pod(&self, pod: &Key) -> impl Iterator<Item = &Key> {
        self.services_of_pod.get(pod).into_iter().flatten()
    }

    /// Enters what has changed. Returns the Services concerned.
    pub(super) fn update(&mut self, world: &World, changes: &Changes) -> BTreeSet<Key> {
        let mut concerned = BTreeSet::new();
        for key in changes.of(Watched::EndpointSlice) {
            if let Some((service, pods)) = self.entered.remove(key) {
                leave(&mut self.of_service, &service, key);
                for pod in &pods {
                    leave(&mut self.services_of_pod, pod, &service);
                }
                concerned.insert(service);
            }
            let Some(slice) = world.endpoint_slices.get(key) else { continue };
            let service = Key::new(&key.namespace, &slice.spec.service);
            let pods = slice.spec.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref());
            let pods: BTreeSet<Key> = pods.map(|pod| Key::new(&pod.namespace, &pod.name)).collect();
            self.of_service.entry(service.clone()).or_default().insert(key.clone());
            for pod in &pods {
                self.services_of_pod.entry(pod.clone()).or_default().insert(service.clone());
            }
            self.entered.insert(key.clone(), (service.clone(), pods));
            concerned.insert(service);
        }
        // A pod may be in several slices of one Service: those that stay say so again.
        let again: Vec<(Key, BTreeSet<Key>)> = concerned
            .iter()
            .flat_map(|service| self.of_service.get(service).into_iter().flatten())
            .filter_map(|slice| self.entered.get(slice).cloned())
            .collect();
        for (service, pods) in again {
            for pod in pods {
                self.services_of_pod.entry(pod).or_default().insert(service.clone());
            }
        }
        concerned
    }
}
