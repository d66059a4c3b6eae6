//! `clear-text-refused`, `clear-text-answered`: a client outside the mesh asks the pod itself, in clear text.
//!
//! The control of every mutual TLS claim. Under STRICT the sidecar closes the connection (a reset; a
//! refused connection or silence would prove nothing: nobody may be listening). Under PERMISSIVE, 200.

use kube::Client;
use serde_json::json;

use super::{
    backend::{self, BackendPod},
    nothing_to_see, testimony,
};
use crate::{
    event::Testimony,
    ports::{PortError, WitnessContext},
    probe::{Answer, Ask, FailureKind, Prober, Vantage, deployment_of},
};

pub(super) const REFUSED: &str = "clear-text-refused";
pub(super) const ANSWERED: &str = "clear-text-answered";

/// Requests to each pod; all must agree.
const REQUESTS: usize = 3;

pub(super) async fn hear(
    client: &Client,
    prober: &Prober,
    witness: &str,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let pods = backend::pods(client, context.namespace_of_backend(), &context.backend).await?;
    let mut asked = Vec::new();
    for pod in pods {
        for _ in 0..REQUESTS {
            let answer = prober.send(Vantage::Plain, &Ask::straight(pod.address, &context.path)).await?;
            asked.push((pod.clone(), answer));
        }
    }
    Ok(judge(witness, context, &asked))
}

/// What the answers of the pods amount to.
fn judge(witness: &str, context: &WitnessContext, asked: &[(BackendPod, Answer)]) -> Testimony {
    if asked.is_empty() {
        let service = format!("{}/{}", context.namespace_of_backend(), context.backend);
        return nothing_to_see(witness, format!("there is no ready pod behind Service {service} to ask"));
    }
    let detail: Vec<_> = asked
        .iter()
        .map(|(pod, answer)| json!({"pod": pod.name, "address": pod.address, "answer": answer.summary()}))
        .collect();
    let wanted = |answer: &Answer| match witness {
        REFUSED => answer.status.is_none() && failure(answer) == Some(FailureKind::Reset),
        _ => answer.complete() == Some(200),
    };
    let (held, (pod, answer)) = match asked.iter().find(|(_, answer)| !wanted(answer)) {
        Some(against) => (false, against),
        None => (true, &asked[0]),
    };
    let workload = deployment_of(&pod.name).unwrap_or(&pod.name);
    let summary = match (answer.complete(), failure(answer)) {
        (Some(status), _) => {
            format!("a clear-text client outside the mesh got {status} straight from {workload}")
        }
        (None, Some(kind)) => {
            format!("a clear-text client outside the mesh, straight at {workload}, got no answer ({kind})")
        }
        (None, None) => {
            format!("a clear-text client outside the mesh, straight at {workload}, got no answer")
        }
    };
    testimony(witness, held, summary, json!(detail))
}

fn failure(answer: &Answer) -> Option<FailureKind> {
    answer.failure.as_ref().map(|failure| failure.kind)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(answers: &[Answer]) -> Vec<(BackendPod, Answer)> {
        let pod = BackendPod {
            namespace: "isto-example-namespace".into(),
            name: "backend-v1-6c8f9d7b54-q2w8z".into(),
            address: "10.244.0.17:3000".parse().unwrap(),
            service_account: "default".into(),
            sidecar: true,
        };
        answers.iter().map(|answer| (pod.clone(), answer.clone())).collect()
    }

    fn failed(kind: FailureKind) -> Answer {
        Answer::failed(Vantage::Plain, kind, "recorded", Duration::from_millis(2))
    }

    fn status(status: u16) -> Answer {
        Answer { status: Some(status), failure: None, ..failed(FailureKind::Other) }
    }

    fn held(witness: &str, answers: &[Answer]) -> bool {
        judge(witness, &WitnessContext::default(), &asked(answers)).held
    }

    #[test]
    fn a_reset_is_a_refusal() {
        let testimony = judge(REFUSED, &WitnessContext::default(), &asked(&[failed(FailureKind::Reset)]));
        assert!(testimony.held);
        assert_eq!(
            testimony.summary,
            "a clear-text client outside the mesh, straight at backend-v1, got no answer (reset)"
        );
    }

    #[test]
    fn nobody_listening_or_silence_proves_no_refusal() {
        assert!(!held(REFUSED, &[failed(FailureKind::Refused)]));
        assert!(!held(REFUSED, &[failed(FailureKind::Timeout)]));
        assert!(!held(REFUSED, &[]));
    }

    #[test]
    fn one_answer_among_resets_is_against_it() {
        let testimony =
            judge(REFUSED, &WitnessContext::default(), &asked(&[failed(FailureKind::Reset), status(200)]));
        assert!(!testimony.held);
        assert!(testimony.summary.contains("got 200 straight from backend-v1"), "{}", testimony.summary);
    }

    #[test]
    fn answered_means_200_every_time() {
        assert!(held(ANSWERED, &[status(200), status(200)]));
        assert!(!held(ANSWERED, &[status(200), failed(FailureKind::Reset)]));
        assert!(!held(ANSWERED, &[status(503)]));
        assert!(!held(ANSWERED, &[Answer { status: Some(200), ..failed(FailureKind::Reset) }]), "cut off");
        assert!(!held(ANSWERED, &[]));
    }
}
