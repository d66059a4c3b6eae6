//! `nothing-made-by-hand`: mutual TLS works without a certificate, a CA or a policy that a user would have
//! had to make (R2, R6).

use std::collections::BTreeSet;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{testimony, trouble};
use crate::mesh::{self, whole::Does};
use meshproof_model::event::Testimony;
use meshproof_model::implementation::{Certificate, Implementation};
use meshproof_model::vantage::Vantage;
use meshproof_run::ports::{PortError, WitnessContext};

pub(super) const NAME: &str = "nothing-made-by-hand";

/// API groups with policies by which gateways and sidecars are told how to speak TLS, and to whom, and the kinds of them that
/// do: all if none is named.
const POLICIES: &[(&str, &[&str])] = &[
    ("gateway.networking.k8s.io", &["BackendTLSPolicy"]),
    ("gateway.networking.x-k8s.io", &[]),
    ("networking.istio.io", &[]),
    ("extensions.istio.io", &[]),
];

/// What Istio's own installation carries: its objects in the root namespace are nobody's handiwork.
const INSTALLED: &str = "install.operator.istio.io/owning-resource";

/// What Kubernetes and Istio put into each namespace by themselves.
const GIVEN: [&str; 2] = ["kube-root-ca.crt", "istio-ca-root-cert"];

/// Field manager of a client that does not name itself.
const NAMELESS: &str = "unknown";

/// Programs of Kubernetes and Istio that write Secrets and ConfigMaps.
const CONTROLLERS: [&str; 3] = ["kube-controller-manager", "pilot-discovery", "kube-apiserver"];

pub(super) async fn hear(
    client: &Client,
    implementation: &Implementation,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let own = implementation.namespaces.iter().map(String::as_str);
    let gateways = std::iter::once(context.namespace.as_str());
    let backends = context.backend_namespace.as_deref();
    let namespaces: BTreeSet<&str> = gateways.chain(backends).chain(own).collect();
    let meshes = mesh::all(client).await;
    let meshes = meshes.map_err(|error| PortError::new("looking for Istio's root namespace", error))?;
    let mut found = policies(client, &namespaces).await?;
    let roots: BTreeSet<&str> = meshes.iter().map(|mesh| mesh.root_namespace.as_str()).collect();
    for root in roots {
        // Of what is there for the whole mesh only that counts which can have to do with TLS.
        let whole = mesh::whole::policies(client, root).await;
        let whole = whole.map_err(|error| PortError::new("looking for policies of the whole mesh", error))?;
        found.extend(
            whole.into_iter().filter(|policy| policy.does == Does::TellsTls).map(|policy| policy.name),
        );
    }
    let released = implementation.releases.iter().flat_map(|release| &release.deployments);
    let applied = implementation.manifests.iter().flat_map(|manifests| &manifests.deployments);
    let installed = implementation.installed.iter().flat_map(|installed| &installed.deployments);
    let deployments = released.chain(applied).chain(installed);
    let mut known: BTreeSet<&str> = deployments.map(|(_, name)| name.as_str()).collect();
    known.extend(CONTROLLERS);
    // In the Secret that the implementation's file calls the gateway's own, its programs need not have named themselves: who
    // issued what is in it is seen by other witnesses.
    let mut known_of_own = known.clone();
    known_of_own.insert(NAMELESS);
    let published = match implementation.identity.as_ref().map(|identity| &identity.certificate) {
        Some(Certificate::Secret { namespace, name }) => Some((namespace.as_str(), name.as_str())),
        None | Some(Certificate::Envoy | Certificate::Sidecar | Certificate::Unseen) => None,
    };
    for namespace in &namespaces {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let list = secrets.list(&ListParams::default()).await;
        let list = list.map_err(trouble(format!("listing the Secrets in {namespace}")))?;
        let certificates = list.items.iter().filter(|secret| is_certificate(secret));
        let by_hand = certificates.filter(|secret| {
            let name = secret.name_any();
            let own = published == Some((*namespace, name.as_str()));
            made_by_hand(*secret, if own { &known_of_own } else { &known })
        });
        for name in by_hand.map(ResourceExt::name_any) {
            if !comes_by_itself::<Secret>(client, &name).await? {
                found.push(format!("Secret {namespace}/{name} with a certificate"));
            }
        }
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let list = maps.list(&ListParams::default()).await;
        let list = list.map_err(trouble(format!("listing the ConfigMaps in {namespace}")))?;
        let authorities = list.items.iter().filter(|map| {
            !GIVEN.contains(&map.name_any().as_str())
                && holds_certificate(map.data.iter().flatten().map(|d| d.0))
        });
        let by_hand = authorities.filter(|map| made_by_hand(*map, &known));
        for name in by_hand.map(ResourceExt::name_any) {
            if !comes_by_itself::<ConfigMap>(client, &name).await? {
                found.push(format!("ConfigMap {namespace}/{name} with a certificate"));
            }
        }
    }
    Ok(judge(found))
}

/// Whether something puts an object of this name into whatever namespace there is: bundles of authorities come so. It is then in
/// the namespace of the client outside the mesh, too, into which nobody puts anything by hand.
async fn comes_by_itself<K>(client: &Client, name: &str) -> Result<bool, PortError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let namespace = Vantage::Plain.namespace().unwrap_or_default();
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = objects.get_metadata_opt(name).await;
    let kind = K::kind(&());
    Ok(found.map_err(trouble(format!("looking for {kind} {namespace}/{name}")))?.is_some())
}

/// Every policy in these namespaces, of each kind that is served, in whatever version.
async fn policies(client: &Client, namespaces: &BTreeSet<&str>) -> Result<Vec<String>, PortError> {
    let groups = client.list_api_groups().await.map_err(trouble("asking for the API groups"))?.groups;
    let mut found = Vec::new();
    for (name, kinds) in POLICIES {
        // None of a group that does not exist was made.
        if !groups.iter().any(|group| group.name == *name) {
            continue;
        }
        let doing = || format!("asking for the kinds of {name}");
        let group = discovery::group(client, name).await.map_err(trouble(doing()))?;
        for (resource, capabilities) in group.resources_by_stability() {
            let wanted = kinds.is_empty() || kinds.contains(&resource.kind.as_str());
            if !wanted || capabilities.scope != discovery::Scope::Namespaced {
                continue;
            }
            for namespace in namespaces {
                let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
                let list = objects.list(&ListParams::default()).await;
                let list = list.map_err(trouble(format!("listing {} in {namespace}", resource.plural)))?;
                let made = list.items.iter().filter(|object| !object.labels().contains_key(INSTALLED));
                found.extend(
                    made.map(|object| format!("{} {namespace}/{}", resource.kind, object.name_any())),
                );
            }
        }
    }
    Ok(found)
}

fn judge(found: Vec<String>) -> Testimony {
    if found.is_empty() {
        let summary = "no client certificate, CA or policy object made by a user exists";
        return testimony(NAME, true, summary, json!(null));
    }
    let summary = format!("made by hand, or so it seems: {}", found.join(", "));
    testimony(NAME, false, summary, json!(found))
}

/// Whether a Secret is about certificates: by its type, or by what its keys are called.
fn is_certificate(secret: &Secret) -> bool {
    let tls = secret.type_.as_deref() == Some("kubernetes.io/tls");
    tls || holds_certificate(secret.data.iter().flatten().map(|(key, _)| key))
}

fn holds_certificate<'a>(mut keys: impl Iterator<Item = &'a String>) -> bool {
    keys.any(|key| [".crt", ".pem", ".cer"].iter().any(|end| key.ends_with(end)))
}

/// Whether anybody but the programs that are known wrote an object: who they are tell the field managers. One that tells of
/// nobody counts as made by hand.
fn made_by_hand(object: &impl ResourceExt, known: &BTreeSet<&str>) -> bool {
    let managers = object.managed_fields();
    managers.is_empty()
        || managers.iter().any(|entry| !known.contains(entry.manager.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(managers: &[&str]) -> Secret {
        let managers: Vec<_> = managers.iter().map(|manager| json!({"manager": manager})).collect();
        serde_json::from_value(json!({"metadata": {"name": "s", "managedFields": managers}})).unwrap()
    }

    #[test]
    fn what_known_programs_write_is_not_made_by_hand_and_all_else_is() {
        let known = ["alb-controller-istio-extension"].into();
        let by_hand = |managers: &[&str]| made_by_hand(&secret(managers), &known);
        assert!(!by_hand(&["alb-controller-istio-extension"]));
        for tool in ["kubectl-client-side-apply", "Helm", "argocd-controller", "Terraform", "curl", ""] {
            assert!(by_hand(&[tool]), "{tool}");
            assert!(by_hand(&["alb-controller-istio-extension", tool]), "{tool} touched it");
        }
        assert!(by_hand(&[NAMELESS]) && by_hand(&[]));
    }

    #[test]
    fn a_certificate_is_known_by_type_or_key() {
        let of = |content: serde_json::Value| is_certificate(&serde_json::from_value(content).unwrap());
        assert!(of(json!({"type": "kubernetes.io/tls"})));
        assert!(of(json!({"type": "Opaque", "data": {"client.pem": ""}})));
        assert!(!of(json!({"type": "helm.sh/release.v1", "data": {"release": ""}})));
    }

    #[test]
    fn what_was_found_is_named() {
        let testimony = judge(vec!["DestinationRule test-infra/mtls".into()]);
        assert!(!testimony.held && testimony.summary.contains("DestinationRule test-infra/mtls"));
        assert!(judge(vec![]).held);
    }
}
