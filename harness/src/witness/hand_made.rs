//! `nothing-made-by-hand`: mutual TLS works without a certificate, a CA or a policy that a user would have
//! had to make (R2, R6).

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::json;

use super::{testimony, trouble};
use crate::{
    event::Testimony,
    ports::{PortError, WitnessContext},
};

pub(super) const NAME: &str = "nothing-made-by-hand";

/// Policy kinds with which other gateways (and this one, towards services outside the mesh) are told how to
/// speak TLS: group, version, kind, plural.
const POLICIES: &[(&str, &str, &str, &str)] = &[
    ("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies"),
    ("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
    ("networking.istio.io", "v1", "ServiceEntry", "serviceentries"),
    ("networking.istio.io", "v1alpha3", "EnvoyFilter", "envoyfilters"),
];

pub(super) async fn hear(
    client: &Client,
    implementation: &[String],
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let own = implementation.iter().map(String::as_str);
    let gateways = std::iter::once(context.namespace.as_str());
    let namespaces: Vec<&str> = gateways.chain(context.backend_namespace.as_deref()).chain(own).collect();
    let mut found = Vec::new();
    for (group, version, kind, plural) in POLICIES {
        let resource = ApiResource {
            group: (*group).into(),
            version: (*version).into(),
            api_version: format!("{group}/{version}"),
            kind: (*kind).into(),
            plural: (*plural).into(),
        };
        for namespace in &namespaces {
            let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            match objects.list(&ListParams::default()).await {
                Ok(list) => found.extend(
                    list.items.iter().map(|object| format!("{kind} {namespace}/{}", object.name_any())),
                ),
                // The kind does not exist in this cluster: none of it was made.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(trouble(format!("listing {plural} in {namespace}"))(error)),
            }
        }
    }
    for namespace in &namespaces {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let list = secrets
            .list(&ListParams::default().fields("type=kubernetes.io/tls"))
            .await
            .map_err(trouble(format!("listing TLS Secrets in {namespace}")))?;
        found.extend(
            list.items
                .iter()
                .filter(|secret| made_by_hand(secret))
                .map(|secret| format!("Secret {namespace}/{} of type kubernetes.io/tls", secret.name_any())),
        );
    }
    let system: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    let plugged = system.get_opt("cacerts").await.map_err(trouble("looking for Istio's plugged-in CA"))?;
    found.extend(plugged.map(|_| "Secret istio-system/cacerts (a CA plugged into Istio)".to_string()));
    Ok(judge(found))
}

fn judge(found: Vec<String>) -> Testimony {
    if found.is_empty() {
        let summary = "no client certificate, CA or policy object made by a user exists";
        return testimony(NAME, true, summary, json!(null));
    }
    let summary = format!("made by hand, or so it seems: {}", found.join(", "));
    testimony(NAME, false, summary, json!(found))
}

/// Whether a user's tool wrote a Secret. What programs in the cluster make (the published identity, the
/// controller's own serving certificate) carries their own field managers.
fn made_by_hand(secret: &Secret) -> bool {
    let tools = ["kubectl", "helm", "meshproof", "k9s"];
    secret.metadata.managed_fields.iter().flatten().any(|entry| {
        let manager = entry.manager.as_deref().unwrap_or_default();
        tools.iter().any(|tool| manager.to_ascii_lowercase().starts_with(tool))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(manager: &str) -> Secret {
        serde_json::from_value(json!({"metadata": {"name": "s", "managedFields": [{"manager": manager}]}}))
            .unwrap()
    }

    #[test]
    fn what_programs_write_is_not_made_by_hand() {
        assert!(!made_by_hand(&secret("alb-controller-istio-extension")));
        assert!(made_by_hand(&secret("kubectl-client-side-apply")));
        assert!(made_by_hand(&secret("Helm")));
    }

    #[test]
    fn what_was_found_is_named() {
        let testimony = judge(vec!["DestinationRule test-infra/mtls".into()]);
        assert!(!testimony.held && testimony.summary.contains("DestinationRule test-infra/mtls"));
        assert!(judge(vec![]).held);
    }
}
