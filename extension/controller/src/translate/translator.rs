//! From what has changed to what should be different. What one change costs grows with what it concerns, not with what
//! there is; the outcome is that of translating everything anew.

use super::contention::Contention;
use super::index::Index;
use super::model::{Gateways, LoadBalancer, RouteId, RoutePlan, route};
use super::pool::Pool;
use super::progress::{Evidence, Progress, Provisional};
use super::settings::Settings;
use super::slices::Slices;
use super::update::{Concerned, Edits, Update, replace};
use super::{Delta, Translation, backend_tls, backends, client_certificate, contenders, data_plane};
use super::{frontends, gateways, listeners, load_balancers, routes, rules, status};
use crate::references::Reference;
use crate::world::{Changes, Key, Watched, World, of_namespace};
use alb_api::names;
use alb_config::Snapshot;
use alb_config::server::AckChanges;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Kinds that load balancers, Gateways and their frontends are made of. There are few of them, and they are looked at together.
const FRAME: [Watched; 8] = [
    Watched::GatewayClass,
    Watched::Gateway,
    Watched::ListenerSet,
    Watched::LoadBalancer,
    Watched::TrafficController,
    Watched::Deployment,
    Watched::Owner,
    Watched::Certificate,
];

/// Remembers how things stand, so that the next change can be told apart from them.
#[derive(Debug, Default)]
pub struct Translator {
    settings: Settings,
    load_balancers: Vec<Arc<LoadBalancer>>,
    gateways: Gateways,
    policies: backend_tls::Policies,
    routes: BTreeMap<RouteId, RoutePlan>,
    contention: Contention,
    index: Index,
    slices: Slices,
    pool: Pool,
    /// Trust domain of the identity, once there is one.
    trust_domain: Option<Option<String>>,
    /// Attached routes, by Gateway and name of the listener.
    attached: BTreeMap<(Key, String), u32>,
    /// Names of the frontends' resources, by load balancer.
    frontends: BTreeMap<String, BTreeSet<String>>,
    programmed: BTreeMap<Key, Provisional>,
    /// Routes of which some condition Programmed is not true.
    unprogrammed: BTreeSet<RouteId>,
    /// ListenerSets of which something is said.
    listener_sets: BTreeMap<Key, BTreeSet<Key>>,
    /// ConfigMaps of policies.
    config_maps: BTreeMap<Key, BTreeSet<Key>>,
    translation: Arc<Translation>,
}

impl Translator {
    /// Knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// What should be.
    pub fn translation(&self) -> &Arc<Translation> {
        &self.translation
    }

    /// Brings what should be up to date with what has changed: `changes` in the world, and `acks` in what the proxies have
    /// acknowledged, which `progress` has in full.
    pub fn update(
        &mut self,
        world: &World,
        changes: &Changes,
        acks: &AckChanges,
        progress: &dyn Progress,
    ) -> Delta {
        let mut translation = std::mem::take(&mut self.translation);
        let mut now = Update {
            world,
            progress,
            concerned: Concerned::default(),
            edits: Edits::new(),
            delta: Delta::default(),
            translation: Arc::make_mut(&mut translation),
        };
        self.look(&mut now, changes);
        self.frame(&mut now);
        self.routes(&mut now);
        self.backends(&mut now);
        self.publish(&mut now);
        self.acknowledged(&mut now, acks);
        self.statuses(&mut now);
        self.references(&mut now);
        now.warnings();
        let delta = now.delta;
        self.translation = translation;
        delta
    }

    /// What the changes concern.
    fn look(&mut self, now: &mut Update<'_>, changes: &Changes) {
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
        for kind in [Watched::HttpRoute, Watched::GrpcRoute] {
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
            for (kind, all) in [(Watched::HttpRoute, &world.routes), (Watched::GrpcRoute, &world.grpc_routes)]
            {
                let routes = of_namespace(all, namespace).map(|(key, _)| (kind, key.clone()));
                concerned.routes.extend(routes);
            }
            concerned.routes.extend(self.index.of_namespace(namespace).cloned());
            concerned.backends.extend(self.pool.of_namespace(namespace).cloned());
            let policies = of_namespace(&world.backend_tls_policies, namespace).map(|(key, _)| key);
            concerned.policies.extend(policies.cloned());
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

    /// Load balancers, Gateways, frontends.
    fn frame(&mut self, now: &mut Update<'_>) {
        if !now.concerned.frame {
            return;
        }
        let world = now.world;
        self.load_balancers = load_balancers::collect(world);
        let mut gateways = gateways::collect(world, &self.load_balancers);
        frontends::assign(world, &self.settings, &mut gateways);
        let before = std::mem::replace(&mut self.gateways, gateways);
        let all: BTreeSet<&Key> =
            before.all.iter().chain(&self.gateways.all).map(|gateway| &gateway.key).collect();
        for key in all {
            let is_same = match (before.get(key), self.gateways.get(key)) {
                (Some(before), Some(now)) => before.is_same_to_routes(now),
                _ => false,
            };
            if !is_same {
                now.concerned.routes.extend(self.index.of_gateway(key).cloned());
                let sets = [&before, &self.gateways].into_iter().filter_map(|all| all.get(key));
                for set in sets.flat_map(|gateway| &gateway.sets) {
                    now.concerned.routes.extend(self.index.of_listener_set(&set.key).cloned());
                }
            }
            now.concerned.gateways.insert(key.clone());
        }
        // Their order, and which are ours, has a bearing on what is said of policies.
        now.concerned.policies.extend(self.policies.keys().cloned());

        let mut resources = frontends::resources(world, &self.gateways);
        let ids: BTreeSet<String> = self.load_balancers.iter().map(|lb| lb.id.clone()).collect();
        let gone: Vec<String> =
            now.translation.snapshots.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        for id in gone {
            now.translation.snapshots.remove(&id);
            now.edits.remove(&id);
            self.frontends.remove(&id);
            now.delta.removed.insert(id);
        }
        for id in ids {
            let resources = resources.remove(&id).unwrap_or_default();
            if !now.translation.snapshots.contains_key(&id) {
                now.translation.snapshots.insert(id.clone(), Snapshot::default());
                now.delta.snapshots.insert(id.clone());
            }
            let names: BTreeSet<String> = resources.keys().cloned().collect();
            let before = self.frontends.insert(id.clone(), names).unwrap_or_default();
            let edits = now.edits.entry(id).or_default();
            edits.extend(before.into_iter().map(|name| (name, None)));
            edits.extend(resources.into_iter().map(|(name, entry)| (name, Some(entry))));
        }

        let data_plane::Objects { deployments, disruption_budgets, autoscalers } =
            data_plane::objects(&self.load_balancers, world, &self.settings);
        let services = frontends::services(&self.gateways, world);
        let (translation, targets) = (&mut *now.translation, &mut now.delta.targets);
        replace(&mut translation.deployments, deployments, Watched::Deployment, targets);
        let budgets = &mut translation.disruption_budgets;
        replace(budgets, disruption_budgets, Watched::DisruptionBudget, targets);
        replace(&mut translation.autoscalers, autoscalers, Watched::Autoscaler, targets);
        replace(&mut translation.services, services, Watched::Service, targets);
    }

    /// Routes, and what the proxies are told of them.
    fn routes(&mut self, now: &mut Update<'_>) {
        let plans = contenders::Plans { routes: &self.routes, index: &self.index, gateways: &self.gateways };
        let changed = plans.decide(&mut self.contention, now.world, &now.concerned.routes);
        now.concerned.routes.extend(changed);
        let concerned = now.concerned.routes.clone();
        for key in &concerned {
            if let Some(before) = self.routes.remove(key) {
                self.index.leave(&before);
                now.concerned.policies.extend(self.policies_of(&before));
                for load_balancer in &before.load_balancers {
                    let names = before.rules.iter().map(|name| (name.clone(), None));
                    now.edit(load_balancer).extend(names);
                    for backend in &before.backends {
                        self.pool.leave(backend, load_balancer, key);
                        now.edit(load_balancer).insert(backend.clone(), None);
                        now.concerned.backends.insert(backend.clone());
                    }
                }
                for at in &before.attached {
                    now.concerned.gateways.insert(at.0.clone());
                    if let Some(count) = self.attached.get_mut(at) {
                        *count = count.saturating_sub(1);
                        if *count == 0 {
                            self.attached.remove(at);
                        }
                    }
                }
            }
            now.concerned.statuses.insert(key.clone());
            let Some(object) = route(now.world, key) else { continue };
            let (plan, resources) = routes::plan(now.world, &self.gateways, &self.contention, key, object);
            for (load_balancer, name, rule) in resources {
                now.edit(&load_balancer).insert(name, Some(rule.into()));
            }
            for load_balancer in &plan.load_balancers {
                for backend in &plan.backends {
                    self.pool.enter(backend, load_balancer, key);
                    now.concerned.backends.insert(backend.clone());
                }
            }
            for at in &plan.attached {
                now.concerned.gateways.insert(at.0.clone());
                *self.attached.entry(at.clone()).or_default() += 1;
            }
            self.index.enter(&plan);
            now.concerned.policies.extend(self.policies_of(&plan));
            self.routes.insert(key.clone(), plan);
        }
    }

    /// The policies that are about the Services of a route.
    fn policies_of(&self, route: &RoutePlan) -> BTreeSet<Key> {
        route.services.iter().flat_map(|service| self.policies.of(service)).cloned().collect()
    }

    /// Backends, and the identity that some of them need.
    fn backends(&mut self, now: &mut Update<'_>) {
        let mut identity: BTreeSet<String> = match now.concerned.identity {
            true => now.translation.snapshots.keys().cloned().collect(),
            false => BTreeSet::new(),
        };
        for name in std::mem::take(&mut now.concerned.backends) {
            let before = self.pool.backend(&name).is_some_and(|backend| backend.is_in_mesh);
            let built = backends::build(now.world, &self.slices, &self.policies, &name);
            #[cfg(feature = "faults")]
            let built = built.filter(|_| {
                now.world.identity.is_some() || !crate::faults::fault("nothing-without-the-extension")
            });
            let is_in_mesh = built.as_ref().is_some_and(|backend| backend.is_in_mesh);
            let entry = built.as_ref().map(|backend| backend.entry.clone());
            let users: Vec<String> = self.pool.load_balancers(&name).cloned().collect();
            for load_balancer in &users {
                now.edit(load_balancer).insert(name.clone(), entry.clone());
            }
            now.concerned.mesh |= before != is_in_mesh || (before && users.is_empty());
            if before || is_in_mesh {
                identity.extend(users);
                // And those that have just lost it.
                identity.extend(now.edits.keys().cloned());
            }
            self.pool.set(&name, built);
        }
        let secret = backends::istio_secret(now.world);
        for load_balancer in identity {
            let secret = secret.clone().filter(|_| self.pool.is_in_mesh(&load_balancer));
            now.edit(&load_balancer).insert(backends::ISTIO_SECRET.to_owned(), secret);
        }
    }

    /// Puts the changes into the snapshots.
    fn publish(&mut self, now: &mut Update<'_>) {
        for (load_balancer, edits) in std::mem::take(&mut now.edits) {
            let Some(snapshot) = now.translation.snapshots.get_mut(&load_balancer) else { continue };
            let changed = snapshot.with(edits);
            if changed != *snapshot {
                *snapshot = changed;
                now.delta.snapshots.insert(load_balancer);
            }
        }
    }

    /// What has been acknowledged, or refused.
    fn acknowledged(&mut self, now: &mut Update<'_>, acks: &AckChanges) {
        if acks.load_balancers.is_empty() {
            return;
        }
        let concerned = &mut now.concerned;
        for gateway in &self.gateways.all {
            if let Some((load_balancer, _)) = gateway.place()
                && acks.load_balancers.contains(&load_balancer.id)
            {
                concerned.gateways.insert(gateway.key.clone());
            }
        }
        concerned.statuses.extend(self.unprogrammed.iter().cloned());
        concerned.statuses.extend(acks.refused.iter().filter_map(|name| rules::route_of(name)));
        let users = acks.refused.iter().flat_map(|name| self.pool.users(name));
        concerned.statuses.extend(users.cloned());
        if !acks.everything.is_empty() {
            let routes =
                self.routes.values().filter(|route| !route.load_balancers.is_disjoint(&acks.everything));
            concerned.statuses.extend(routes.map(|route| route.id.clone()));
        }
    }

    fn statuses(&mut self, now: &mut Update<'_>) {
        let (world, progress) = (now.world, now.progress);
        let snapshots = std::mem::take(&mut now.translation.snapshots);
        let evidence = Evidence { world, snapshots: &snapshots, progress };
        if now.concerned.frame {
            self.frame_statuses(now, &evidence);
        }
        for key in std::mem::take(&mut now.concerned.gateways) {
            let status = self.gateway_status(now, &key, &evidence);
            now.put(Watched::Gateway, &key, status, |statuses| &mut statuses.gateways);
        }
        for key in std::mem::take(&mut now.concerned.statuses) {
            let plan = self.routes.get(&key);
            let status = plan
                .map(|plan| status::route(plan, &self.gateways, |key| self.programmed.get(key), &evidence));
            let conditions = status.iter().flat_map(|status| &status.parents).flat_map(|p| &p.conditions);
            let programmed = |c: &&super::Condition| c.r#type == alb_api::messages::condition::PROGRAMMED;
            match conditions.into_iter().filter(programmed).all(|condition| condition.status == "True") {
                true => drop(self.unprogrammed.remove(&key)),
                false => drop(self.unprogrammed.insert(key.clone())),
            }
            // Of what goes away with its namespace there is nothing more to be said.
            let (kind, key) = key;
            let status = status.filter(|_| !world.is_terminating(&key.namespace));
            #[cfg(feature = "faults")]
            let status = status.map(crate::faults::route);
            now.put(kind, &key, status, |statuses| match kind {
                Watched::GrpcRoute => &mut statuses.grpc_routes,
                _ => &mut statuses.routes,
            });
        }
        for key in now.concerned.policies.clone() {
            let concerned = self.concerned();
            let status = self.policies.status(world, &self.gateways, &key, &concerned);
            now.put(Watched::BackendTlsPolicy, &key, status, |statuses| &mut statuses.backend_tls_policies);
        }
        now.translation.snapshots = snapshots;
    }

    fn frame_statuses(&self, now: &mut Update<'_>, evidence: &Evidence<'_>) {
        let world = now.world;
        let classes: BTreeSet<Key> = world
            .gateway_classes
            .keys()
            .chain(now.translation.statuses.gateway_classes.keys())
            .cloned()
            .collect();
        for key in classes {
            let status = status::gateway_class(world, &key);
            now.put(Watched::GatewayClass, &key, status, |statuses| &mut statuses.gateway_classes);
        }
        let load_balancers: BTreeMap<Key, Vec<super::Condition>> =
            self.load_balancers.iter().filter_map(|lb| status::load_balancer(lb, evidence)).collect();
        let gone = now.translation.statuses.load_balancers.keys();
        let all: BTreeSet<Key> = gone.chain(load_balancers.keys()).cloned().collect();
        for key in all {
            let status = load_balancers.get(&key).cloned();
            now.put(Watched::LoadBalancer, &key, status, |statuses| &mut statuses.load_balancers);
        }
    }

    /// Status of a Gateway. Its routes follow when it comes to work, or ceases to.
    fn gateway_status(
        &mut self,
        now: &mut Update<'_>,
        key: &Key,
        evidence: &Evidence<'_>,
    ) -> Option<super::GatewayStatus> {
        let gateway = self.gateways.get(key);
        let programmed = gateway.map(|gateway| status::gateway_programmed(gateway, evidence));
        if self.programmed.get(key) != programmed.as_ref() {
            now.concerned.statuses.extend(self.index.of_gateway(key).cloned());
            for set in gateway.iter().flat_map(|gateway| &gateway.sets) {
                now.concerned.statuses.extend(self.index.of_listener_set(&set.key).cloned());
            }
        }
        let (Some(gateway), Some(programmed)) = (gateway, programmed) else {
            self.programmed.remove(key);
            self.say_of_listener_sets(now, key, BTreeMap::new());
            return None;
        };
        let attached = |listener: &str| {
            self.attached.get(&(key.clone(), listener.to_owned())).copied().unwrap_or_default()
        };
        let (status, sets) = status::gateway(gateway, &programmed, attached, evidence);
        #[cfg(feature = "faults")]
        let status = crate::faults::gateway(status, &now.translation.statuses);
        self.programmed.insert(key.clone(), programmed);
        // While it is not known what a listener refers to, there is nothing to be said.
        let is_known = gateway.is_known();
        self.say_of_listener_sets(now, key, if is_known { sets } else { BTreeMap::new() });
        is_known.then_some(status)
    }

    /// Statuses of the ListenerSets of a Gateway. Of one that has gone over to another, that one has the last word.
    fn say_of_listener_sets(
        &mut self,
        now: &mut Update<'_>,
        gateway: &Key,
        statuses: BTreeMap<Key, super::ListenerSetStatus>,
    ) {
        let before = self.listener_sets.remove(gateway).unwrap_or_default();
        let others: BTreeSet<&Key> = self.listener_sets.values().flatten().collect();
        for key in before.iter().filter(|key| !statuses.contains_key(*key) && !others.contains(*key)) {
            now.put(Watched::ListenerSet, key, None, |statuses| &mut statuses.listener_sets);
        }
        if !statuses.is_empty() {
            self.listener_sets.insert(gateway.clone(), statuses.keys().cloned().collect());
        }
        for (key, status) in statuses {
            // Of what goes away with its namespace there is nothing more to be said.
            let status = Some(status).filter(|_| !now.world.is_terminating(&key.namespace));
            now.put(Watched::ListenerSet, &key, status, |statuses| &mut statuses.listener_sets);
        }
    }

    /// The Gateways, by place, from which routes lead to a Service.
    fn concerned(&self) -> impl Fn(&Key) -> BTreeSet<usize> {
        |service: &Key| {
            let routes = self.index.of_service(service).filter_map(|key| self.routes.get(key));
            routes.flat_map(|route| backend_tls::gateways_of(route, &self.gateways)).collect()
        }
    }

    /// What must be watched for all this to be right.
    fn references(&mut self, now: &mut Update<'_>) {
        let concerned = &now.concerned;
        if !concerned.frame && concerned.policies.is_empty() && !concerned.mesh {
            return;
        }
        for key in std::mem::take(&mut now.concerned.policies) {
            let config_maps = self.policies.config_maps(&key, &self.concerned());
            match config_maps.is_empty() {
                true => drop(self.config_maps.remove(&key)),
                false => drop(self.config_maps.insert(key, config_maps)),
            }
        }
        let world = now.world;
        let config_maps = self.config_maps.values().flatten().chain(&self.gateways.config_maps);
        let config_maps = config_maps.map(|key| (Watched::ConfigMap, key.clone()));
        let secrets = self.gateways.all.iter().flat_map(|gateway| {
            let own = client_certificate::secret(world, &gateway.key.namespace, &gateway.object.spec);
            listeners::secrets(world, gateway).chain(own).map(|key| (Watched::Certificate, key))
        });
        // Known before the first route leads there: it works from its first request on.
        let labelled = world.namespaces.keys().map(|key| &key.name).filter(|name| world.is_in_mesh(name));
        let namespaces = self.pool.mesh_namespaces().chain(labelled);
        let pods = namespaces.map(|namespace| (Watched::Pod, Key::new(namespace, "")));
        let references: BTreeSet<Reference> = config_maps.chain(secrets).chain(pods).collect();
        if references != now.translation.references {
            now.translation.references = references;
            now.delta.references = true;
        }
    }
}
