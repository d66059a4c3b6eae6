//! Who refers to what: an object that changes concerns those that refer to it, and no others.

use super::model::{RouteId, RoutePlan};
use crate::world::{Key, Watched};
use std::collections::{BTreeMap, BTreeSet};

/// Routes by what they refer to.
#[derive(Debug, Default)]
pub(super) struct Index {
    of_gateway: BTreeMap<Key, BTreeSet<RouteId>>,
    of_listener_set: BTreeMap<Key, BTreeSet<RouteId>>,
    of_service: BTreeMap<Key, BTreeSet<RouteId>>,
    of_namespace: BTreeMap<String, BTreeSet<RouteId>>,
}

impl Index {
    pub(super) fn enter(&mut self, route: &RoutePlan) {
        for gateway in &route.named {
            self.of_gateway.entry(gateway.clone()).or_default().insert(route.id.clone());
        }
        for set in &route.named_sets {
            self.of_listener_set.entry(set.clone()).or_default().insert(route.id.clone());
        }
        for service in &route.services {
            self.of_service.entry(service.clone()).or_default().insert(route.id.clone());
        }
        for namespace in &route.namespaces {
            self.of_namespace.entry(namespace.clone()).or_default().insert(route.id.clone());
        }
    }

    pub(super) fn leave(&mut self, route: &RoutePlan) {
        for gateway in &route.named {
            leave(&mut self.of_gateway, gateway, &route.id);
        }
        for set in &route.named_sets {
            leave(&mut self.of_listener_set, set, &route.id);
        }
        for service in &route.services {
            leave(&mut self.of_service, service, &route.id);
        }
        for namespace in &route.namespaces {
            leave(&mut self.of_namespace, namespace, &route.id);
        }
    }

    /// Routes that name a Gateway.
    pub(super) fn of_gateway(&self, gateway: &Key) -> impl Iterator<Item = &RouteId> {
        self.of_gateway.get(gateway).into_iter().flatten()
    }

    /// Routes that name a ListenerSet.
    pub(super) fn of_listener_set(&self, set: &Key) -> impl Iterator<Item = &RouteId> {
        self.of_listener_set.get(set).into_iter().flatten()
    }

    /// Whether a route of a kind names a Gateway.
    pub(super) fn has_kind(&self, gateway: &Key, kind: Watched) -> bool {
        let routes = self.of_gateway.get(gateway);
        let first = routes.and_then(|routes| routes.range((kind, Key::default())..).next());
        first.is_some_and(|(other, _)| *other == kind)
    }

    /// Routes that may refer to a Service and do.
    pub(super) fn of_service(&self, service: &Key) -> impl Iterator<Item = &RouteId> {
        self.of_service.get(service).into_iter().flatten()
    }

    /// Routes of other namespaces that refer to something in this one, permitted or not.
    pub(super) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &RouteId> {
        self.of_namespace.get(namespace).into_iter().flatten()
    }
}

/// Takes a value from the set of a key, and the set when it was the last one.
pub(super) fn leave<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = map.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            map.remove(key);
        }
    }
}
