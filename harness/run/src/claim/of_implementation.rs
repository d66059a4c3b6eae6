//! The pods of the gateway under test, wherever they are: in its own namespaces, in those of its releases, and, where each
//! Gateway has proxies of its own, beside the scenario's Gateways.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::becomes::{Judgement, becomes};
use crate::context::pods::{Pod, Share};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::word::{Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Problem};

/// How scenarios call all of these pods.
pub(super) const WORD: &str = "implementation";

/// `become: ready` of every pod of the gateway under test.
#[derive(Debug)]
struct OfImplementation(Vec<Share>);

/// Reads what stands beside `pods: implementation`.
///
/// # Errors
/// Anything but `become: ready`.
pub(super) fn parse(fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let wanted = fields.need("become")?;
    match wanted.text() {
        Ok("ready") => Ok(Box::new(OfImplementation(Share::of(scope.implementation, scope.namespace)))),
        _ => Err(wanted
            .problem("which pods another gateway has nobody knows beforehand")
            .help("write `become: ready`, or name a namespace instead of `implementation`")),
    }
}

impl Word for OfImplementation {
    fn name(&self) -> String {
        "every pod of the implementation becomes ready".into()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let Some(kind) = Kind::by_word("pod") else {
                return Err(Trouble::error("looking for pods", "to know the kind", "it is unknown"));
            };
            let mut counted = Vec::new();
            for share in &self.0 {
                let query = Query { kind, namespace: Some(share.namespace.clone()), name: None };
                let doing = format!("waiting for the pods of {share}");
                let held = becomes(context, &query, &doing, &self.name(), |objects| {
                    let pods: Vec<_> = objects.iter().filter(|pod| share.has(pod)).map(Pod::of).collect();
                    match unready(&pods) {
                        None => Judgement::Holds(pods),
                        Some(because) => Judgement::NotYet(because),
                    }
                })
                .await?;
                counted.push((share, held.found.len()));
                context.pods.insert(share.clone(), held.found);
            }
            let each: Vec<_> =
                counted.iter().map(|(share, count)| format!("{count} pods in {share}")).collect();
            let pods: Vec<_> = counted
                .iter()
                .map(|(share, count)| json!({"of": share.to_string(), "ready": count}))
                .collect();
            let became_ms = Some(context.elapsed_ms());
            Ok(Observed { summary: each.join("; "), detail: pods.into(), became_ms, ..Observed::default() })
        }
        .boxed()
    }
}

/// Why these pods are not all there and ready.
fn unready(pods: &[Pod]) -> Option<String> {
    if pods.is_empty() {
        return Some("there are no pods".into());
    }
    let unready = pods.iter().filter(|pod| {
        let all = pod.ready.split_once('/').is_some_and(|(ready, of)| ready == of && of != "0");
        !all || pod.status != "Running"
    });
    let each: Vec<_> = unready.map(|pod| format!("{} is {} {}", pod.name, pod.ready, pod.status)).collect();
    (!each.is_empty()).then(|| each.join("; "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use meshproof_model::implementation::Implementation;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_pods_of_a_gateway_are_in_all_its_namespaces() {
        let alb = Implementation::built_in().unwrap();
        let shares = Share::of(&alb, "shop");
        assert_eq!(shares, [Share::all("azure-alb-dataplane"), Share::all("azure-alb-system")]);
    }

    #[test]
    fn proxies_beside_a_gateway_are_told_from_the_backends_by_their_labels() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../implementations/istio.yaml");
        let shares = Share::of(&Implementation::load(&file).unwrap(), "shop");
        let [proxies] = shares.as_slice() else { panic!("{shares:?}") };
        let pod = |labels: Value| json!({"metadata": {"name": "p", "labels": labels}});
        assert_eq!(proxies.to_string(), "shop (proxies)");
        assert!(proxies.has(&pod(json!({"gateway.networking.k8s.io/gateway-name": "gateway-01"}))));
        assert!(!proxies.has(&pod(json!({"app": "backend-v1"}))));
    }

    #[test]
    fn no_pod_at_all_is_not_ready() {
        assert_eq!(unready(&[]).unwrap(), "there are no pods");
        let pod = |ready: &str| {
            let status = json!({"phase": "Running", "containerStatuses": [{"ready": ready == "1/1"}]});
            Pod::of(
                &json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": status}),
            )
        };
        assert_eq!(unready(&[pod("1/1")]), None);
        assert_eq!(unready(&[pod("1/1"), pod("0/1")]).unwrap(), "p is 0/1 Running");
    }
}
