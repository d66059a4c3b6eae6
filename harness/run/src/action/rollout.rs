//! Waiting for a Deployment to be rolled out, shared by `restart` and `scale`.

use serde_json::Value;

use crate::claim::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use meshproof_model::event::Verdict;
use meshproof_model::scenario::object::ObjectRef;

/// Waits until the Deployment runs what its spec says, and nothing else.
///
/// # Errors
/// Not within the step's limit.
pub(super) async fn wait(context: &mut Context<'_>, id: &ObjectRef) -> Result<(), Trouble> {
    let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
    let expected = format!("{id} to be rolled out");
    let rolled_out = becomes(context, &query, "rolling out", &expected, |objects| match objects.first() {
        None => Judgement::NotYet(format!("there is no {id}")),
        Some(object) => match state(object) {
            None => Judgement::Holds(()),
            Some(because) => Judgement::NotYet(because),
        },
    });
    rolled_out.await.map(drop).map_err(|mut trouble| {
        trouble.verdict = Verdict::Error;
        trouble
    })
}

/// What is missing, as `kubectl rollout status` sees it.
fn state(deployment: &Value) -> Option<String> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let status = &deployment["status"];
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let (updated, total, ready) = (
        number(&status["updatedReplicas"]),
        number(&status["replicas"]),
        number(&status["availableReplicas"]),
    );
    if number(&status["observedGeneration"]) < number(&deployment["metadata"]["generation"]) {
        Some("its controller has not seen the change".into())
    } else if updated < wanted {
        Some(format!("{updated} of {wanted} new pods are there"))
    } else if total > updated {
        Some(format!("{} old pods are still there", total - updated))
    } else if ready < updated {
        Some(format!("{ready} of {updated} pods are available"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rollout_is_over_when_only_available_new_pods_are_left() {
        let at = |generation: u64, updated: u64, total: u64, available: u64| {
            state(&json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": {
                "observedGeneration": generation, "updatedReplicas": updated, "replicas": total,
                "availableReplicas": available}}))
        };
        assert_eq!(at(2, 2, 2, 2), None);
        assert!(at(1, 2, 2, 2).unwrap().contains("not seen"));
        assert!(at(2, 1, 2, 2).unwrap().contains("1 of 2 new"));
        assert!(at(2, 2, 3, 2).unwrap().contains("1 old"));
        assert!(at(2, 2, 2, 1).unwrap().contains("1 of 2 pods"));
    }
}
