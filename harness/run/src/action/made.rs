//! What literal commands made: kubectl says so, a line each (`gateway.gateway.networking.k8s.io/gateway-01 created`). It gets the
//! run's label, and goes at the end like everything applied.

use futures::StreamExt;
use serde_json::Value;

use crate::context::Context;
use crate::context::ledger::Entry;
use crate::ports::{PortError, Query};
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::object::{self, ObjectRef};

/// Labels what the commands say they have made, and notes it.
pub(super) async fn note(context: &mut Context<'_>, stdout: &str) -> Result<(), PortError> {
    for (kind, name) in created(stdout) {
        let query = Query { kind, namespace: None, name: Some(name.to_owned()) };
        let found = context.outside.objects.observe(&query).next().await.transpose()?.unwrap_or_default();
        let mut own = context.ledger.namespaces();
        own.push(context.namespace.to_owned());
        if let Some(namespace) = place(&found, &own) {
            let id =
                ObjectRef { kind, namespace: namespace.filter(|_| kind.namespaced), name: name.to_owned() };
            if let Some(uid) = context.outside.objects.adopt(&id).await? {
                context.ledger.note(Entry::Created(id, uid));
            }
        }
    }
    Ok(())
}

/// Kinds and names of the objects that kubectl says it has created; of kinds that scenarios speak of.
fn created(stdout: &str) -> impl Iterator<Item = (&'static Kind, &str)> {
    stdout.lines().filter_map(|line| {
        let (resource, name) = line.trim().strip_suffix(" created")?.split_once('/')?;
        let kind = Kind::of_kubectl(resource)?;
        (!name.is_empty() && !name.contains(' ')).then_some((kind, name))
    })
}

/// The namespace (none for kinds without) of the object that was made: of those of its name that no run has made, the one in a
/// namespace of the scenario's own, or the only one.
fn place(found: &[Value], own: &[String]) -> Option<Option<String>> {
    let unlabelled: Vec<_> =
        found.iter().filter(|object| object["metadata"]["labels"][object::LABEL].is_null()).collect();
    let namespace = |object: &Value| object["metadata"]["namespace"].as_str().map(str::to_owned);
    let is_own = |object: &&&Value| namespace(object).is_some_and(|namespace| own.contains(&namespace));
    match (unlabelled.iter().find(is_own), unlabelled.as_slice()) {
        (Some(object), _) | (None, [object]) => Some(namespace(object)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_kubectl_says_it_has_made_is_known() {
        let stdout = "namespace/test-infra created\ndeployment.apps/backend-v1 created\nservice/backend-v1 configured\n\
                      gateway.gateway.networking.k8s.io/gateway-01 created\nwidget.example.com/w created\nI created\n";
        let made: Vec<_> = created(stdout).map(|(kind, name)| format!("{}/{name}", kind.word)).collect();
        assert_eq!(made, ["namespace/test-infra", "deployment/backend-v1", "gateway/gateway-01"]);
    }

    #[test]
    fn of_several_of_a_name_only_one_that_is_surely_meant_is_taken() {
        let object = |namespace: &str, run: Option<&str>| json!({"metadata": {"namespace": namespace, "labels": run.map(|run| json!({object::LABEL: run}))}});
        let own = ["ns".to_owned()];
        assert_eq!(place(&[object("ns", None), object("other", None)], &own), Some(Some("ns".into())));
        assert_eq!(place(&[object("other", None), object("more", None)], &own), None);
        assert_eq!(
            place(&[object("other", None), object("more", Some("r"))], &own),
            Some(Some("other".into()))
        );
        assert_eq!(place(&[object("ns", Some("r"))], &own), None);
        assert_eq!(place(&[json!({"metadata": {"name": "cluster-wide"}})], &own), Some(None));
    }
}
