//! What policies have in common, whatever they are about.

use super::condition::{Refusal, Verdict};
use super::model::{GROUP, kind_of};
use crate::world::{Key, Object, Objects};
use alb_api::messages::reason;
use alb_api::policy::TargetRef;
use std::sync::Arc;

/// Policies in the order of precedence: of several for one target the oldest takes it, then the first by name. Those that go away
/// count no more.
pub(super) fn by_precedence<T>(all: &Objects<T>) -> Vec<(&Key, &Arc<Object<T>>)> {
    let mut policies: Vec<_> = all.iter().filter(|(_, object)| !object.meta.deleting).collect();
    policies.sort_by_key(|(key, object)| (object.meta.created, *key));
    policies
}

/// Whether a policy of our group names a target of one of these kinds, which are called this in all; the kind that it names.
pub(super) fn named<'a>(target: &TargetRef, kinds: &[&'a str], called: &str) -> Verdict<&'a str> {
    // The vendor's own examples leave the group empty.
    if !target.group.is_empty() && target.group != GROUP {
        let message = format!("Group {} is not supported: only {GROUP} is", target.group);
        return Err(Refusal::new(reason::INVALID_GROUP, message));
    }
    let Some(named) = kinds.iter().find(|kind| **kind == target.kind) else {
        let kind = kind_of(&target.kind, &target.group);
        let are = if kinds.len() == 1 { "is" } else { "are" };
        let supported = kinds.join(" and ");
        let message = format!("Target {} is a {kind}: only {supported} {are} supported", target.name);
        return Err(Refusal::new(reason::INVALID_KIND, message));
    };
    if target.name.is_empty() {
        return Err(Refusal::new(reason::NO_TARGET_REFERENCE, format!("The policy names no {called}")));
    }
    Ok(named)
}

/// The target of a policy of our group, which has to be in the policy's own namespace.
pub(super) fn beside(policy: &Key, target: &TargetRef, called: &str) -> Verdict<Key> {
    let namespace = target.namespace.as_deref().unwrap_or(&policy.namespace);
    if namespace != policy.namespace {
        let message =
            format!("A {called} of namespace {namespace} cannot be given a policy from another one");
        return Err(Refusal::new(reason::REF_NOT_PERMITTED, message));
    }
    Ok(Key::new(namespace, &target.name))
}
