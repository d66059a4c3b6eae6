//! What the gateway under test needs beside the objects that a scenario applies: in each namespace that it makes, and for each
//! Service that it makes in a namespace of the mesh. Its file says what (`per-namespace`, `per-service`).

use futures::StreamExt;
use serde_json::Value;

use crate::context::Trouble;
use crate::ports::{Objects, Query};
use meshproof_model::implementation::{Implementation, Occasion};
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::manifest::{self, Object};
use meshproof_model::scenario::node::Problem;

/// Whether a namespace with these labels is of the mesh: where both stand, the one for injection counts, as it does for Istio.
fn of_mesh(labels: &Value) -> bool {
    match labels["istio-injection"].as_str() {
        Some("enabled") => true,
        Some("disabled") => false,
        _ => labels["istio.io/rev"].is_string(),
    }
}

/// An object for the gateway.
#[derive(Debug)]
pub(super) struct Beside {
    /// The object.
    pub(super) object: Object,
    /// The namespace that has to be of the mesh; nothing if it is wanted in any case.
    of_mesh: Option<String>,
}

/// Everything that goes with these objects.
///
/// # Errors
/// What the file says has no value here, or is no object.
pub(super) fn all<'a>(
    implementation: &Implementation,
    objects: impl Iterator<Item = &'a Object> + Clone,
) -> Result<Vec<Beside>, Problem> {
    let mut all = Vec::new();
    for Object { id, value, .. } in objects.clone() {
        let (occasion, namespace, of_mesh) = match (id.kind.word, &id.namespace) {
            ("namespace", _) => (Occasion::Namespace(&id.name), &id.name, None),
            // One that selects no pods leads to nobody whose identity is known.
            ("service", Some(namespace)) if value["spec"]["selector"].is_object() => {
                let account = account(value, namespace, objects.clone());
                let occasion = Occasion::Service { namespace, name: &id.name, account };
                (occasion, namespace, Some(namespace.clone()))
            }
            _ => continue,
        };
        for node in implementation.objects_for(occasion)? {
            all.push(Beside { object: manifest::object(&node, namespace)?, of_mesh: of_mesh.clone() });
        }
    }
    Ok(all)
}

/// The service account of the pods that a Service selects.
fn account<'a>(service: &Value, namespace: &str, mut objects: impl Iterator<Item = &'a Object>) -> &'a str {
    let wanted = service["spec"]["selector"].as_object();
    let selects = |labels: &Value| {
        wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key.as_str()] == *value))
    };
    let pods = objects.find_map(|object| {
        let template = match object.id.kind.word {
            "pod" => &object.value,
            _ => &object.value["spec"]["template"],
        };
        let own = object.id.namespace.as_deref() == Some(namespace);
        (own && selects(&template["metadata"]["labels"])).then_some(&template["spec"])
    });
    pods.and_then(|spec| spec["serviceAccountName"].as_str()).unwrap_or("default")
}

impl Beside {
    /// Whether it is wanted as things are now.
    pub(super) async fn is_wanted(&self, objects: &dyn Objects) -> Result<bool, Trouble> {
        let (Some(name), Some(kind)) = (&self.of_mesh, Kind::by_word("namespace")) else { return Ok(true) };
        let query = Query { kind, namespace: None, name: Some(name.clone()) };
        let found = objects.observe(&query).next().await.transpose()?.unwrap_or_default();
        Ok(found.iter().any(|namespace| of_mesh(&namespace["metadata"]["labels"])))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_of_the_mesh_by_istios_own_precedence() {
        let of = |labels: Value| of_mesh(&labels);
        assert!(
            of(json!({"istio-injection": "enabled", "istio.io/rev": "gone"}))
                && of(json!({"istio.io/rev": "a"}))
        );
        assert!(!of(json!({"istio-injection": "disabled", "istio.io/rev": "a"})) && !of(Value::Null));
    }

    #[test]
    fn services_get_what_the_gateway_needs_for_the_account_of_their_pods() {
        let text = "name: g\ngateway-class: c\ncontroller: example/c\naddress: {type: IPAddress, value: '*', resolve: \
                    itself}\nproxies: {namespace: p, selector: a=b, access-log: none}\nidentity: none\nper-namespace:\n  s: \
                    {apiVersion: v1, kind: Secret, metadata: {name: s}}\nper-service:\n  p: {apiVersion: \
                    gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: '${service.name}'}, spec: {san: \
                    'spiffe://${mesh.trust-domain}/ns/${namespace}/sa/${service.account}'}}\n";
        let implementation = Implementation::parse(Path::new("g.yaml"), text.into()).unwrap();
        let manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Service\nmetadata: \
                        {name: cart}\nspec: {selector: {app: cart}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: \
                        {name: cart}\nspec: {template: {metadata: {labels: {app: cart, v: one}}, spec: \
                        {serviceAccountName: carts}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: by-hand}\nspec: {}\n";
        let fill = |node: &meshproof_model::scenario::node::Node| Ok(node.clone());
        let manifest = manifest::read("m.yaml", Path::new("m.yaml"), manifest.into(), "shop", &fill).unwrap();
        let all = all(&implementation, manifest.objects.iter()).unwrap();
        let told: Vec<_> =
            all.iter().map(|beside| (beside.object.id.to_string(), beside.of_mesh.clone())).collect();
        let wanted = [("secret/s in shop", None), ("backendtlspolicy/cart in shop", Some("shop".to_owned()))];
        assert_eq!(told, wanted.map(|(id, of_mesh)| (id.to_owned(), of_mesh)));
        assert_eq!(all[1].object.value["spec"]["san"], "spiffe://cluster.local/ns/shop/sa/carts");
    }
}
