//! Causes that lie with the service-mesh extension, or with the certificates it publishes.

use serde_json::Value;

use super::{
    Facts, diagnosis,
    facts::{name_of, text},
    suspects::is_ready,
};
use meshproof_model::event::Diagnosis;

/// The extension says itself why it is no part of the mesh. Counts where the gateway lacks a certificate, or nothing was asked.
pub(super) fn not_integrated(facts: &Facts) -> Option<Diagnosis> {
    let otherwise = facts.last_account().is_some_and(|entry| entry.reason != "no_client_certificate");
    if otherwise && facts.claim.is_about_answers() {
        return None;
    }
    let (pod, event) = pods(facts).find_map(|pod| Some((pod, last_word(facts, pod)?)))?;
    let words = &facts.names.words;
    let finding = words.extension_events.get(text(&event["reason"]))?;
    // What is wrong, then what to do: `…: … . Run: …`.
    let message = text(&event["message"]);
    let begins = words.not_integrated.as_deref().unwrap_or_default();
    let message = message.strip_prefix(begins).unwrap_or(message);
    Some(diagnosis(
        finding.id,
        format!("{} (pod {})", finding.means, name_of(pod)),
        [format!("{}: {message}", text(&event["reason"]))],
        "do what its Event says; it then goes on by itself, unless the Event names a restart",
    ))
}

fn pods(facts: &Facts) -> impl Iterator<Item = &Value> {
    facts.names.extension.iter().flat_map(|extension| {
        facts.of("pods", &extension.namespace).filter(|pod| {
            let name = text(&pod["metadata"]["name"]).strip_prefix(&extension.deployment);
            name.is_some_and(|rest| rest.starts_with('-'))
        })
    })
}

/// Whether this is a pod of the extension.
pub(super) fn has(facts: &Facts, pod: &Value) -> bool {
    pods(facts).any(|of_extension| name_of(of_extension) == name_of(pod))
}

/// The latest Event in which a pod of the extension says how things stand.
fn last_word<'a>(facts: &'a Facts, pod: &'a Value) -> Option<&'a Value> {
    let says = |event: &&Value| {
        let (words, reason) = (&facts.names.words, text(&event["reason"]));
        words.integrated.as_deref() == Some(reason) || words.extension_events.contains_key(reason)
    };
    let when = |event: &&Value| {
        let time = event["lastTimestamp"].as_str().or_else(|| event["eventTime"].as_str());
        time.unwrap_or_default().to_owned()
    };
    facts
        .of("events", text(&pod["metadata"]["namespace"]))
        .filter(|event| event["involvedObject"]["name"] == pod["metadata"]["name"])
        .filter(says)
        .max_by_key(when)
}

/// `certificate-expired`: the extension's, because its sidecar does not renew it; or a side's of a handshake.
pub(super) fn certificate_expired(facts: &Facts) -> Option<Diagnosis> {
    if let Some((detail, pod)) = handshake(facts) {
        let whose = match () {
            () if detail.contains("received fatal alert: CertificateExpired") => {
                "the gateway's client certificate"
            }
            () if detail.contains("invalid peer certificate: certificate expired") => {
                "the certificate of the pod"
            }
            () => return None,
        };
        return Some(diagnosis(
            "certificate-expired",
            format!("{whose} has expired, in the handshake with {pod}"),
            [format!("the gateway's log: {detail}")],
            "see why its sidecar does not renew it (log of istio-proxy; istiod must answer), and the clocks of the nodes",
        ));
    }
    let said = facts.names.words.certificate_expired.as_deref()?;
    // The container is called as its Deployment.
    let container = facts.names.extension.as_ref().map(|extension| &extension.deployment);
    let (pod, line) = pods(facts).filter(|pod| !is_ready(pod)).find_map(|pod| {
        let log = facts.logs.iter().find(|log| Some(&log.container) == container && log.is_of(pod))?;
        Some((pod, log.lines.iter().rev().find(|line| line.contains(said))?))
    })?;
    let said = line.find(said).and_then(|at| line.get(at..)).unwrap_or(line);
    Some(diagnosis(
        "certificate-expired",
        format!("the certificate of the extension's pod {} has expired", name_of(pod)),
        [said.to_owned()],
        format!(
            "see why its sidecar does not renew it: logs/{}/istio-proxy.log in the evidence; istiod must answer",
            name_of(pod)
        ),
    ))
}

/// `certificate-not-trusted`: the two sides of a handshake have certificates of different authorities.
pub(super) fn not_trusted(facts: &Facts) -> Option<Diagnosis> {
    let (detail, pod) = handshake(facts)?;
    let who = match () {
        () if detail.contains("received fatal alert: UnknownCA") => {
            format!("{pod} does not trust the gateway's certificate")
        }
        () if detail.contains("invalid peer certificate: UnknownIssuer") => {
            format!("the gateway does not trust the certificate of {pod}")
        }
        () => return None,
    };
    Some(diagnosis(
        "certificate-not-trusted",
        who,
        [format!("the gateway's log: {detail}")],
        "compare their roots: root-cert.pem in the extension's Secret, and ConfigMap istio-ca-root-cert; was istiod's CA replaced?",
    ))
}

/// What the gateway's log says of the handshake with a pod of the mesh that failed last, and the pod.
fn handshake(facts: &Facts) -> Option<(&str, &str)> {
    let last = facts.last_account().filter(|_| facts.claim.is_about_answers())?;
    if last.reason != "upstream_tls_handshake_failed" {
        return None;
    }
    let of_policy = last.upstream_tls.as_ref().is_some_and(|tls| tls.mode == "tls");
    let detail = last.rest.get("detail")?.as_str().filter(|_| !of_policy)?;
    Some((detail, last.upstream_pod.as_deref().unwrap_or("the backend")))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "alb-controller-istio-extension-69dc679455-94z7b";

    /// The extension's pod and an Event of it, as kube's recorder writes it.
    fn found(reason: &str, message: &str) -> Facts {
        let pod = json!([{"metadata": {"namespace": "azure-alb-system", "name": POD},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}]);
        let facts = Facts::sample()
            .with("pods", pod)
            .with("secrets", json!([]))
            .with("events", json!([event(reason, message)]));
        facts.expecting(200).answered(503, "no_client_certificate")
    }

    fn event(reason: &str, message: &str) -> Value {
        json!({"metadata": {"namespace": "azure-alb-system"}, "type": "Warning", "reason": reason,
            "message": format!("not integrated: {message}"), "action": "Integrate", "eventTime": "2026-11-23T16:00:00.000000Z",
            "lastTimestamp": null, "involvedObject": {"kind": "Pod", "namespace": "azure-alb-system", "name": POD}})
    }

    fn handshake(detail: &str) -> Facts {
        Facts::sample()
            .expecting(200)
            .answered(503, "upstream_tls_handshake_failed")
            .over("")
            .detailed(detail)
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let restart = "kubectl rollout restart deployment/alb-controller-istio-extension -n azure-alb-system";
        let backend = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";
        vec![
            provoked(
                "controller-missing",
                POD,
                found(
                    "ALBControllerMissing",
                    "ALB Controller is missing: the Deployment \
                alb-controller does not exist in azure-alb-system. Install the chart alb-controller; this extension then \
                goes on by itself.",
                ),
            ),
            provoked(
                "istio-missing",
                POD,
                found(
                    "IstioMissing",
                    &format!(
                        "No Istio sidecar in this pod, and no Istio in \
                this cluster (no Deployment labelled app=istiod). Install Istio 1.24 or later, then: {restart}"
                    ),
                ),
            ),
            provoked(
                "extension-without-sidecar",
                POD,
                found(
                    "SidecarMissing",
                    &format!(
                        "No Istio sidecar in this pod, \
                though Istio is installed (Deployment istiod in istio-system): the pod is older than Istio's injector. \
                Run: {restart}."
                    ),
                ),
            ),
            provoked(
                "istio-too-old",
                POD,
                found(
                    "IstioTooOld",
                    &format!(
                        "Istio 1.23.5 (Deployment istiod in \
                istio-system) is too old. Upgrade Istio to 1.24 or later, then: {restart}"
                    ),
                ),
            ),
            provoked(
                "istio-add-on-unsupported",
                POD,
                found(
                    "IstioAddOnUnsupported",
                    &format!(
                        "Only the AKS Istio add-on \
                is installed (Deployment istiod-asm-1-25 in aks-istio-system), and it is not supported. Install \
                open-source Istio 1.24 or later, then: {restart}"
                    ),
                ),
            ),
            provoked(
                "certificate-expired",
                backend,
                handshake(
                    "waiting for the response: connection error: received fatal \
                alert: CertificateExpired",
                ),
            ),
            provoked(
                "certificate-not-trusted",
                backend,
                handshake(
                    "TLS handshake with 10.244.0.9:3000: invalid peer \
                certificate: UnknownIssuer",
                ),
            ),
        ]
    }

    #[test]
    fn what_the_extension_found_before_it_was_integrated_does_not_count() {
        let mut later = event("Integrated", "");
        later["eventTime"] = "2026-11-23T16:00:01.000000Z".into();
        let facts = found("IstioMissing", "").with("events", json!([event("IstioMissing", ""), later]));
        assert_eq!(not_integrated(&facts), None);
        let gone = found("IstioMissing", "").with("pods", json!([]));
        assert_eq!(not_integrated(&gone), None, "a pod that is no more has nothing to say");
    }

    #[test]
    fn a_certificate_that_the_sidecar_does_not_renew_is_named() {
        let mut facts = Facts::sample();
        facts.claim.word = "pods".into();
        let pod = json!([{"metadata": {"namespace": "azure-alb-system", "name": POD},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}}]);
        let line = "2026-11-23T16:00:00Z WARN the certificate expired at 2026-11-23T15:59:00Z and the sidecar has not \
            renewed it: see the log of container istio-proxy";
        let facts =
            facts.with("pods", pod).logged("azure-alb-system", POD, "alb-controller-istio-extension", line);
        let diagnosis = certificate_expired(&facts).unwrap();
        assert!(diagnosis.title.contains(POD) && diagnosis.because[0].contains("15:59:00Z"), "{diagnosis:?}");
    }

    #[test]
    fn either_side_of_a_handshake_can_be_at_fault() {
        let title = |detail: &str| {
            let facts = handshake(detail);
            certificate_expired(&facts).or_else(|| not_trusted(&facts)).map(|diagnosis| diagnosis.title)
        };
        let expired = "TLS handshake with 10.244.0.9:3000: invalid peer certificate: certificate expired: verification \
            time 1700000000 (UNIX), but certificate is not valid after 1699999999 (1 seconds ago)";
        assert!(title(expired).unwrap().starts_with("the certificate of the pod"));
        let refused = "waiting for the response: connection error: received fatal alert: UnknownCA";
        assert!(title(refused).unwrap().ends_with("does not trust the gateway's certificate"));
        assert_eq!(
            title("TLS handshake with 10.244.0.9:3000: received corrupt message of type InvalidContentType"),
            None
        );
    }
}
