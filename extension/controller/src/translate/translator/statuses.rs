//! What is said of what should be.

use super::super::progress::Evidence;
use super::super::update::Update;
use super::super::{Condition, GatewayStatus, ListenerSetStatus, backend_tls, status};
use super::Translator;
use crate::world::{Key, Watched};
use std::collections::{BTreeMap, BTreeSet};

impl Translator {
    pub(super) fn statuses(&mut self, now: &mut Update<'_>) {
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
            let programmed = |c: &&Condition| c.r#type == alb_api::messages::condition::PROGRAMMED;
            match conditions.into_iter().filter(programmed).all(|condition| condition.status == "True") {
                true => drop(self.unprogrammed.remove(&key)),
                false => drop(self.unprogrammed.insert(key.clone())),
            }
            // Of what goes away with its namespace there is nothing more to be said.
            let (kind, key) = key;
            let status = status.filter(|_| !world.is_terminating(&key.namespace));
            #[cfg(feature = "faults")]
            let status = status.map(crate::faults::route);
            now.put(kind, &key, status, |statuses| statuses.of_routes_mut(kind));
        }
        for key in now.concerned.policies.clone() {
            let concerned = self.concerned();
            let status = self.policies.status(world, &self.gateways, &key, &concerned);
            now.put(Watched::BackendTlsPolicy, &key, status, |statuses| &mut statuses.backend_tls_policies);
        }
        for key in std::mem::take(&mut now.concerned.firewall_policies) {
            let status = world.firewall_policies.get(&key).filter(|_| !world.is_terminating(&key.namespace));
            now.put_policy(Watched::FirewallPolicy, &key, status.map(|_| status::firewall_policy()));
        }
        for key in std::mem::take(&mut now.concerned.route_policies) {
            let status = self.route_policies.status(world, &key);
            now.put_policy(Watched::RoutePolicy, &key, status);
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
        let said = now.translation.statuses.own_policies.get(&Watched::FrontendTlsPolicy);
        let policies: BTreeSet<Key> = said
            .into_iter()
            .flat_map(BTreeMap::keys)
            .chain(world.frontend_tls_policies.keys())
            .cloned()
            .collect();
        for key in policies {
            let status = self.frontend_tls_policies.status(world, &self.gateways, &key);
            now.put_policy(Watched::FrontendTlsPolicy, &key, status);
        }
        let load_balancers: BTreeMap<Key, Vec<Condition>> =
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
    ) -> Option<GatewayStatus> {
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
        statuses: BTreeMap<Key, ListenerSetStatus>,
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
    pub(super) fn concerned(&self) -> impl Fn(&Key) -> BTreeSet<usize> {
        |service: &Key| {
            let routes = self.index.of_service(service).filter_map(|key| self.routes.get(key));
            routes.flat_map(|route| backend_tls::gateways_of(route, &self.gateways)).collect()
        }
    }
}
