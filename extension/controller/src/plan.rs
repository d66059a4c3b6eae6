//! What is to be written: the difference between what is ([`World`]) and what should be ([`Translation`]). Nothing is
//! written when nothing differs; entries of other controllers stay as they are.

mod merge;

use crate::translate::{Settling, Statuses, Translation};
use crate::world::{Key, Object, Watched, World};
use alb_api::names::{self, annotation, label};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One object to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Which object.
    pub target: Target,
    /// What to do.
    pub action: Action,
    /// Version of the object that this was decided upon; empty when it does not exist.
    pub seen: String,
    /// What is wanted, without times: the same wish on the same version need not be sent twice.
    pub fingerprint: String,
    /// Whether it may wait for what is about to change by itself.
    pub settling: Settling,
    /// Whether others wait for it.
    pub urgency: Urgency,
}

/// Which of many writes comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Traffic waits for it: what the data plane consists of.
    DataPlane,
    /// Routes are judged by it: classes, load balancers, Gateways.
    Parent,
    /// An object of which nothing has been said yet.
    New,
    /// Something else is to be said than was.
    Change,
}

/// An object, by kind and name.
pub type Target = (Watched, Key);

/// How to write an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Merge patch of the status subresource, conditional on the version seen.
    PatchStatus(Value),
    /// Server-side apply of the whole manifest.
    Apply(Value),
    /// Deletion, of exactly the object with this uid.
    Delete {
        /// Uid of the object.
        uid: String,
    },
}

/// All writes that the difference asks for.
pub fn plan(world: &World, translation: &Translation, now: Timestamp) -> Vec<Write> {
    let targets = targets(world, translation);
    targets.iter().filter_map(|target| write(world, translation, target, now)).collect()
}

/// All objects that may have to be written.
pub fn targets(world: &World, translation: &Translation) -> BTreeSet<Target> {
    fn of<'a>(kind: Watched, keys: impl Iterator<Item = &'a Key> + 'a) -> impl Iterator<Item = Target> + 'a {
        keys.map(move |key| (kind, key.clone()))
    }
    let statuses = &translation.statuses;
    let ours = world.services.keys().filter(|key| key.namespace == names::DATA_PLANE_NAMESPACE);
    of(Watched::Deployment, world.deployments.keys().chain(translation.deployments.keys()))
        .chain(of(
            Watched::DisruptionBudget,
            world.disruption_budgets.keys().chain(translation.disruption_budgets.keys()),
        ))
        .chain(of(Watched::Autoscaler, world.autoscalers.keys().chain(translation.autoscalers.keys())))
        .chain(of(Watched::Service, ours.chain(translation.services.keys())))
        .chain(of(Watched::GatewayClass, statuses.gateway_classes.keys()))
        .chain(of(Watched::LoadBalancer, statuses.load_balancers.keys()))
        .chain(of(Watched::Gateway, statuses.gateways.keys()))
        .chain(of(Watched::ListenerSet, statuses.listener_sets.keys()))
        .chain(of(Watched::HttpRoute, statuses.routes.keys()))
        .chain(of(Watched::GrpcRoute, statuses.grpc_routes.keys()))
        .chain(of(Watched::TlsRoute, statuses.tls_routes.keys()))
        .chain(
            statuses
                .own_policies
                .iter()
                .flat_map(|(kind, of_kind)| of_kind.keys().map(move |key| (*kind, key.clone()))),
        )
        .chain(of(Watched::BackendTlsPolicy, statuses.backend_tls_policies.keys()))
        .collect()
}

/// What is to be written to one object; nothing when it is as it should be.
pub fn write(world: &World, translation: &Translation, target: &Target, now: Timestamp) -> Option<Write> {
    let (kind, key) = target;
    let statuses = &translation.statuses;
    match kind {
        Watched::Deployment => object(
            target,
            world.deployments.get(key).map(|object| &**object),
            translation.deployments.get(key),
        ),
        Watched::Service => {
            object(target, world.services.get(key).map(|object| &**object), translation.services.get(key))
        }
        Watched::DisruptionBudget => {
            let current = world.disruption_budgets.get(key).map(|object| &**object);
            object(target, current, translation.disruption_budgets.get(key))
        }
        Watched::Autoscaler => {
            let current = world.autoscalers.get(key).map(|object| &**object);
            object(target, current, translation.autoscalers.get(key))
        }
        Watched::GatewayClass => {
            let (object, desired) = (world.gateway_classes.get(key)?, statuses.gateway_classes.get(key)?);
            let status = merge::gateway_class(object, desired, now)?;
            Some(patch_status(target, object, status, desired, Urgency::Parent))
        }
        Watched::LoadBalancer => {
            let (object, desired) = (world.load_balancers.get(key)?, statuses.load_balancers.get(key)?);
            let status = merge::of_conditions(object, desired, now)?;
            Some(patch_status(target, object, status, desired, Urgency::Parent))
        }
        Watched::Gateway => {
            let (object, desired) = (world.gateways.get(key)?, statuses.gateways.get(key)?);
            let status = merge::gateway(object, desired, now)?;
            Some(patch_status(target, object, status, desired, Urgency::Parent))
        }
        Watched::ListenerSet => {
            let (object, desired) = (world.listener_sets.get(key)?, statuses.listener_sets.get(key)?);
            let status = merge::listener_set(object, desired, now)?;
            Some(patch_status(target, object, status, desired, Urgency::Parent))
        }
        Watched::HttpRoute | Watched::GrpcRoute | Watched::TlsRoute => {
            let object = world.routes_of_kind(*kind).get(key)?;
            let desired = statuses.of_routes(*kind).get(key)?;
            let (status, is_new) = merge::route(object, desired, &key.namespace, now)?;
            let urgency = if is_new { Urgency::New } else { Urgency::Change };
            Some(patch_status(target, object, status, desired, urgency))
        }
        Watched::RoutePolicy => own_policy(target, world.route_policies.get(key)?, statuses, now),
        Watched::FrontendTlsPolicy => {
            own_policy(target, world.frontend_tls_policies.get(key)?, statuses, now)
        }
        Watched::FirewallPolicy => own_policy(target, world.firewall_policies.get(key)?, statuses, now),
        Watched::BackendTlsPolicy => {
            let desired = statuses.backend_tls_policies.get(key)?;
            let object = world.backend_tls_policies.get(key)?;
            let status = merge::policy(object, desired, &key.namespace, now)?;
            Some(patch_status(target, object, status, desired, Urgency::Change))
        }
        _ => None,
    }
}

/// Status of a policy of our own group.
fn own_policy<T>(target: &Target, object: &Object<T>, statuses: &Statuses, now: Timestamp) -> Option<Write> {
    let desired = statuses.own_policies.get(&target.0)?.get(&target.1)?;
    let status = merge::of_conditions(object, desired, now)?;
    Some(patch_status(target, object, status, desired, Urgency::Change))
}

fn patch_status<T>(
    target: &Target,
    object: &Object<T>,
    merged: merge::Merged,
    desired: &impl serde::Serialize,
    urgency: Urgency,
) -> Write {
    let seen = object.meta.resource_version.clone();
    let desired = serde_json::to_string(desired).unwrap_or_default();
    let status = merged.status;
    Write {
        target: target.clone(),
        action: Action::PatchStatus(json!({"metadata": {"resourceVersion": seen}, "status": status})),
        seen,
        fingerprint: format!("{} {desired}", object.meta.generation),
        settling: merged.settling,
        urgency,
    }
}

/// A data-plane object is applied when it is absent or was last written from another template, and one of ours is deleted
/// when nothing asks for it any more.
fn object<T>(target: &Target, current: Option<&Object<T>>, manifest: Option<&Value>) -> Option<Write> {
    let write = |action, fingerprint: &str| Write {
        target: target.clone(),
        action,
        seen: current.map(|object| object.meta.resource_version.clone()).unwrap_or_default(),
        fingerprint: fingerprint.to_owned(),
        settling: Settling::No,
        urgency: Urgency::DataPlane,
    };
    if current.is_some_and(|object| object.meta.deleting) {
        return None;
    }
    let Some(manifest) = manifest else {
        let object = current?;
        let manager = object.meta.labels.get(label::MANAGED_BY).map(String::as_str);
        let ours =
            target.1.namespace == names::DATA_PLANE_NAMESPACE && manager == Some(label::MANAGED_BY_VALUE);
        return ours.then(|| write(Action::Delete { uid: object.meta.uid.clone() }, "delete"));
    };
    let hash = manifest.pointer("/metadata/annotations").and_then(|all| all.get(annotation::TEMPLATE_HASH));
    let hash = hash.and_then(Value::as_str).unwrap_or_default();
    let is_current = current
        .and_then(|object| object.meta.annotations.get(annotation::TEMPLATE_HASH))
        .is_some_and(|other| other == hash);
    (!is_current).then(|| write(Action::Apply(manifest.clone()), hash))
}
