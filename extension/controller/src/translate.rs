//! From what is ([`World`]) to what should be ([`Translation`]). Pure: the same world gives the same translation,
//! in every replica and at any time.

mod backend_tls;
mod backends;
mod condition;
mod data_plane;
mod frontends;
mod gateways;
mod hostname;
mod load_balancers;
mod progress;
mod routes;
mod rules;
mod status;
mod warnings;

pub use condition::{Condition, Settling, Verdict};
pub use data_plane::ProxyTemplate;
pub use progress::Progress;
pub(crate) use routes::complete;
pub use status::{GatewayStatus, ListenerStatus, ParentStatus, PolicyStatus, RouteStatus, Statuses};
pub use warnings::{Subject, Warning};

use crate::world::{Key, World};
use alb_config::{Entry, Kind, Snapshot};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the translation needs besides the world: the controller's flags.
#[derive(Debug, Clone)]
pub struct Settings {
    /// DNS zone of frontends.
    pub zone: String,
    /// The proxies' Deployment.
    pub proxy: ProxyTemplate,
}

/// What should be.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// Configuration of the proxies, by load balancer (`<namespace>/<name>`, or the resource id of a
    /// bring-your-own one).
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Deployments of proxies, as applied.
    pub deployments: BTreeMap<Key, Value>,
    /// Services of frontends, as applied.
    pub services: BTreeMap<Key, Value>,
    /// Status of every object of ours.
    pub statuses: Statuses,
    /// What deserves an Event.
    pub warnings: BTreeSet<Warning>,
    /// ConfigMaps that must be known for the rest to be right: they are watched one by one. What rests on one that is not
    /// known yet is left as it is, in the proxies and in statuses.
    pub config_maps: BTreeSet<Key>,
}

/// Translates the world. `progress` says what the proxies have acknowledged; it has a bearing on `Programmed`
/// conditions and on nothing else.
pub fn translate(world: &World, settings: &Settings, progress: &dyn Progress) -> Translation {
    let load_balancers = load_balancers::collect(world);
    let mut gateways = gateways::collect(world, &load_balancers);
    frontends::assign(world, settings, &mut gateways);
    let policies = backend_tls::Policies::new(world);
    let backends = backends::Backends::new(world, &policies);
    let routes = routes::attach(world, &backends, &mut gateways);
    let concerned = backend_tls::concerned(&routes, &backends);

    let mut resources: BTreeMap<&str, BTreeMap<String, Entry>> =
        load_balancers.iter().map(|lb| (lb.id.as_str(), BTreeMap::new())).collect();
    for gateway in &gateways {
        if let Some((load_balancer, name, frontend)) = frontends::resource(gateway) {
            resources.entry(load_balancer).or_default().insert(name, Kind::Frontend(frontend).into());
        }
    }
    for route in &routes {
        for (load_balancer, name, rule) in rules::resources(route, &gateways) {
            #[cfg(feature = "faults")]
            let rule = crate::faults::rule(rule, world);
            let resources = resources.entry(load_balancer).or_default();
            backends.collect(&rule, resources);
            resources.insert(name, Kind::RouteRule(rule).into());
        }
    }
    let snapshots: BTreeMap<String, Snapshot> =
        resources.into_iter().map(|(id, resources)| (id.to_owned(), Snapshot::new(resources))).collect();

    let evidence = progress::Evidence { world, snapshots: &snapshots, progress };
    let policy_statuses = policies.statuses(&gateways, &concerned);
    let statuses = status::collect(world, &load_balancers, &gateways, &routes, policy_statuses, &evidence);
    #[cfg(feature = "faults")]
    let statuses = crate::faults::statuses(statuses);
    Translation {
        deployments: data_plane::deployments(&load_balancers, world, settings),
        services: frontends::services(&gateways, world),
        warnings: warnings::collect(world, &statuses),
        config_maps: policies.config_maps(&concerned),
        statuses,
        snapshots,
    }
}
