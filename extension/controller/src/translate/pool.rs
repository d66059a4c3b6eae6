//! The Backend resources that routes refer to, built once each, however many routes and load balancers use them.

use super::backends::{self, Backend};
use super::model::RouteId;
use crate::world::Key;
use std::collections::{BTreeMap, BTreeSet};

/// All of them, by resource name.
#[derive(Debug, Default)]
pub(super) struct Pool {
    members: BTreeMap<String, Member>,
    /// Names of those that are spoken to with the Istio identity, by load balancer.
    in_mesh: BTreeMap<String, BTreeSet<String>>,
    /// Names of those, by namespace.
    mesh_namespaces: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Member {
    /// Routes, by load balancer.
    users: BTreeMap<String, BTreeSet<RouteId>>,
    /// None if there is no such Service or port.
    backend: Option<Backend>,
}

impl Pool {
    /// Notes that a route of a load balancer uses a backend.
    pub(super) fn enter(&mut self, name: &str, load_balancer: &str, route: &RouteId) {
        let member = self.members.entry(name.to_owned()).or_default();
        member.users.entry(load_balancer.to_owned()).or_default().insert(route.clone());
    }

    /// Notes that it no longer does.
    pub(super) fn leave(&mut self, name: &str, load_balancer: &str, route: &RouteId) {
        let Some(member) = self.members.get_mut(name) else { return };
        super::index::leave(&mut member.users, &load_balancer.to_owned(), route);
    }

    /// Names of the backends of a Service.
    pub(super) fn of_service(&self, service: &Key) -> impl Iterator<Item = &String> {
        let prefix = backends::prefix(service);
        let names = self.members.range(prefix.clone()..).map(|(name, _)| name);
        names.take_while(move |name| name.starts_with(&prefix))
    }

    /// Names of the backends of a namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &String> {
        let prefix = format!("backend/{namespace}/");
        let names = self.members.range(prefix.clone()..).map(|(name, _)| name);
        names.take_while(move |name| name.starts_with(&prefix))
    }

    /// Names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }

    /// Routes that use a backend.
    pub(super) fn users(&self, name: &str) -> impl Iterator<Item = &RouteId> {
        self.members.get(name).into_iter().flat_map(|member| member.users.values().flatten())
    }

    /// Load balancers of which some route uses a backend.
    pub(super) fn load_balancers(&self, name: &str) -> impl Iterator<Item = &String> {
        self.members.get(name).into_iter().flat_map(|member| member.users.keys())
    }

    /// Sets what a backend is; one that nobody uses is forgotten.
    pub(super) fn set(&mut self, name: &str, backend: Option<Backend>) {
        let Some(member) = self.members.get_mut(name) else { return };
        let is_in_mesh = backend.as_ref().is_some_and(|backend| backend.is_in_mesh);
        member.backend = backend;
        let of: BTreeSet<&String> = member.users.keys().filter(|_| is_in_mesh).collect();
        for load_balancer in &of {
            self.in_mesh.entry((*load_balancer).clone()).or_default().insert(name.to_owned());
        }
        let others: Vec<String> =
            self.in_mesh.keys().filter(|load_balancer| !of.contains(*load_balancer)).cloned().collect();
        for load_balancer in others {
            super::index::leave(&mut self.in_mesh, &load_balancer, &name.to_owned());
        }
        let is_used = !member.users.is_empty();
        let namespace = backends::named(name).map(|(service, _)| service.namespace).unwrap_or_default();
        match is_in_mesh && is_used {
            true => drop(self.mesh_namespaces.entry(namespace).or_default().insert(name.to_owned())),
            false => super::index::leave(&mut self.mesh_namespaces, &namespace, &name.to_owned()),
        }
        if !is_used {
            self.members.remove(name);
        }
    }

    /// What a backend is.
    pub(super) fn backend(&self, name: &str) -> Option<&Backend> {
        self.members.get(name)?.backend.as_ref()
    }

    /// Whether a load balancer needs the Istio identity.
    pub(super) fn is_in_mesh(&self, load_balancer: &str) -> bool {
        self.in_mesh.contains_key(load_balancer)
    }

    /// Namespaces of the backends for which it is needed.
    pub(super) fn mesh_namespaces(&self) -> impl Iterator<Item = &String> {
        self.mesh_namespaces.keys()
    }
}
