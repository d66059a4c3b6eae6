//! ReferenceGrants: who may refer to what in another namespace (Gateway API, ReferenceGrant).

use super::model::GROUP;
use crate::world::{Key, World};

/// What is referred to, of the core group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum To {
    Service,
    Secret,
    ConfigMap,
}

impl To {
    fn kind(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// Whether an object of a kind of the Gateway API in namespace `from` may refer to `target`.
pub(super) fn is_granted(world: &World, (kind, from): (&str, &str), to: To, target: &Key) -> bool {
    #[cfg(feature = "faults")]
    if crate::faults::fault("any-reference-granted") {
        return true;
    }
    target.namespace == from
        || world.grants_of(&target.namespace).any(|grant| {
            let source = grant
                .from
                .iter()
                .any(|source| source.group == GROUP && source.kind == kind && source.namespace == from);
            source
                && grant.to.iter().any(|granted| {
                    granted.group.is_empty()
                        && granted.kind == to.kind()
                        && granted.name.as_ref().is_none_or(|name| name.is_empty() || *name == target.name)
                })
        })
}
