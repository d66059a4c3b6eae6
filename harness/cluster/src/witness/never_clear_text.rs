//! `never-clear-text`: whatever was answered, the gateway tried nothing but mutual TLS, and the program behind the sidecar
//! got no request that it was not to get (R18).
//!
//! The gateway's side is its access log, found by request id; of one that keeps none, others are heard instead, who need no word
//! of the gateway's ([`on_the_backends_side`]). The other side is the program itself, which writes down every
//! request, and every connection that began with TLS because no sidecar took it off. A gateway that fell back to clear text
//! would be answered 200, or show up there with a request that was answered otherwise, or that nobody was to send. So while
//! this witness is heard nobody but clients of the gateway may ask the program: no probes, no other witness that does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::{BackendPod, LOG_DELAY, RECENT, backend, mtls, nothing_to_see, testimony, tls_refused, trouble};
use crate::probe::ProxyLogs;
use meshproof_model::event::Testimony;
use meshproof_run::ports::{PortError, WitnessContext};
use meshproof_run::probe::AccessLogEntry;
use meshproof_run::probe::request_id::untraced;

pub(super) const NAME: &str = "never-clear-text";

/// How far back the programs' logs are read: less than the gateway's, so that it knows of each request in them.
const LOOKED_BACK: Duration = Duration::from_secs(60);

/// From one look at the programs' logs to the next, while requests are missing in them.
const LOOK: Duration = Duration::from_millis(250);

/// Everything the judgement rests on.
#[derive(Debug, Default)]
struct Facts {
    /// Request id and status of each answer.
    answers: Vec<(String, u16)>,
    /// The gateway's lines about the answers, by request id.
    accounts: BTreeMap<String, AccessLogEntry>,
    /// Ids of all requests that the gateway has answered 200 lately.
    answered: BTreeSet<String>,
    /// What the programs wrote.
    programs: Program,
}

/// What the programs behind a Service wrote down.
#[derive(Debug, Default)]
struct Program {
    /// Whether there is any program that writes.
    writes: bool,
    /// Request ids.
    requests: BTreeSet<String>,
    /// Requests without an id: the gateway gives each of its own one.
    nameless: usize,
    /// Whether TLS came as far as the program.
    tls: bool,
}

/// The witness that bears it out without the gateway's word, by the statuses of its answers; nothing if they differ.
pub(super) fn on_the_backends_side(answers: impl Iterator<Item = Option<u16>>) -> Option<&'static str> {
    let statuses: BTreeSet<_> = answers.collect();
    match statuses.into_iter().collect::<Vec<_>>()[..] {
        [Some(200)] => Some(mtls::NAME),
        [Some(503)] => Some(tls_refused::NAME),
        _ => None,
    }
}

pub(super) async fn hear(
    client: &Client,
    logs: ProxyLogs,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    // No answer at all is what there is before the frontend listens.
    let answers: Vec<_> = context.answers.iter().filter_map(|a| Some((a, a.status?))).collect();
    let known = answers.iter().filter_map(|(answer, status)| Some((answer.logged_as()?, *status)));
    let mut facts = Facts { answers: known.collect(), ..Facts::default() };
    let ids: Vec<String> = facts.answers.iter().map(|(id, _)| id.clone()).collect();
    facts.accounts = logs.accounts(&ids, RECENT, LOG_DELAY).await?;
    let pods = backend::pods(client, context.namespace_of_backend(), &context.backend).await?;
    facts.programs = wait(client, &pods, &facts.answers).await?;
    // After the programs' logs, so that none of their requests can be younger than what it holds.
    let recent = logs.recent(RECENT).await?.into_iter();
    facts.answered = recent.filter(|entry| entry.status == 200).map(|entry| entry.request_id).collect();
    Ok(judge(&facts, answers.len()))
}

/// Reads what the programs wrote until every request that was answered 200 is among it, or long enough.
async fn wait(client: &Client, pods: &[BackendPod], answers: &[(String, u16)]) -> Result<Program, PortError> {
    let deadline = Instant::now() + LOG_DELAY;
    let mut pace = interval(LOOK);
    loop {
        pace.tick().await;
        let mut programs = Program::default();
        for pod in pods {
            read(client, pod, &mut programs).await?;
        }
        if programs.has_all(answers) || Instant::now() >= deadline {
            return Ok(programs);
        }
    }
}

/// Reads what the programs of a pod wrote: each of its containers but the sidecar.
async fn read(client: &Client, pod: &BackendPod, program: &mut Program) -> Result<(), PortError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let name = format!("pod {}/{}", pod.namespace, pod.name);
    let object = pods.get(&pod.name).await.map_err(trouble(format!("reading {name}")))?;
    let containers = object.spec.into_iter().flat_map(|spec| spec.containers);
    for container in containers.map(|container| container.name).filter(|name| name != "istio-proxy") {
        let since_seconds = i64::try_from(LOOKED_BACK.as_secs()).ok();
        let parameters =
            LogParams { container: Some(container.clone()), since_seconds, ..LogParams::default() };
        let text = pods.logs(&pod.name, &parameters).await;
        let text = text.map_err(trouble(format!("reading the log of container {container} of {name}")))?;
        program.writes = true;
        text.lines().for_each(|line| program.take(line));
    }
    Ok(())
}

impl Program {
    fn take(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        match (line["request"].as_str(), line["path"].is_string()) {
            (Some(id), _) => drop(self.requests.insert(untraced(id))),
            (None, true) => self.nameless += 1,
            (None, false) => self.tls |= line["connection"]["begins_with"] == "tls",
        }
    }

    /// Whether each request that was answered 200 is among those it got.
    fn has_all(&self, answers: &[(String, u16)]) -> bool {
        answers.iter().all(|(id, status)| *status != 200 || self.requests.contains(id))
    }
}

fn judge(facts: &Facts, answers: usize) -> Testimony {
    if facts.answers.is_empty() || facts.answers.len() < answers {
        return nothing_to_see(
            NAME,
            "an answer without a request id: the gateway's account of it cannot be found",
        );
    }
    if !facts.programs.writes {
        return nothing_to_see(NAME, "there is no pod behind the Service whose program could tell");
    }
    let detail = json!({"tls_reached_the_program": facts.programs.tls});
    let against = facts.answers.iter().find_map(|(id, status)| against(facts, id, *status));
    if let Some(against) = against.or_else(|| uncalled_for(facts)) {
        return testimony(NAME, false, against, detail);
    }
    let tls = if facts.programs.tls {
        "; TLS came as far as the program behind the sidecar, clear text never did"
    } else {
        "; the program behind the sidecar got no request but those it answered"
    };
    testimony(NAME, true, format!("the gateway tried nothing but mutual TLS{tls}"), detail)
}

/// What speaks against one answer.
fn against(facts: &Facts, id: &str, status: u16) -> Option<String> {
    let Some(account) = facts.accounts.get(id) else {
        return Some(format!("the gateway's log has no line about request {id}"));
    };
    let mode = account.upstream_tls.as_ref().map_or("nothing", |tls| tls.mode.as_str());
    if mode != "mtls" {
        return Some(format!("request {id}: the gateway used {mode} to the backend, not mutual TLS"));
    }
    match (status, facts.programs.requests.contains(id)) {
        (200, false) => Some(format!("request {id} was answered 200, and the program knows nothing of it")),
        (200, true) | (_, false) => None,
        (other, true) => {
            Some(format!("request {id} was answered {other}, and yet the program got it in clear text"))
        }
    }
}

/// What the programs got besides the requests that were answered 200.
fn uncalled_for(facts: &Facts) -> Option<String> {
    let Program { requests, nameless, .. } = &facts.programs;
    let known = |id: &String| facts.answers.iter().any(|(known, status)| known == id && *status == 200);
    match requests.iter().find(|id| !known(id) && !facts.answered.contains(*id)) {
        Some(id) => Some(format!("the program got request {id}, and nobody was answered 200")),
        None if *nameless > 0 => Some(format!("the program got {nameless} requests without an id")),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_run::probe::UpstreamTls;

    fn facts(answers: &[(&str, u16)], mode: &str, log: &[&str]) -> Facts {
        let account = |id: &str| AccessLogEntry {
            request_id: id.to_owned(),
            upstream_tls: Some(UpstreamTls { mode: mode.to_owned(), ..UpstreamTls::default() }),
            ..AccessLogEntry::default()
        };
        let mut programs = Program { writes: true, ..Program::default() };
        log.iter().for_each(|line| programs.take(line));
        Facts {
            answers: answers.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect(),
            accounts: answers.iter().map(|(id, _)| ((*id).to_owned(), account(id))).collect(),
            answered: BTreeSet::new(),
            programs,
        }
    }

    fn heard(facts: &Facts) -> (bool, String) {
        let testimony = judge(facts, facts.answers.len());
        (testimony.held, testimony.summary)
    }

    const SEEN: &str = r#"{"request": "a", "path": "/"}"#;
    const TLS: &str =
        r#"{"connection": {"peer": "127.0.0.6:4711", "port": 3000, "begins_with": "tls", "alpn": []}}"#;

    #[test]
    fn mutual_tls_that_was_answered_or_refused_is_borne_out() {
        assert_eq!(
            heard(&facts(&[("a", 200)], "mtls", &["listening", SEEN])),
            (true, "the gateway tried nothing but mutual TLS; the program behind the sidecar got no request but those it answered".into())
        );
        assert_eq!(
            heard(&facts(&[("a", 503)], "mtls", &[TLS])),
            (true, "the gateway tried nothing but mutual TLS; TLS came as far as the program behind the sidecar, clear text never did".into())
        );
    }

    #[test]
    fn clear_text_shows_on_either_side() {
        let (held, why) = heard(&facts(&[("a", 200)], "none", &[SEEN]));
        assert!(!held && why.contains("used none"), "{why}");
        let (held, why) = heard(&facts(&[("a", 503)], "mtls", &[SEEN]));
        assert!(!held && why.contains("in clear text"), "{why}");
        let (held, why) = heard(&facts(&[("a", 200)], "mtls", &[]));
        assert!(!held && why.contains("knows nothing"), "{why}");
    }

    #[test]
    fn a_request_that_nobody_was_answered_shows_as_well() {
        let mut more = facts(&[("a", 200)], "mtls", &[SEEN, r#"{"request": "b", "path": "/"}"#]);
        let (held, why) = heard(&more);
        assert!(!held && why.contains("got request b, and nobody was answered 200"), "{why}");
        more.answered.insert("b".into());
        assert!(heard(&more).0, "an answer of before");
        let nameless = facts(&[("a", 503)], "mtls", &[TLS, r#"{"request": null, "path": "/"}"#]);
        let (held, why) = heard(&nameless);
        assert!(!held && why.contains("1 requests without an id"), "{why}");
    }

    #[test]
    fn a_log_is_waited_for_until_it_has_what_was_answered() {
        let answers = [("a".to_owned(), 200), ("b".to_owned(), 503)];
        let mut program = Program::default();
        assert!(!program.has_all(&answers));
        program.take(SEEN);
        assert!(program.has_all(&answers));
    }

    #[test]
    fn a_request_that_the_sidecar_traces_is_known_by_the_id_the_gateway_gave_it() {
        let traced = r#"{"request": "fdb09c67-f15a-9be2-8b86-5704aaec82de"}"#;
        assert!(heard(&facts(&[("fdb09c67-f15a-4be2-8b86-5704aaec82de", 200)], "mtls", &[traced])).0);
    }

    #[test]
    fn without_the_gateways_word_the_backends_side_is_asked() {
        let of = |statuses: &[Option<u16>]| on_the_backends_side(statuses.iter().copied());
        assert_eq!(of(&[Some(200), Some(200)]), Some("mtls-from-extension"));
        assert_eq!(of(&[Some(503)]), Some("tls-without-istio-alpn-refused"));
        for other in [&[Some(200), Some(503)][..], &[None], &[]] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

    #[test]
    fn nobody_to_ask_is_no_proof() {
        assert!(!heard(&facts(&[], "mtls", &[])).0);
        let mut silent = facts(&[("a", 503)], "mtls", &[]);
        silent.programs.writes = false;
        assert!(!heard(&silent).0);
        silent = facts(&[("a", 503)], "mtls", &[]);
        assert!(!judge(&silent, 2).held, "an answer without an id");
    }
}
