//! Namespaces that something is admitted from (Gateway API, `RouteNamespaces` and `ListenerNamespaces`).

use crate::world::{NamespaceSelector, RouteNamespaces, World};
use std::collections::BTreeMap;

/// Whether what is in namespace `of` is admitted to what is in namespace `to`; `default` holds where nothing is said.
pub(super) fn admits(
    world: &World,
    namespaces: Option<&RouteNamespaces>,
    default: &str,
    (of, to): (&str, &str),
) -> bool {
    match namespaces.and_then(|namespaces| namespaces.from.as_deref()).unwrap_or(default) {
        "All" => true,
        "Same" => of == to,
        "Selector" => {
            let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
            match (selector, world.namespace_labels(of)) {
                (Some(selector), Some(labels)) => selects(selector, labels),
                _ => false,
            }
        }
        _ => false,
    }
}

fn selects(selector: &NamespaceSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            match expression.operator.as_str() {
                "In" => value.is_some_and(|value| expression.values.contains(value)),
                "NotIn" => value.is_none_or(|value| !expression.values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
