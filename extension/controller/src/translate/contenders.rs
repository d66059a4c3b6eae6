//! Which routes have to contend for hostnames: those of Gateways that HTTPRoutes and GRPCRoutes name. Others need not be looked
//! at.

use super::contention::Contention;
use super::index::Index;
use super::model::{Gateways, RouteId, RoutePlan, route};
use super::routes;
use crate::world::{Key, Watched, World};
use std::collections::{BTreeMap, BTreeSet};

/// How things stood before routes change.
pub(super) struct Plans<'a> {
    pub(super) routes: &'a BTreeMap<RouteId, RoutePlan>,
    pub(super) index: &'a Index,
    pub(super) gateways: &'a Gateways,
}

impl Plans<'_> {
    /// Decides anew who has lost what where these routes contend. Returns the routes for which something else holds than
    /// before.
    pub(super) fn decide(
        &self,
        contention: &mut Contention,
        world: &World,
        changed: &BTreeSet<RouteId>,
    ) -> BTreeSet<RouteId> {
        let mut gateways: BTreeMap<Key, Vec<&RouteId>> = BTreeMap::new();
        for id in changed {
            let before = self.routes.get(id).into_iter().flat_map(|plan| plan.named.iter().cloned());
            let named =
                route(world, id).into_iter().flat_map(|object| routes::named(self.gateways, id, object));
            for gateway in before.chain(named) {
                gateways.entry(gateway).or_default().push(id);
            }
        }
        let mut concerned = BTreeSet::new();
        for (key, ids) in gateways {
            let is_named_by =
                |kind| self.index.has_kind(&key, kind) || ids.iter().any(|(other, _)| *other == kind);
            let mut candidates = Vec::new();
            if let Some(gateway) = self.gateways.get(&key)
                && is_named_by(Watched::GrpcRoute)
                && is_named_by(Watched::HttpRoute)
            {
                let all: BTreeSet<&RouteId> =
                    self.index.of_gateway(&key).chain(ids.iter().copied()).collect();
                candidates.extend(all.into_iter().filter_map(|id| routes::candidate(world, gateway, id)));
            }
            concerned.extend(contention.decide(&key, candidates));
        }
        concerned
    }
}
