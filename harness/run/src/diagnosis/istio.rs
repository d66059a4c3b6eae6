//! Causes that lie with istiod, or with what it sends to the sidecars.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{Log, items, name_of, text},
    suspects::{is_ready, statuses, suspects},
};
use meshproof_model::event::Diagnosis;

/// The sidecar's container.
const SIDECAR: &str = "istio-proxy";

/// Pods that wait for their sidecar.
fn waiting(facts: &Facts) -> impl Iterator<Item = &Value> {
    let waits = |status: &Value| status["name"] == SIDECAR && status["ready"] == false;
    suspects(facts).filter(move |pod| !is_ready(pod) && statuses(pod).any(waits))
}

fn log_of<'a>(facts: &'a Facts, pod: &Value) -> Option<&'a Log> {
    facts.logs.iter().find(|log| log.container == SIDECAR && log.is_of(pod))
}

/// `listener-rejected`: a sidecar refuses a listener that istiod sends, and so never becomes Ready.
pub(super) fn listener_rejected(facts: &Facts) -> Option<Diagnosis> {
    let (pod, said) = waiting(facts).find_map(|pod| {
        let name = name_of(pod);
        // istiod names a connection `<pod>.<namespace>-<number>`.
        let node = name.split_once('/').map(|(namespace, pod)| format!("{pod}.{namespace}-"))?;
        let refusals =
            facts.logs.iter().filter(|log| log.namespace == facts.mesh.namespace).flat_map(|log| &log.lines);
        let by_istiod =
            refusals.rev().find(|line| line.contains("ADS:LDS: ACK ERROR") && line.contains(&node));
        let own = || {
            let lines = &log_of(facts, pod)?.lines;
            lines.iter().rev().find(|line| line.contains("v3.Listener rejected: "))
        };
        let line = by_istiod.or_else(own)?;
        let said =
            ["Internal:", "Listener rejected: "].iter().find_map(|mark| Some(line.split_once(mark)?.1));
        Some((pod, said.unwrap_or(line)))
    })?;
    let low_port = said.contains("cannot bind") && said.contains("Permission denied");
    Some(diagnosis(
        "listener-rejected",
        format!("the sidecar of pod {} rejects a listener that istiod sends", name_of(pod)),
        std::iter::once(said.trim().to_owned()).chain(low_port.then(|| {
            "the sidecar may not bind a port below 1024: it runs without privileges, and the node's sysctl \
             net.ipv4.ip_unprivileged_port_start does not allow it"
                .to_owned()
        })),
        "see what the listener comes from: an EnvoyFilter, a Sidecar, a Service's port, or an Istio that expects another Envoy",
    ))
}

/// `istiod-not-ready`: sidecars wait for a control plane that is not there.
pub(super) fn istiod_not_ready(facts: &Facts) -> Option<Diagnosis> {
    let pod = waiting(facts).next()?;
    let namespace = facts.mesh.namespace.as_str();
    let is_istiod = |deployment: &&Value| deployment["metadata"]["labels"]["app"] == "istiod";
    let istiod = facts.of("deployments", namespace).find(is_istiod);
    let ready = istiod.is_some_and(|istiod| istiod["status"]["readyReplicas"].as_u64().unwrap_or(0) > 0);
    let asked = "config not received from XDS server (is Istiod running?)";
    let last =
        log_of(facts, pod).and_then(|log| log.lines.iter().rev().find(|line| line.contains("NOT ready: ")));
    let unanswered = last.is_some_and(|line| line.contains(asked));
    if ready && !unanswered {
        return None;
    }
    let mut because = vec![format!("the sidecar of pod {} is not ready", name_of(pod))];
    if unanswered {
        because.push(format!("its log: {asked}"));
    }
    let title = match istiod {
        Some(istiod) if ready => {
            format!("the sidecar of pod {} gets no answer from Deployment {}", name_of(pod), name_of(istiod))
        }
        Some(istiod) => {
            format!("Deployment {} has no ready replica, and sidecars wait for it", name_of(istiod))
        }
        None => {
            format!("there is no istiod in {namespace}, and the sidecar of pod {} waits for it", name_of(pod))
        }
    };
    let conditions = istiod.map(|istiod| items(&istiod["status"]["conditions"])).unwrap_or_default();
    let bad = conditions.iter().filter(|c| c["type"] == "Available" && c["status"] == "False");
    because.extend(bad.map(|condition| text(&condition["message"]).to_owned()));
    Some(diagnosis(
        "istiod-not-ready",
        title,
        because,
        format!("read istiod's log, and why its pods are not Ready: logs/{namespace}/ in the evidence"),
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "alb-controller-istio-extension-7777b9bd45-gg4rm";

    /// An extension whose sidecar is not ready, with the end of its log, as it was recorded.
    fn sidecar(line: &str) -> Facts {
        let mut facts = Facts::sample();
        facts.claim.word = "pods".into();
        let pod = json!([{
            "metadata": {"namespace": "azure-alb-system", "name": POD},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}],
                "initContainerStatuses": [{"name": "istio-proxy", "ready": false, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-11-23T23:33:57Z"}}}],
                "containerStatuses": [{"name": "alb-controller-istio-extension", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "PodInitializing"}}}]},
        }]);
        facts.with("pods", pod).logged("azure-alb-system", POD, "istio-proxy", line)
    }

    fn istiod(ready: u64) -> Value {
        json!([{"metadata": {"namespace": "istio-system", "name": "istiod", "labels": {"app": "istiod"}},
            "status": {"readyReplicas": ready}}])
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let rejected = "2026-11-23T23:35:44.983559768Z 2026-11-23T23:35:44.983255Z\twarn\tEnvoy proxy is NOT ready: config \
            received from XDS server, but was rejected: cds updates: 1 successful, 0 rejected; lds updates: 0 successful, \
            1 rejected";
        let refusal = format!(
            "2026-11-23T23:31:46.024773521Z 2026-11-23T23:31:46.012312Z\twarn\tdelta\tADS:LDS: ACK ERROR \
            {POD}.azure-alb-system-7 Internal:Error adding/updating listener(s) 127.0.0.1_53: cannot bind '127.0.0.1:53': \
            Permission denied"
        );
        let unanswered = "2026-11-23T23:35:44.983559768Z 2026-11-23T23:35:44.983255Z\twarn\tEnvoy proxy is NOT ready: config \
            not received from XDS server (is Istiod running?): cds updates: 0 successful, 0 rejected; lds updates: 0 \
            successful, 0 rejected";
        vec![
            provoked(
                "listener-rejected",
                POD,
                sidecar(rejected).with("deployments", istiod(1)).logged(
                    "istio-system",
                    "istiod-57ff87994b-v46sl",
                    "discovery",
                    &refusal,
                ),
            ),
            provoked(
                "istiod-not-ready",
                "istio-system/istiod",
                sidecar(unanswered).with("deployments", istiod(0)),
            ),
        ]
    }

    #[test]
    fn istiod_is_looked_for_where_the_mesh_has_it() {
        let mut elsewhere = istiod(1);
        elsewhere[0]["metadata"]["namespace"] = json!("mesh");
        let mut facts = sidecar("Envoy proxy is NOT ready: it only starts").with("deployments", elsewhere);
        facts.mesh.namespace = "mesh".into();
        assert_eq!(istiod_not_ready(&facts), None);
        facts.mesh.namespace = "other".into();
        assert!(istiod_not_ready(&facts).unwrap().title.contains("there is no istiod in other"));
    }

    #[test]
    fn the_sidecars_own_word_is_enough() {
        let line = "2026-11-23T23:33:58.902966649Z 2026-11-23T23:33:58.895712Z\twarning\tenvoy config \
            source/extensions/config_subscription/grpc/delta_subscription_state.cc:282\tdelta config for \
            type.googleapis.com/envoy.config.listener.v3.Listener rejected: Error adding/updating listener(s) \
            127.0.0.1_443: cannot bind '127.0.0.1:443': Permission denied";
        let diagnosis = listener_rejected(&sidecar(line)).unwrap();
        assert!(
            diagnosis.because[0].starts_with("Error adding/updating listener(s) 127.0.0.1_443"),
            "{diagnosis:?}"
        );
    }

    #[test]
    fn an_istiod_that_answers_is_not_at_fault() {
        assert_eq!(istiod_not_ready(&sidecar("no word of it").with("deployments", istiod(1))), None);
    }
}
