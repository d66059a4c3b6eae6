//! What changes of the world concern: nothing else need be looked at.

use super::super::backend_tls;
use super::super::route_policies::RoutePolicies;
use super::super::update::Update;
use super::Translator;
use crate::world::{Changes, Key, Watched, of_namespace};
use alb_api::names;

/// Kinds that load balancers, Gateways and their frontends are made of. There are few of them, and they are looked at together.
const FRAME: [Watched; 9] = [
    Watched::GatewayClass,
    Watched::Gateway,
    Watched::ListenerSet,
    Watched::LoadBalancer,
    Watched::TrafficController,
    Watched::Deployment,
    Watched::Owner,
    Watched::Certificate,
    Watched::FrontendTlsPolicy,
];

impl Translator {
    /// What the changes concern.
    pub(super) fn look(&mut self, now: &mut Update<'_>, changes: &Changes) {
        let (world, concerned) = (now.world, &mut now.concerned);
        let mut services = self.slices.update(world, changes);
        let of_policies = changes.any(&[Watched::BackendTlsPolicy, Watched::ConfigMap])
            || changes.of(Watched::Service).any(|service| self.policies.of(service).next().is_some());
        for key in changes.of(Watched::Service) {
            services.insert(key.clone());
            concerned.routes.extend(self.index.of_service(key).cloned());
            concerned.frame |= key.namespace == names::DATA_PLANE_NAMESPACE;
        }
        for key in changes.of(Watched::Pod) {
            match key.name.as_str() {
                "" => concerned.backends.extend(self.pool.of_namespace(&key.namespace).cloned()),
                _ => services.extend(self.slices.services_of_pod(key).cloned()),
            }
        }
        if of_policies {
            let before = std::mem::replace(&mut self.policies, backend_tls::Policies::new(world));
            for policies in [&before, &self.policies] {
                services.extend(policies.services().cloned());
                concerned.policies.extend(policies.keys().cloned());
            }
        }
        // A status that others have filled has no room for ours.
        let filled = changes.status.iter().filter(|(kind, _)| *kind == Watched::BackendTlsPolicy);
        concerned.policies.extend(filled.map(|(_, key)| key.clone()));
        if changes.any(&[Watched::RoutePolicy]) {
            let before = std::mem::replace(&mut self.route_policies, RoutePolicies::new(world));
            for policies in [&before, &self.route_policies] {
                concerned.routes.extend(policies.routes().cloned());
                concerned.route_policies.extend(policies.keys().cloned());
            }
        }
        concerned.firewall_policies.extend(changes.of(Watched::FirewallPolicy).cloned());
        let filled = changes.status.iter().filter(|(kind, _)| *kind == Watched::RoutePolicy);
        concerned.route_policies.extend(filled.map(|(_, key)| key.clone()));
        for service in &services {
            concerned.backends.extend(self.pool.of_service(service).cloned());
        }
        concerned.frame |= changes.any(&FRAME);
        let mut config_maps = changes.of(Watched::ConfigMap);
        concerned.frame |= config_maps.any(|key| self.gateways.config_maps.contains(key));
        for key in changes.of(Watched::ReferenceGrant) {
            concerned.frame = true;
            concerned.routes.extend(self.index.of_namespace(&key.namespace).cloned());
        }
        for kind in Watched::ROUTES {
            concerned.routes.extend(changes.of(kind).map(|key| (kind, key.clone())));
        }
        for key in changes.of(Watched::Namespace) {
            concerned.mesh = true;
            let namespace = key.name.as_str();
            let keys = |kind, keys: &mut dyn Iterator<Item = &Key>| -> Vec<(Watched, Key)> {
                keys.map(|key| (kind, key.clone())).collect()
            };
            // Its labels say whether a Gateway takes them.
            concerned.frame |= of_namespace(&world.listener_sets, namespace).next().is_some();
            for kind in Watched::ROUTES {
                let routes = of_namespace(world.routes_of_kind(kind), namespace);
                concerned.routes.extend(routes.map(|(key, _)| (kind, key.clone())));
            }
            concerned.routes.extend(self.index.of_namespace(namespace).cloned());
            concerned.backends.extend(self.pool.of_namespace(namespace).cloned());
            let policies = of_namespace(&world.backend_tls_policies, namespace).map(|(key, _)| key);
            concerned.policies.extend(policies.cloned());
            let policies = of_namespace(&world.route_policies, namespace).map(|(key, _)| key);
            concerned.route_policies.extend(policies.cloned());
            let policies = of_namespace(&world.firewall_policies, namespace).map(|(key, _)| key);
            concerned.firewall_policies.extend(policies.cloned());
            concerned.frame |= of_namespace(&world.frontend_tls_policies, namespace).next().is_some();
            let ingresses = &mut of_namespace(&world.ingresses, namespace).map(|(key, _)| key);
            concerned.warnings.extend(keys(Watched::Ingress, ingresses));
            let gateways = &mut of_namespace(&world.gateways, namespace).map(|(key, _)| key);
            concerned.warnings.extend(keys(Watched::Gateway, gateways));
            let unreadable = world.unreadable.keys().filter(|(_, key)| key.namespace == namespace);
            concerned.warnings.extend(unreadable.cloned());
        }
        if changes.any(&[Watched::Identity]) {
            concerned.identity = true;
            // Another certificate is no other identity, and is replaced often.
            let identity = world.identity.as_ref();
            let trust_domain = identity.map(|identity| identity.trust_domain().map(str::to_owned));
            if std::mem::replace(&mut self.trust_domain, trust_domain.clone()) != trust_domain {
                concerned.backends.extend(self.pool.names().cloned());
            }
        }
        concerned.warnings.extend(changes.content.iter().cloned());
        #[cfg(feature = "faults")]
        if alb_runtime::faults::is("other-backend") && changes.any(&[Watched::Service]) {
            concerned.routes.extend(world.routes.keys().map(|key| (Watched::HttpRoute, key.clone())));
        }
        let written = changes.content.iter().chain(&changes.status);
        now.delta.targets.extend(written.cloned());
    }
}
