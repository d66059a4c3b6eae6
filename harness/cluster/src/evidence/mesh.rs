//! What Istio's configuration says of the mesh: ConfigMap `istio` (`istio-<revision>`) of the control plane.

use serde_json::Value;

use meshproof_model::yaml;
use meshproof_run::diagnosis::Mesh;

/// What the diagnosis needs of a control plane.
pub(super) fn of(mesh: crate::mesh::Mesh) -> Mesh {
    Mesh { namespace: mesh.namespace, root_namespace: mesh.root_namespace, trust_domain: mesh.trust_domain }
}

/// What the configuration says, or what Istio takes where it says nothing.
pub(super) fn settings(config_maps: &[Value]) -> Mesh {
    let mut mesh = Mesh::default();
    let is_istios = |map: &&Value| {
        let name = map["metadata"]["name"].as_str().unwrap_or_default();
        (name == "istio" || name.starts_with("istio-")) && map["data"]["mesh"].is_string()
    };
    let Some(map) = config_maps.iter().find(is_istios) else { return mesh };
    let text = map["data"]["mesh"].as_str().unwrap_or_default();
    let said: Value = yaml::documents(text).ok().and_then(|mut all| all.pop()).unwrap_or_default();
    let own = map["metadata"]["namespace"].as_str();
    for (field, value) in [
        (&mut mesh.namespace, own),
        (&mut mesh.root_namespace, said["rootNamespace"].as_str().or(own)),
        (&mut mesh.trust_domain, said["trustDomain"].as_str()),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            value.clone_into(field);
        }
    }
    mesh
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_control_planes_own_words_count() {
        let map = |mesh: &str| json!({"metadata": {"namespace": "mesh", "name": "istio-1-28"}, "data": {"mesh": mesh}});
        let told = settings(&[
            json!({"metadata": {"name": "istio-ca-root-cert"}}),
            map("trustDomain: other.example\nrootNamespace: policies"),
        ]);
        assert_eq!(told.namespace, "mesh");
        assert_eq!((told.trust_domain.as_str(), told.root_namespace.as_str()), ("other.example", "policies"));
        let silent = settings(&[map("accessLogFile: /dev/stdout")]);
        assert_eq!((silent.trust_domain.as_str(), silent.root_namespace.as_str()), ("cluster.local", "mesh"));
        assert_eq!(settings(&[]), Mesh::default());
    }
}
