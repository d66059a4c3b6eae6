//! The certificate a gateway's Envoy shows, read from the Envoy itself.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::Seen;
use crate::probe::envoy;
use crate::witness::trouble;
use meshproof_model::implementation::{Proxies, about_gateway};
use meshproof_run::ports::{PortError, WitnessContext};

/// Envoy's configuration, secrets only. It blanks private keys itself.
const QUESTION: &str = "config_dump?resource=dynamic_active_secrets";
/// Name of the workload's own certificate at Istio's agent.
const SECRET: &str = "default";
/// Time limit of a question to Envoy's admin interface.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The chain that a proxy of the context's Gateway shows, in PEM.
pub(super) async fn certificate(
    client: &Client,
    proxies: &Proxies,
    context: &WitnessContext,
) -> Result<Seen, PortError> {
    let about = |text: &str| about_gateway(text, &context.namespace, &context.gateway);
    let (namespace, selector) = (about(&proxies.namespace), about(&proxies.selector));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let list = pods
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(trouble(format!("listing the gateway's pods {selector} in {namespace}")))?;
    let Some(pod) = list.items.first().map(ResourceExt::name_any) else {
        return Ok(Err(format!("no pod in {namespace} is the gateway's ({selector})")));
    };
    Ok(of(client, &namespace, &pod).await?.map(|chain| (namespace, chain)))
}

/// The chain that the Envoy of a pod shows, in PEM, or what is missing.
pub(super) async fn of(
    client: &Client,
    namespace: &str,
    pod: &str,
) -> Result<Result<Vec<u8>, String>, PortError> {
    let dump = envoy::ask(client, namespace, pod, QUESTION, TIMEOUT).await?;
    Ok(chain(&dump).ok_or_else(|| format!("the Envoy of {namespace}/{pod} holds no certificate `{SECRET}`")))
}

/// The chain in a dump of Envoy's secrets.
fn chain(dump: &str) -> Option<Vec<u8>> {
    let dump: Value = serde_json::from_str(dump).ok()?;
    let secrets = dump["configs"].as_array()?;
    let own = secrets.iter().find(|secret| secret["name"] == SECRET)?;
    let bytes = &own["secret"]["tls_certificate"]["certificate_chain"]["inline_bytes"];
    serde_json::from_value::<ByteString>(bytes.clone()).ok().map(|bytes| bytes.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_workloads_own_certificate_is_found_among_the_secrets() {
        let secret = |name: &str, kind: &str, field: &str, bytes: &str| json!({"name": name, "secret": {"name": name, kind: {field: {"inline_bytes": bytes}}}});
        let dump = json!({"configs": [
            secret("ROOTCA", "validation_context", "trusted_ca", "cm9vdA=="),
            secret("default", "tls_certificate", "certificate_chain", "Y2hhaW4="),
        ]});
        assert_eq!(chain(&dump.to_string()).as_deref(), Some(b"chain".as_slice()));
        assert_eq!(chain(r#"{"configs": []}"#), None);
        assert_eq!(chain("error"), None);
    }
}
