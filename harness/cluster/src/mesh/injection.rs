//! Who gets a sidecar, and of which control plane: what the API server decides by Istio's webhooks. Labels alone do not tell: a
//! revision is the default one only if somebody has tagged it so, and a mesh may inject where nobody has asked for it.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::selector::{Labels, Selector};
use super::{MeshError, asking};

/// How the names of Istio's webhooks end, whatever the revision.
const ISTIOS: &str = "sidecar-injector.istio.io";
/// Which revision a webhook's configuration is of.
const REVISION: &str = "istio.io/rev";

/// A configuration of webhooks by which sidecars are injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injector {
    /// Its name.
    pub name: String,
    /// The revision that injects.
    pub revision: String,
    /// Namespace of the control plane that injects; nothing for one that is outside the cluster.
    pub namespace: Option<String>,
    /// What each of its webhooks selects: namespaces, and pods in them.
    selects: Vec<(Selector, Selector)>,
}

impl Injector {
    fn of(configuration: &Value) -> Option<Self> {
        let webhooks = configuration["webhooks"].as_array()?;
        let istios =
            webhooks.iter().filter(|hook| hook["name"].as_str().is_some_and(|name| name.ends_with(ISTIOS)));
        let mut selects = Vec::new();
        let mut namespace = None;
        for hook in istios {
            selects.push((Selector::of(&hook["namespaceSelector"]), Selector::of(&hook["objectSelector"])));
            let service = hook["clientConfig"]["service"]["namespace"].as_str();
            namespace = namespace.or_else(|| service.map(str::to_owned));
        }
        let metadata = &configuration["metadata"];
        let revision = metadata["labels"][REVISION].as_str().filter(|revision| !revision.is_empty());
        (!selects.is_empty()).then(|| Self {
            name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            revision: revision.unwrap_or(super::DEFAULT_REVISION).to_owned(),
            namespace,
            selects,
        })
    }

    /// Whether a pod with these labels gets a sidecar in a namespace with those.
    pub(crate) fn takes(&self, namespace: &Labels, pod: &Labels) -> bool {
        self.selects.iter().any(|(namespaces, pods)| namespaces.selects(namespace) && pods.selects(pod))
    }
}

/// The labels of a namespace as the API server has them: its name is one.
pub(crate) fn labels_of_namespace(name: &str, labels: &Labels) -> Labels {
    let mut all = labels.clone();
    all.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    all
}

/// All of the cluster's injectors. Nothing if it is not for this user to know.
///
/// # Errors
/// The API server refuses for another reason.
pub(crate) async fn all(client: &Client) -> Result<Option<Vec<Injector>>, MeshError> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let list = match configurations.list(&ListParams::default()).await {
        Ok(list) => list,
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
        Err(error) => return Err(asking("looking for Istio's webhooks")(error)),
    };
    let mut found = Vec::new();
    for configuration in list.items {
        let name = configuration.name_any();
        let value = serde_json::to_value(&configuration).map_err(|error| MeshError::Config {
            namespace: "MutatingWebhookConfiguration".to_owned(),
            name,
            why: error.to_string(),
        })?;
        found.extend(Injector::of(&value));
    }
    Ok(Some(found))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn labels(all: &[(&str, &str)]) -> Labels {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"key": key, "operator": operator, "values": values})
    }

    fn hook(prefix: &str, namespace: Vec<Value>, pod: Vec<Value>, istiod: &str) -> Value {
        json!({
            "name": format!("{prefix}sidecar-injector.istio.io"),
            "clientConfig": {"service": {"name": "istiod", "namespace": istiod}},
            "namespaceSelector": {"matchExpressions": namespace},
            "objectSelector": {"matchExpressions": pod},
        })
    }

    /// What Istio's charts make of a revision: for its own label, and, if it is the default one, for `istio-injection`.
    pub(crate) fn injector(revision: &str, tag: &str, istiod: &str) -> Injector {
        let refused = || expression("sidecar.istio.io/inject", "NotIn", &["false"]);
        let without = |key: &str| expression(key, "DoesNotExist", &[]);
        let mut hooks = vec![
            hook(
                "rev.namespace.",
                vec![expression("istio.io/rev", "In", &[tag]), without("istio-injection")],
                vec![refused()],
                istiod,
            ),
            hook(
                "rev.object.",
                vec![without("istio.io/rev"), without("istio-injection")],
                vec![refused(), expression("istio.io/rev", "In", &[tag])],
                istiod,
            ),
        ];
        if tag == "default" {
            hooks.push(hook(
                "namespace.",
                vec![expression("istio-injection", "In", &["enabled"])],
                vec![refused()],
                istiod,
            ));
            hooks.push(hook(
                "object.",
                vec![without("istio-injection"), without("istio.io/rev")],
                vec![expression("sidecar.istio.io/inject", "In", &["true"]), without("istio.io/rev")],
                istiod,
            ));
        }
        let labels = json!({"app": "sidecar-injector", "istio.io/rev": revision, "istio.io/tag": tag});
        let name = format!("istio-revision-tag-{tag}");
        Injector::of(&json!({"metadata": {"name": name, "labels": labels}, "webhooks": hooks})).unwrap()
    }

    /// One that injects wherever nobody has said no (`enableNamespacesByDefault`).
    pub(crate) fn everywhere() -> Injector {
        let without = |key: &str| expression(key, "DoesNotExist", &[]);
        let hook = hook(
            "auto.",
            vec![without("istio-injection"), without("istio.io/rev")],
            vec![without("sidecar.istio.io/inject"), without("istio.io/rev")],
            "istio-system",
        );
        Injector::of(&json!({"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [hook]})).unwrap()
    }

    #[test]
    fn a_revision_takes_what_names_it_and_only_the_default_one_what_is_enabled() {
        let (canary, default) = (injector("canary", "canary", "mesh"), injector("canary", "default", "mesh"));
        let enabled = labels(&[("istio-injection", "enabled")]);
        let named = labels(&[("istio.io/rev", "canary")]);
        let none = Labels::new();
        assert!(!canary.takes(&enabled, &none) && canary.takes(&named, &none));
        assert!(default.takes(&enabled, &none) && !default.takes(&named, &none));
        assert!(!default.takes(&enabled, &labels(&[("sidecar.istio.io/inject", "false")])));
        let asks = labels(&[("sidecar.istio.io/inject", "true")]);
        assert!(default.takes(&none, &asks) && !canary.takes(&none, &asks) && !default.takes(&none, &none));
        assert_eq!((default.revision.as_str(), default.namespace.as_deref()), ("canary", Some("mesh")));
    }

    #[test]
    fn both_labels_mean_the_older_one() {
        let both = labels(&[("istio-injection", "enabled"), ("istio.io/rev", "canary")]);
        assert!(!injector("canary", "canary", "mesh").takes(&both, &Labels::new()));
        assert!(injector("default", "default", "istio-system").takes(&both, &Labels::new()));
    }

    #[test]
    fn other_webhooks_inject_no_sidecar() {
        let other = json!({"metadata": {"name": "w"}, "webhooks": [{"name": "namespace.defaults.example"}]});
        assert_eq!(Injector::of(&other), None);
        assert!(everywhere().takes(&labels_of_namespace("a", &Labels::new()), &Labels::new()));
    }
}
