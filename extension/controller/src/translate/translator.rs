//! From what has changed to what should be different. What one change costs grows with what it concerns, not with what
//! there is; the outcome is that of translating everything anew.

mod look;
mod statuses;

use super::contention::Contention;
use super::frontend_tls::FrontendTlsPolicies;
use super::index::Index;
use super::model::{Gateways, LoadBalancer, RouteId, RoutePlan, route};
use super::pool::Pool;
use super::progress::{Progress, Provisional};
use super::route_policies::{Given, RoutePolicies};
use super::settings::Settings;
use super::slices::Slices;
use super::update::{Concerned, Edits, Update, replace};
use super::{Delta, Translation, backend_tls, backends, client_certificate, contenders, data_plane};
use super::{frontends, gateways, listeners, load_balancers, routes, rules};
use crate::references::Reference;
use crate::world::{Changes, Key, Watched, World};
use alb_config::Snapshot;
use alb_config::server::AckChanges;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Remembers how things stand, so that the next change can be told apart from them.
#[derive(Debug, Default)]
pub struct Translator {
    settings: Settings,
    load_balancers: Vec<Arc<LoadBalancer>>,
    gateways: Gateways,
    policies: backend_tls::Policies,
    route_policies: RoutePolicies,
    frontend_tls_policies: FrontendTlsPolicies,
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

    /// Load balancers, Gateways, frontends.
    fn frame(&mut self, now: &mut Update<'_>) {
        if !now.concerned.frame {
            return;
        }
        let world = now.world;
        self.load_balancers = load_balancers::collect(world);
        let mut gateways = gateways::collect(world, &self.load_balancers);
        self.frontend_tls_policies = FrontendTlsPolicies::new(world);
        for gateway in &mut gateways.all {
            self.frontend_tls_policies.assign(&gateway.key, &mut gateway.listeners);
        }
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
        let (concerned, nothing) = (now.concerned.routes.clone(), Given::default());
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
            now.concerned.route_policies.extend(self.route_policies.about(key).cloned());
            let Some(object) = route(now.world, key) else { continue };
            let (plan, resources) = {
                let given = self.route_policies.of(key).unwrap_or(&nothing);
                routes::plan(now.world, &self.gateways, &self.contention, given, key, object)
            };
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
