//! What the data plane has made of its configuration: the evidence for `Programmed`.

use super::condition::{Refusal, Settling, Verdict};
use crate::world::{Key, World};
use alb_api::messages::reason;
use alb_api::{frontend, names};
use alb_config::server::{Acks, ResourceState};
use alb_config::{Snapshot, capability};
use std::collections::BTreeMap;

/// Says how far a version of a resource has come.
pub trait Progress {
    /// State of `version` of the resource `name` over the connected proxies of a load balancer.
    fn resource(&self, load_balancer: &str, name: &str, version: &str) -> ResourceState;

    /// Whether every connected proxy of a load balancer has a capability.
    fn can(&self, load_balancer: &str, capability: &str) -> bool;
}

impl Progress for Acks {
    fn resource(&self, load_balancer: &str, name: &str, version: &str) -> ResourceState {
        Acks::resource(self, load_balancer, name, version)
    }

    fn can(&self, load_balancer: &str, capability: &str) -> bool {
        Acks::can(self, load_balancer, capability)
    }
}

/// Everything a `Programmed` condition rests on.
pub(super) struct Evidence<'a> {
    pub(super) world: &'a World,
    pub(super) snapshots: &'a BTreeMap<String, Snapshot>,
    pub(super) progress: &'a dyn Progress,
}

/// A verdict that may be about to change by itself.
pub(super) type Provisional = (Verdict, Settling);

impl Evidence<'_> {
    /// Whether every connected proxy of the load balancer, and at least one, holds this resource.
    pub(super) fn programmed(&self, load_balancer: &str, name: &str) -> Provisional {
        #[cfg(feature = "faults")]
        if crate::faults::fault("programmed-too-early") {
            return (Ok(()), Settling::No);
        }
        let version = self.snapshots.get(load_balancer).and_then(|snapshot| snapshot.version(name));
        let Some(version) = version else {
            return (Err(Refusal::new(reason::PENDING, "Waiting for configuration")), Settling::No);
        };
        match self.progress.resource(load_balancer, name, version) {
            ResourceState::Programmed => (Ok(()), Settling::No),
            ResourceState::Rejected { message } => {
                (Err(Refusal::new(reason::INVALID, format!("A proxy refused it: {message}"))), Settling::No)
            }
            ResourceState::Pending { .. } => {
                let message = "Waiting for the proxies to acknowledge it";
                (Err(Refusal::new(reason::PENDING, message)), Settling::Acknowledgement)
            }
            ResourceState::NoProxy => {
                // Those that run connect in a moment: to a new leader, say.
                let runs = self.ready_replicas(load_balancer) > 0;
                let settling = if runs { Settling::Acknowledgement } else { Settling::No };
                (Err(Refusal::new(reason::PENDING, "No proxy is connected")), settling)
            }
        }
    }

    /// Whether the proxies of the load balancer serve listeners that terminate TLS: those of an older version do not.
    pub(super) fn terminates_tls(&self, load_balancer: &str) -> Provisional {
        if self.progress.can(load_balancer, capability::TLS_LISTENERS) {
            return (Ok(()), Settling::No);
        }
        let message = "The proxies are of a version that does not terminate TLS";
        (Err(Refusal::new(reason::PENDING, message)), Settling::No)
    }

    /// Why a route is not served that needs proxies to be able to do something: those of an older version are not.
    pub(super) fn lacks(&self, load_balancer: &str, need: &str) -> Option<Provisional> {
        let what = match need {
            capability::GRPC_ROUTES => "GRPCRoutes",
            capability::SESSION_AFFINITY => "session affinity",
            capability::TLS_POLICIES => "policies of TLS",
            _ => "filters",
        };
        let message = format!("The proxies are of a version that knows no {what}");
        let refusal = || (Err(Refusal::new(reason::PENDING, message)), Settling::No);
        (!self.progress.can(load_balancer, need)).then(refusal)
    }

    /// The refusal of a resource, if a proxy has refused it. Used where waiting would say too much: a Backend
    /// changes with every pod, and a route stays programmed meanwhile.
    pub(super) fn refused(&self, load_balancer: &str, name: &str) -> Option<Refusal> {
        let (verdict, _) = self.programmed(load_balancer, name);
        verdict.err().filter(|refusal| refusal.reason == reason::INVALID)
    }

    /// Ready proxies of a load balancer.
    pub(super) fn ready_replicas(&self, load_balancer: &str) -> u32 {
        #[cfg(feature = "faults")]
        if crate::faults::fault("programmed-too-early") {
            return 1;
        }
        let key = Key::new(names::DATA_PLANE_NAMESPACE, frontend::proxy_deployment_name(load_balancer));
        self.world.deployments.get(&key).map_or(0, |object| object.spec.ready_replicas)
    }
}
