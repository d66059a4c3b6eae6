//! What is to be written: the difference between what is ([`World`]) and what should be ([`Translation`]). Nothing is
//! written when nothing differs; entries of other controllers stay as they are.

mod merge;

use crate::translate::{Settling, Translation};
use crate::world::{Key, Object, Watched, World};
use alb_api::names::{self, annotation, label};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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

/// All writes that the difference asks for, those of the data plane first: everything else waits for them anyway.
pub fn plan(world: &World, translation: &Translation, now: Timestamp) -> Vec<Write> {
    let mut writes = objects(Watched::Deployment, &world.deployments, &translation.deployments);
    writes.extend(objects(Watched::Service, &world.services, &translation.services));
    let statuses = &translation.statuses;
    for (key, desired) in &statuses.gateway_classes {
        let write = world.gateway_classes.get(key).and_then(|object| {
            let patch = merge::conditions_only(object, desired, now)?;
            Some(patch_status(Watched::GatewayClass, key, object, patch, desired, Settling::No))
        });
        writes.extend(write);
    }
    for (key, desired) in &statuses.load_balancers {
        let write = world.load_balancers.get(key).and_then(|object| {
            let patch = merge::conditions_only(object, desired, now)?;
            Some(patch_status(Watched::LoadBalancer, key, object, patch, desired, Settling::No))
        });
        writes.extend(write);
    }
    for (key, desired) in &statuses.gateways {
        let write = world.gateways.get(key).and_then(|object| {
            let (patch, settling) = merge::gateway(object, desired, now)?;
            Some(patch_status(Watched::Gateway, key, object, patch, desired, settling))
        });
        writes.extend(write);
    }
    for (key, desired) in &statuses.routes {
        let write = world.routes.get(key).and_then(|object| {
            let patch = merge::route(object, desired, &key.namespace, now)?;
            Some(patch_status(Watched::HttpRoute, key, object, patch, desired, desired.settling))
        });
        writes.extend(write);
    }
    for (key, desired) in &statuses.backend_tls_policies {
        let write = world.backend_tls_policies.get(key).and_then(|object| {
            let patch = merge::policy(object, desired, &key.namespace, now)?;
            Some(patch_status(Watched::BackendTlsPolicy, key, object, patch, desired, Settling::No))
        });
        writes.extend(write);
    }
    writes
}

fn patch_status<T>(
    kind: Watched,
    key: &Key,
    object: &Object<T>,
    status: Value,
    desired: &impl serde::Serialize,
    settling: Settling,
) -> Write {
    let seen = object.meta.resource_version.clone();
    let desired = serde_json::to_string(desired).unwrap_or_default();
    Write {
        target: (kind, key.clone()),
        action: Action::PatchStatus(json!({"metadata": {"resourceVersion": seen}, "status": status})),
        seen,
        fingerprint: format!("{} {desired}", object.meta.generation),
        settling,
    }
}

/// Data-plane objects to apply, because they are absent or were last written from another template; and those of
/// ours to delete, because nothing asks for them any more.
fn objects<T>(
    kind: Watched,
    existing: &BTreeMap<Key, Object<T>>,
    desired: &BTreeMap<Key, Value>,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for (key, manifest) in desired {
        let hash =
            manifest.pointer("/metadata/annotations").and_then(|all| all.get(annotation::TEMPLATE_HASH));
        let hash = hash.and_then(Value::as_str).unwrap_or_default();
        let current = existing.get(key);
        if current.is_some_and(|object| {
            object.meta.deleting
                || object.meta.annotations.get(annotation::TEMPLATE_HASH).is_some_and(|other| other == hash)
        }) {
            continue;
        }
        writes.push(Write {
            target: (kind, key.clone()),
            action: Action::Apply(manifest.clone()),
            seen: current.map(|object| object.meta.resource_version.clone()).unwrap_or_default(),
            fingerprint: hash.to_owned(),
            settling: Settling::No,
        });
    }
    for (key, object) in existing {
        let ours = key.namespace == names::DATA_PLANE_NAMESPACE
            && object
                .meta
                .labels
                .get(label::MANAGED_BY)
                .is_some_and(|value| value == label::MANAGED_BY_VALUE);
        if ours && !object.meta.deleting && !desired.contains_key(key) {
            writes.push(Write {
                target: (kind, key.clone()),
                action: Action::Delete { uid: object.meta.uid.clone() },
                seen: object.meta.resource_version.clone(),
                fingerprint: "delete".to_owned(),
                settling: Settling::No,
            });
        }
    }
    writes
}
