//! From what is ([`World`]) to what should be ([`Translation`]). Pure: the same world gives the same translation,
//! in every replica and at any time, whether it is [translated](translate()) at once or [followed](Translator) change by change.

mod addresses;
mod backend_tls;
mod backends;
mod certificates;
mod classes;
mod client_certificate;
mod client_validation;
mod condition;
mod contenders;
mod contention;
mod data_plane;
mod filters;
mod frontend_tls;
mod frontends;
mod gateways;
mod grants;
mod hostname;
mod index;
mod listener_sets;
mod listener_status;
mod listeners;
mod load_balancers;
mod model;
mod namespaces;
mod policies;
mod pool;
mod progress;
mod route_policies;
mod routes;
mod rules;
mod settings;
mod slices;
mod status;
mod template;
mod translator;
mod update;
mod warnings;

pub use condition::{Condition, Settling, Verdict};
pub use listener_status::{ListenerSetStatus, ListenerStatus};
pub(crate) use model::complete;
pub use progress::Progress;
pub use settings::{Autoscaling, ProxyTemplate, Settings};
pub use status::{GatewayStatus, ParentStatus, PolicyStatus, RouteStatus, Statuses};
pub use translator::Translator;
pub use warnings::{Subject, Warning};

use crate::references::Reference;
use crate::world::{Changes, Key, Watched, World};
use alb_config::Snapshot;
use alb_config::server::AckChanges;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What should be.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// Configuration of the proxies, by load balancer (`<namespace>/<name>`, or the resource id of a
    /// bring-your-own one).
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Deployments of proxies, as applied.
    pub deployments: BTreeMap<Key, Value>,
    /// PodDisruptionBudgets of proxies, as applied.
    pub disruption_budgets: BTreeMap<Key, Value>,
    /// HorizontalPodAutoscalers of proxies, as applied.
    pub autoscalers: BTreeMap<Key, Value>,
    /// Services of frontends, as applied.
    pub services: BTreeMap<Key, Value>,
    /// Status of every object of ours.
    pub statuses: Statuses,
    /// What deserves an Event.
    pub warnings: BTreeSet<Warning>,
    /// What must be known for the rest to be right: it is watched one by one. What rests on one that is not known yet is left
    /// as it is, in the proxies and in statuses.
    pub references: BTreeSet<Reference>,
    /// The warnings, by what they are about.
    warned: BTreeMap<(Watched, Key), Vec<Warning>>,
}

/// What of it is no longer as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Load balancers with another configuration.
    pub snapshots: BTreeSet<String>,
    /// Load balancers that are gone.
    pub removed: BTreeSet<String>,
    /// Objects that are, or should be, different: what is to be written to them may be, too.
    pub targets: BTreeSet<(Watched, Key)>,
    /// Whether there are other warnings.
    pub warnings: bool,
    /// Whether there are other references.
    pub references: bool,
}

/// Translates the world. `progress` says what the proxies have acknowledged; it has a bearing on `Programmed`
/// conditions and on nothing else.
pub fn translate(world: &World, settings: &Settings, progress: &dyn Progress) -> Translation {
    let mut translator = Translator::new(settings.clone());
    translator.update(world, &Changes::everything(world), &AckChanges::default(), progress);
    Translation::clone(translator.translation())
}
