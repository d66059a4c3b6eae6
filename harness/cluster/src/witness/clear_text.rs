//! `clear-text-refused`, `clear-text-answered`: a client outside the mesh asks the pod itself, in clear text.
//!
//! The control of every mutual TLS claim. Under STRICT the sidecar closes the connection (a reset; a
//! refused connection or silence would prove nothing: nobody may be listening). Under PERMISSIVE, 200.
//!
//! The client is taken for nothing that it is not seen to be: before and after, it has no sidecar. And whatever closes a
//! connection is no sidecar: the pod has one, the same client reaches it on its port for probes, and its access log, where
//! it keeps one, tells that it turned this client away.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    LOG_DELAY,
    backend::{self, BackendPod},
    nothing_to_see, sidecar, testimony, trouble,
};
use crate::mesh::LogForm;
use crate::probe::Prober;
use meshproof_model::event::Testimony;
use meshproof_model::vantage::Vantage;
use meshproof_run::ports::{PortError, WitnessContext};
use meshproof_run::probe::{Answer, Ask, FailureKind, deployment_of};

pub(super) const REFUSED: &str = "clear-text-refused";
pub(super) const ANSWERED: &str = "clear-text-answered";

/// Requests to each pod; all must agree.
const REQUESTS: usize = 3;

/// Where every sidecar answers probes, in clear text and whatever the policies say.
const STATUS_PORT: u16 = 15021;
const READY: &str = "/healthz/ready";

/// From one look at a sidecar's log to the next.
const LOOK: std::time::Duration = std::time::Duration::from_millis(250);

/// What shows that it is a sidecar that refuses.
#[derive(Debug)]
struct Refusal {
    pod: BackendPod,
    /// What the same client is answered on the port for probes.
    probe: Answer,
    asked: usize,
    /// How often the sidecar's log tells that it turned the client away; nothing if it keeps none.
    told: Option<usize>,
}

/// The client outside the mesh: its pod's uid and address, or why it is not what it is taken for.
type Control = Result<(String, IpAddr), String>;

async fn control(client: &Client) -> Result<Control, PortError> {
    let namespace = Vantage::Plain.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default()).await;
    let list = list.map_err(trouble(format!("looking at the client's pod in {namespace}")))?;
    Ok(outside_the_mesh(&list.items))
}

/// Whether the one pod of the client is no member of the mesh.
fn outside_the_mesh(pods: &[Pod]) -> Control {
    let [pod] = pods else { return Err(format!("there are {} pods for the client, wanted one", pods.len())) };
    let injected = pod.annotations().contains_key("sidecar.istio.io/status");
    if injected || backend::has_sidecar(pod) {
        return Err("the client that is to be outside the mesh has a sidecar".into());
    }
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()?.parse().ok());
    let uid = pod.uid().unwrap_or_default();
    address.map(|address| (uid, address)).ok_or_else(|| "the client's pod has no address".into())
}

/// Asks the sidecar otherwise, and reads what it wrote of the client that asked `asked` times.
async fn refusal(
    client: &Client,
    prober: &Prober,
    form: &LogForm,
    pod: &BackendPod,
    (from, known): (IpAddr, usize),
) -> Result<Refusal, PortError> {
    let probes = SocketAddr::new(pod.address.ip(), STATUS_PORT);
    let probe = prober.send(Vantage::Plain, &Ask::straight(probes, READY)).await?;
    let refusal = |told| Refusal { pod: pod.clone(), probe: probe.clone(), asked: REQUESTS, told };
    if !form.tells_refusals() || !pod.sidecar {
        return Ok(refusal(None));
    }
    let deadline = Instant::now() + LOG_DELAY;
    let mut pace = interval(LOOK);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let told = turned_away(client, form, pod, from).await?.saturating_sub(known);
        if told >= REQUESTS || Instant::now() >= deadline {
            return Ok(refusal(Some(told)));
        }
    }
}

/// How often a sidecar has turned an address away.
async fn turned_away(
    client: &Client,
    form: &LogForm,
    pod: &BackendPod,
    from: IpAddr,
) -> Result<usize, PortError> {
    if !form.tells_refusals() || !pod.sidecar {
        return Ok(0);
    }
    let entries = sidecar::entries(client, pod, form).await?;
    Ok(entries.iter().filter(|entry| entry.turned_away() && entry.client() == Some(from)).count())
}

/// Why it is not shown that a sidecar refuses.
fn against(refusals: &[Refusal]) -> Option<String> {
    refusals.iter().find_map(|Refusal { pod, probe, asked, told }| {
        let workload = deployment_of(&pod.name).unwrap_or(&pod.name);
        if !pod.sidecar {
            return Some(format!("{workload} has no sidecar: whatever closed the connection was another program"));
        }
        if probe.complete() != Some(200) {
            let seen = probe.summary();
            return Some(format!("the client does not reach the sidecar of {workload} on its port for probes either: {seen}"));
        }
        told.filter(|told| told < asked).map(|told| {
            format!("the sidecar of {workload} tells of {told} of {asked} clear-text connections that it turned away")
        })
    })
}

pub(super) async fn hear(
    client: &Client,
    prober: &Prober,
    form: &LogForm,
    witness: &str,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    prober.pods().ensure(Vantage::Plain).await?;
    let (uid, from) = match control(client).await? {
        Ok(control) => control,
        Err(why) => return Ok(nothing_to_see(witness, why)),
    };
    let pods = backend::pods(client, context.namespace_of_backend(), &context.backend).await?;
    let mut asked = Vec::new();
    let mut known = Vec::new();
    for pod in &pods {
        known.push(if witness == REFUSED { turned_away(client, form, pod, from).await? } else { 0 });
        for _ in 0..REQUESTS {
            let answer = prober.send(Vantage::Plain, &Ask::straight(pod.address, &context.path)).await?;
            asked.push((pod.clone(), answer));
        }
    }
    let mut refusals = Vec::new();
    if witness == REFUSED {
        for (pod, known) in pods.iter().zip(known) {
            refusals.push(refusal(client, prober, form, pod, (from, known)).await?);
        }
    }
    match control(client).await? {
        Ok((same, _)) if same == uid => {}
        Ok(_) => return Ok(nothing_to_see(witness, "the client is another one than at the beginning")),
        Err(why) => return Ok(nothing_to_see(witness, why)),
    }
    let heard = judge(witness, context, &asked);
    Ok(match against(&refusals) {
        Some(why) if heard.held => testimony(witness, false, why, heard.detail),
        _ => heard,
    })
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
    // Whoever has the pod's address now, or answers for it, is no control.
    let another = asked.iter().find(|(pod, answer)| {
        witness == ANSWERED && wanted(answer) && answer.pod() != Some(pod.name.as_str())
    });
    if let Some((pod, answer)) = another {
        let workload = |name: &str| deployment_of(name).unwrap_or(name).to_owned();
        let summary = format!(
            "a clear-text client outside the mesh, straight at {}, got an answer of {}",
            workload(&pod.name),
            answer.pod().map_or("a program that does not say which pod it is in".to_owned(), workload)
        );
        return testimony(witness, false, summary, json!(detail));
    }
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
        by("backend-v1-6c8f9d7b54-q2w8z", status)
    }

    fn by(pod: &str, status: u16) -> Answer {
        let echo = meshproof_run::probe::Echo::parse(&json!({"pod": pod, "namespace": "n"}).to_string());
        Answer { status: Some(status), failure: None, echo, ..failed(FailureKind::Other) }
    }

    fn held(witness: &str, answers: &[Answer]) -> bool {
        judge(witness, &WitnessContext::default(), &asked(answers)).held
    }

    fn refused(change: impl FnOnce(&mut Refusal)) -> Option<String> {
        let (pod, _) = asked(&[status(200)]).remove(0);
        let mut refusal = Refusal { pod, probe: status(200), asked: 3, told: Some(3) };
        change(&mut refusal);
        against(&[refusal])
    }

    #[test]
    fn only_a_sidecar_that_is_seen_to_refuse_counts() {
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|refusal| refusal.told = None), None, "it keeps no log");
        assert!(refused(|refusal| refusal.told = Some(2)).unwrap().contains("tells of 2 of 3"));
        assert!(refused(|refusal| refusal.pod.sidecar = false).unwrap().contains("another program"));
        let silent = refused(|refusal| refusal.probe = failed(FailureKind::Timeout)).unwrap();
        assert!(silent.contains("on its port for probes either"), "{silent}");
    }

    #[test]
    fn a_client_with_a_sidecar_is_no_control() {
        let pod = |containers: serde_json::Value, annotations: serde_json::Value| -> Pod {
            let content = json!({
                "metadata": {"uid": "u", "annotations": annotations},
                "spec": {"containers": containers}, "status": {"podIP": "10.244.0.7"},
            });
            serde_json::from_value(content).unwrap()
        };
        let plain = || pod(json!([{"name": "probe"}]), json!({}));
        assert_eq!(outside_the_mesh(&[plain()]), Ok(("u".into(), "10.244.0.7".parse().unwrap())));
        assert!(outside_the_mesh(&[pod(json!([{"name": "istio-proxy"}]), json!({}))]).is_err());
        let injected = json!({"sidecar.istio.io/status": "{}"});
        assert!(outside_the_mesh(&[pod(json!([{"name": "probe"}]), injected)]).is_err());
        assert!(outside_the_mesh(&[]).is_err());
        assert!(outside_the_mesh(&[plain(), plain()]).is_err());
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

    #[test]
    fn an_answer_of_another_pod_is_no_control() {
        assert!(!held(ANSWERED, &[status(200), by("backend-v2-6c8f9d7b54-q2w8z", 200)]));
        assert!(!held(ANSWERED, &[by("backend-v1-6c8f9d7b54-zzzzz", 200)]), "a pod of the same Deployment");
        assert!(!held(ANSWERED, &[Answer { echo: None, ..status(200) }]), "somebody else's program");
    }
}
