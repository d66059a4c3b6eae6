//! What a cluster takes of its host beyond containers, and whether somebody agrees to it.

use std::path::Path;

use super::{ClusterError, inotify, network};
use crate::engine::{Engine, egress};
use crate::host::is_root;
use crate::host_changes::{Agreement, NotAgreed, agreement};

/// What is done about the host for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Means {
    /// Why pods are not kept on this host; nothing if they are.
    pub(crate) open: Option<String>,
    /// The kernel's limit for nodes may be raised if need be.
    pub(crate) may_raise: bool,
}

/// What changes a cluster takes, as far as this user can make them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Changes {
    /// The rule that keeps pods on this host.
    rule: Option<String>,
    /// The limit of nodes.
    limit: Option<String>,
}

/// Decides what is done about the host for a cluster of `nodes`, beside `others`; asks if need be.
///
/// # Errors
/// Nobody has agreed to changes, and nobody has refused them.
pub(super) async fn means(
    engine: &Engine,
    name: &str,
    clusters: &Path,
    nodes: u8,
    others: bool,
) -> Result<Means, ClusterError> {
    let rule = egress::change(engine, &network::network_name(name)).await;
    let limit = inotify::change(clusters, nodes, others);
    let (changes, open) = possible(Changes { rule, limit }, is_root());
    let list: Vec<String> = changes.rule.iter().chain(&changes.limit).cloned().collect();
    let agreement = if list.is_empty() { Agreement::Agreed } else { agreement(&list).await };
    match agreement {
        Agreement::Agreed => Ok(Means { open, may_raise: true }),
        Agreement::Refused => {
            let refused =
                changes.rule.map(|_| "the rule in DOCKER-USER that refuses it was not agreed to".to_owned());
            Ok(Means { open: open.or(refused), may_raise: false })
        }
        Agreement::Nobody => Err(NotAgreed { changes: list, agreement }.into()),
    }
}

/// Those of the changes that this user can make, and why pods are then not kept on this host.
fn possible(changes: Changes, root: bool) -> (Changes, Option<String>) {
    if root {
        return (changes, None);
    }
    let open = changes.rule.map(|_| "the rule in DOCKER-USER that refuses it takes root".to_owned());
    (Changes::default(), open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_is_asked_for_nothing_and_told_what_is_not_enforced() {
        let changes = Changes { rule: Some("a rule".into()), limit: Some("a limit".into()) };
        let (possible_to_them, open) = possible(changes.clone(), false);
        assert_eq!(possible_to_them, Changes::default());
        assert!(open.unwrap().contains("takes root"));
        assert_eq!(possible(changes.clone(), true), (changes, None));
        assert_eq!(possible(Changes::default(), false), (Changes::default(), None));
    }
}
