//! What is laid down for a whole mesh, in Istio's root namespace: policies that were there before any scenario, and that every
//! answer of a backend would depend on.

use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{self, Scope};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::{MeshError, asking};

/// A policy for the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Kind, namespace and name, as people write them.
    pub name: String,
    /// What it does to every workload.
    pub does: Does,
}

/// What a policy does to every workload of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Nothing but mutual TLS is taken (PeerAuthentication, STRICT).
    Strict,
    /// Requests may be refused (AuthorizationPolicy).
    Authorizes,
    /// Says how TLS is spoken, or changes proxies in ways that only its author knows (DestinationRule and Sidecar with TLS
    /// settings, EnvoyFilter, WasmPlugin).
    TellsTls,
}

/// Kinds that can reach workloads of other namespaces from the root namespace, by API group.
const KINDS: &[(&str, &[&str])] = &[
    ("security.istio.io", &["PeerAuthentication", "AuthorizationPolicy"]),
    ("networking.istio.io", &["DestinationRule", "EnvoyFilter", "Sidecar"]),
    ("extensions.istio.io", &["WasmPlugin"]),
];

/// What Istio's own installation carries: those objects are nobody's policy.
const INSTALLED: &str = "install.operator.istio.io/owning-resource";

/// The policies of a root namespace that concern every workload.
///
/// # Errors
/// The API server refuses.
pub(crate) async fn policies(client: &Client, root: &str) -> Result<Vec<Policy>, MeshError> {
    let mut found = Vec::new();
    for (group, kinds) in KINDS {
        for object in objects(client, root, group, kinds).await? {
            found.extend(policy(&object));
        }
    }
    Ok(found)
}

/// The objects of a namespace of some kinds of an API group, in whatever version; none of a group that is not there.
///
/// # Errors
/// The API server refuses.
pub(super) async fn objects(
    client: &Client,
    namespace: &str,
    group: &str,
    kinds: &[&str],
) -> Result<Vec<Value>, MeshError> {
    let groups = client.list_api_groups().await.map_err(asking("asking for the API groups"))?.groups;
    if !groups.iter().any(|known| known.name == group) {
        return Ok(Vec::new());
    }
    let doing = || format!("asking for the kinds of {group}");
    let served = discovery::group(client, group).await.map_err(asking(doing()))?;
    let mut found = Vec::new();
    for (resource, capabilities) in served.resources_by_stability() {
        if !kinds.contains(&resource.kind.as_str()) || capabilities.scope != Scope::Namespaced {
            continue;
        }
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let list = api.list(&ListParams::default()).await;
        let list = list.map_err(asking(format!("listing {} in {namespace}", resource.plural)))?;
        for mut object in list.items {
            let types = kube::api::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            };
            object.types = Some(types);
            let name = object.name_any();
            let value = serde_json::to_value(object).map_err(|error| MeshError::Config {
                namespace: namespace.to_owned(),
                name,
                why: error.to_string(),
            })?;
            found.push(value);
        }
    }
    Ok(found)
}

/// What an object of the root namespace does to every workload; nothing if it does not concern them all.
fn policy(object: &Value) -> Option<Policy> {
    let (kind, metadata, spec) = (object["kind"].as_str()?, &object["metadata"], &object["spec"]);
    let is_chosen = |field: &str| match &spec[field] {
        Value::Object(fields) => {
            fields.values().any(|value| !value.is_null() && *value != serde_json::json!({}))
        }
        Value::Array(all) => !all.is_empty(),
        _ => false,
    };
    if ["selector", "workloadSelector", "targetRef", "targetRefs"].into_iter().any(is_chosen) {
        return None;
    }
    let does = match kind {
        "PeerAuthentication" => (spec["mtls"]["mode"] == "STRICT").then_some(Does::Strict),
        "AuthorizationPolicy" => (spec["action"] != "AUDIT").then_some(Does::Authorizes),
        _ if !metadata["labels"][INSTALLED].is_null() => None,
        "DestinationRule" | "Sidecar" => tells_tls(spec).then_some(Does::TellsTls),
        _ => Some(Does::TellsTls),
    }?;
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    Some(Policy { name: format!("{kind} {}/{}", text("namespace"), text("name")), does })
}

/// Whether anything in a spec is about TLS.
fn tells_tls(spec: &Value) -> bool {
    match spec {
        Value::Object(fields) => {
            fields.iter().any(|(field, value)| (field == "tls" && !value.is_null()) || tells_tls(value))
        }
        Value::Array(all) => all.iter().any(tells_tls),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, spec: Value) -> Option<Does> {
        let metadata = json!({"namespace": "istio-system", "name": "a"});
        let policy = policy(&json!({"kind": kind, "metadata": metadata, "spec": spec}))?;
        assert_eq!(policy.name, format!("{kind} istio-system/a"));
        Some(policy.does)
    }

    #[test]
    fn only_a_policy_that_takes_mutual_tls_alone_is_strict() {
        let mode = |mode: &str| json!({"mtls": {"mode": mode}});
        assert_eq!(of("PeerAuthentication", mode("STRICT")), Some(Does::Strict));
        for other in ["PERMISSIVE", "DISABLE", "UNSET"] {
            assert_eq!(
                of("PeerAuthentication", mode(other)),
                None,
                "as without one, or nothing a backend refuses"
            );
        }
        let mut some = mode("STRICT");
        some["selector"] = json!({"matchLabels": {"app": "a"}});
        assert_eq!(of("PeerAuthentication", some.clone()), None);
        some["selector"] = json!({});
        assert_eq!(
            of("PeerAuthentication", some),
            Some(Does::Strict),
            "a selector that chooses nothing chooses all"
        );
    }

    #[test]
    fn whatever_may_refuse_a_request_is_known() {
        assert_eq!(of("AuthorizationPolicy", json!({})), Some(Does::Authorizes), "allow nothing");
        assert_eq!(of("AuthorizationPolicy", json!({"action": "DENY", "rules": []})), Some(Does::Authorizes));
        assert_eq!(of("AuthorizationPolicy", json!({"action": "AUDIT"})), None);
        assert_eq!(
            of("AuthorizationPolicy", json!({"targetRefs": [{"kind": "Gateway", "name": "g"}]})),
            None
        );
    }

    #[test]
    fn what_tells_nothing_of_tls_is_no_matter() {
        let egress = json!({"egress": [{"hosts": ["./*"]}]});
        assert_eq!(of("Sidecar", egress), None);
        let tls = json!({"host": "*.local", "trafficPolicy": {"portLevelSettings": [{"tls": {"mode": "ISTIO_MUTUAL"}}]}});
        assert_eq!(of("DestinationRule", tls), Some(Does::TellsTls));
        assert_eq!(of("DestinationRule", json!({"trafficPolicy": {"loadBalancer": {}}})), None);
        assert_eq!(of("EnvoyFilter", json!({"configPatches": []})), Some(Does::TellsTls));
        assert_eq!(of("EnvoyFilter", json!({"workloadSelector": {"labels": {"app": "a"}}})), None);
        let own = json!({"kind": "EnvoyFilter", "spec": {},
            "metadata": {"name": "stats-filter", "labels": {INSTALLED: "unknown"}}});
        assert_eq!(policy(&own), None);
    }
}
