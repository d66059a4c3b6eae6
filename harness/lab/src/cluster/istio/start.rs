//! Istio sooner. istioctl applies one object after the other and looks only every two seconds whether istiod is ready. What
//! it would apply can be applied in its name before, side by side, and istiod be watched; istioctl itself, run when istiod is
//! ready, has nothing left to wait for.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};

use super::{IstioError, NAMESPACE, settings, values};
use crate::cluster::api::{self, ApiError, objects};
use crate::cluster::state::StateDir;
use crate::command::Tool;
use crate::supply::Artifacts;

/// istioctl's name as the owner of fields.
const FIELD_MANAGER: &str = "istio-operator";
/// The webhook's configuration by which istiod injects, until istioctl has made that of the default revision.
const INJECTOR: &str = "istio-sidecar-injector";
/// For istiod to be ready, and trusted as an injector; 5 s is usual.
const READY: Duration = Duration::from_secs(300);

/// The objects that [`install`](super::install) applies, but for those of Istio's own kinds, and the namespace they are in.
pub(crate) async fn manifests(
    artifacts: &Artifacts,
    state: &StateDir,
) -> Result<Vec<DynamicObject>, IstioError> {
    let text = Tool::new("asking istioctl for Istio's manifests", &artifacts.istioctl)
        .args(["manifest", "generate"])
        .args(settings(&artifacts.istio, &values(artifacts, state)?))
        .run()
        .await?;
    let mut manifests = objects("what istioctl generates", &text)?;
    manifests.retain(|object| !is_of_istio(object));
    manifests.push(namespace());
    Ok(manifests)
}

/// Applies Istio's [`manifests`]; returns when istiod is ready and injects.
pub(crate) async fn start(client: &Client, manifests: Vec<DynamicObject>) -> Result<(), ApiError> {
    api::apply_as(client, FIELD_MANAGER, manifests).await?;
    api::wait_for_deployment(client, NAMESPACE, super::ISTIOD, READY).await?;
    // Before istiod has put its authority into the configuration the API server does not trust it.
    let injector: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    if api::wait(injector, INJECTOR, trusted, READY).await? {
        return Ok(());
    }
    Err(ApiError::Late {
        doing: format!("waiting for the webhook {INJECTOR}"),
        limit: READY,
        seen: "istiod has put no caBundle into it; its log says why".to_owned(),
    })
}

fn namespace() -> DynamicObject {
    DynamicObject::new(NAMESPACE, &ApiResource::erase::<Namespace>(&()))
}

/// Whether the object is of a kind that Istio defines itself, and that may not be established yet.
fn is_of_istio(object: &DynamicObject) -> bool {
    let version = object.types.as_ref().map_or("", |types| types.api_version.as_str());
    version.split_once('/').is_some_and(|(group, _)| group.ends_with(".istio.io"))
}

/// Every webhook of the configuration says whose certificates it accepts.
fn trusted(configuration: Option<&MutatingWebhookConfiguration>) -> bool {
    let webhooks = configuration.and_then(|configuration| configuration.webhooks.as_ref());
    let trusted = |webhook: &MutatingWebhook| {
        webhook.client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty())
    };
    webhooks.is_some_and(|webhooks| !webhooks.is_empty() && webhooks.iter().all(trusted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_that_istio_defines_are_told_from_their_definitions() {
        let objects = objects(
            "test",
            "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: a}}\n---\n\
             {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: b.istio.io}}\n\
             ---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: istio}}\n",
        )
        .unwrap();
        assert_eq!(objects.iter().map(is_of_istio).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_of_istio(&namespace()));
    }

    #[test]
    fn an_injector_is_trusted_when_all_its_webhooks_are() {
        let with = |bundles: [&str; 2]| -> MutatingWebhookConfiguration {
            let webhooks = bundles.map(|bundle| {
                json!({"name": "w", "clientConfig": {"caBundle": bundle}, "sideEffects": "None",
                       "admissionReviewVersions": ["v1"]})
            });
            serde_json::from_value(json!({"webhooks": webhooks})).unwrap()
        };
        assert!(trusted(Some(&with(["QQ==", "QQ=="]))));
        assert!(!trusted(Some(&with(["QQ==", ""]))));
        assert!(!trusted(Some(&MutatingWebhookConfiguration::default())));
        assert!(!trusted(None));
    }
}
