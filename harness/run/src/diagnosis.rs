//! From what was collected to a named cause.
//!
//! A pure function: facts in, [`Diagnosis`] out. Rules are tried in order, from what stops everything else
//! (an image that is missing) to what only shows in the answers; the first that recognises the facts wins.
//! Ids are stable: scenarios that break the world on purpose require them.

mod account;
mod attachment;
mod backend;
mod backend_tls;
mod beyond;
mod creating;
mod data_plane;
mod extension;
mod facts;
mod gateway;
mod held;
mod inbound;
mod istio;
mod known;
mod mesh;
mod names;
mod other_backend;
mod peer;
mod pods;
mod programmed;
mod route;
mod selector;
mod starting;
mod suspects;
mod towards;
mod wire;
mod writers;

pub use self::facts::{Answerer, Claim, Facts, Log, Mesh};
pub use self::names::{Names, Program};
use meshproof_model::event::Diagnosis;
use meshproof_model::implementation::FINDING_IDS;

/// A rule: the ids of the causes it knows, and the cause, if the facts show one.
struct Rule {
    ids: &'static [&'static str],
    recognise: fn(&Facts) -> Option<Diagnosis>,
    /// It rests on how the gateway has answered requests: where nothing was asked, or others asked, that is no cause.
    of_answers: bool,
}

const fn rule(ids: &'static [&'static str], recognise: fn(&Facts) -> Option<Diagnosis>) -> Rule {
    Rule { ids, recognise, of_answers: false }
}

/// A rule about answers. It is asked only where the claim is about answers, too.
const fn of_answers(ids: &'static [&'static str], recognise: fn(&Facts) -> Option<Diagnosis>) -> Rule {
    Rule { ids, recognise, of_answers: true }
}

/// Every rule, in the order in which they are tried.
const RULES: &[Rule] = &[
    // Who wrote, as the API server noted it: whatever else is wrong, this was.
    rule(&["second-writer"], writers::second_writer),
    // Pods that are not there, or do not start.
    rule(creating::REFUSED, creating::pods_refused),
    rule(&["node-not-ready"], creating::node_not_ready),
    rule(&["image-missing"], pods::image_missing),
    rule(&["pod-unschedulable"], starting::unschedulable),
    rule(&["pod-evicted"], starting::evicted),
    rule(&["volume-not-mounted"], starting::volume_not_mounted),
    rule(&["container-config-missing"], starting::config_missing),
    rule(&["out-of-memory"], starting::out_of_memory),
    rule(&["container-crashes"], starting::crashes),
    rule(&["listener-rejected"], istio::listener_rejected),
    rule(&["istiod-not-ready"], istio::istiod_not_ready),
    // What was asked for, and is refused.
    rule(&["wrong-class"], gateway::wrong_class),
    rule(&["controller-not-running"], data_plane::controller_not_running),
    rule(&["load-balancer-missing"], gateway::load_balancer_missing),
    rule(&["listener-not-accepted"], gateway::listener_not_accepted),
    rule(&["listener-name-differs"], gateway::listener_name_differs),
    rule(&["configuration-refused"], data_plane::configuration_refused),
    rule(route::REFUSED, route::refused),
    rule(&["backend-not-found"], route::backend_not_found),
    rule(&["backend-port-missing"], route::backend_port_missing),
    rule(attachment::NOT_ACCEPTED, attachment::not_accepted),
    rule(&["ingress-not-supported"], attachment::ingress),
    of_answers(&["route-missing"], attachment::missing),
    of_answers(&["no-matching-rule"], attachment::no_matching_rule),
    // TLS and the mesh.
    of_answers(&["backend-tls-policy-not-usable"], backend_tls::policy_not_usable),
    of_answers(&["backend-not-verified"], backend_tls::backend_not_verified),
    rule(&FINDING_IDS, extension::not_integrated),
    rule(&["certificate-expired"], extension::certificate_expired),
    of_answers(&["certificate-not-trusted"], extension::not_trusted),
    of_answers(&["no-client-certificate"], mesh::no_client_certificate),
    of_answers(mesh::OTHER_IDENTITY, mesh::upstream_identity_mismatch),
    // Who answered, and how the request came to him.
    of_answers(&["answer-of-no-backend"], beyond::no_backend),
    rule(&["namespace-label-missing"], mesh::namespace_label_missing),
    rule(&[], towards::pods_without_sidecars),
    of_answers(&["gateway-sends-clear-text"], beyond::clear_text),
    of_answers(beyond::STRICT, beyond::strict_remains),
    of_answers(&[], beyond::keeps_old_policy),
    of_answers(&["gateway-sends-istio-alpn"], beyond::istio_alpn),
    of_answers(&["identity-not-checked"], beyond::identity_not_checked),
    of_answers(other_backend::WRONG_BACKEND, other_backend::wrong_backend),
    // The backend itself.
    of_answers(&["backend-scaled-to-zero"], backend::scaled_to_zero),
    of_answers(&["selector-matches-nothing"], backend::selector_matches_nothing),
    of_answers(&["wrong-port-name"], backend::wrong_port_name),
    of_answers(&["nothing-listens"], backend::nothing_listens),
    // What lies between the gateway and the program.
    of_answers(towards::BROKEN, towards::singled_out),
    of_answers(&["upstream-timeout"], backend::too_slow),
    // What is seen when nothing more is known.
    of_answers(&["programmed-before-served"], programmed::before_served),
    rule(&["readiness-probe-fails"], starting::probe_fails),
    rule(&["no-proxy"], data_plane::no_proxy),
    rule(&["no-address"], gateway::no_address),
    rule(&["pod-not-ready"], pods::pod_not_ready),
];

/// Ids of every cause that can be recognised without a pack's own.
pub fn causes() -> impl Iterator<Item = &'static str> {
    RULES.iter().flat_map(|rule| rule.ids.iter().copied())
}

/// The cause that the facts name. Never silent: without one, `unknown` says where to look.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    // Who knows this world better is asked first.
    if let Some(known) = known::recognise(facts) {
        return known;
    }
    let mut rules = RULES.iter().filter(|rule| !rule.of_answers || facts.claim.is_about_answers());
    rules.find_map(|rule| (rule.recognise)(facts)).unwrap_or_else(|| unknown(facts))
}

fn unknown(facts: &Facts) -> Diagnosis {
    let mut because: Vec<String> = facts
        .accounts()
        .next_back()
        .filter(|_| facts.claim.is_about_answers())
        .map(|entry| format!("the gateway's last word: {} ({})", entry.status, entry.reason))
        .into_iter()
        .collect();
    let candidates = towards::broken(facts);
    because.extend(
        candidates.iter().map(|candidate| format!("it may be that {} ({})", candidate.title, candidate.id)),
    );
    because.extend(evidence(facts));
    because.extend(facts.warnings().into_iter().take(3));
    let title = match candidates.is_empty() {
        true => "nothing in the evidence names a cause that is known here",
        false => "the evidence fits several causes, and singles out none of them",
    };
    diagnosis(
        "unknown",
        title,
        because,
        "read access-log.jsonl (which hop answered, and why), then the objects' conditions and events in the evidence",
    )
}

/// What was seen of the way to the backend, which nobody has made a cause of.
fn evidence(facts: &Facts) -> Vec<String> {
    if facts.claim.backend.is_empty() || facts.claim.expected_status.is_none() {
        return Vec::new();
    }
    let seen = wire::last(facts).map(|came| came.said);
    let decided = inbound::decided(facts, |_| true).map(|(pod, port, effective)| {
        let by = effective.by.map_or("Istio's default".to_owned(), |by| by.in_words());
        format!("{by} makes port {port} of pod {} {}", facts::name_of(pod), effective.mode.word())
    });
    let meddlers = inbound::pods(facts).first().map(|pod| inbound::meddlers(facts, pod)).unwrap_or_default();
    seen.into_iter().chain(decided).chain(meddlers.into_iter().take(2)).collect()
}

/// A reason longer than this is cut: the whole of it stands in the evidence.
const LONGEST: usize = 260;

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_string(),
    }
}

/// Builds a diagnosis.
fn diagnosis(
    id: &str,
    title: impl Into<String>,
    because: impl IntoIterator<Item = String>,
    next: impl Into<String>,
) -> Diagnosis {
    Diagnosis {
        id: id.into(),
        title: title.into(),
        because: because.into_iter().map(|reason| shortened(&reason)).collect(),
        next: next.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Facts that must be recognised as a cause, and the object its sentence must name.
    pub(super) struct Provoked {
        id: &'static str,
        object: &'static str,
        facts: Facts,
    }

    pub(super) fn provoked(id: &'static str, object: &'static str, facts: Facts) -> Provoked {
        Provoked { id, object, facts }
    }

    fn all() -> Vec<Provoked> {
        let modules = [
            attachment::tests::all(),
            backend::tests::all(),
            backend_tls::tests::all(),
            beyond::tests::all(),
            creating::tests::all(),
            data_plane::tests::all(),
            extension::tests::all(),
            gateway::tests::all(),
            istio::tests::all(),
            mesh::tests::all(),
            other_backend::tests::all(),
            pods::tests::all(),
            programmed::tests::all(),
            route::tests::all(),
            starting::tests::all(),
            towards::tests::all(),
            writers::tests::all(),
        ];
        modules.into_iter().flatten().collect()
    }

    #[test]
    fn every_cause_is_provoked_and_said_in_a_sentence_with_the_objects_name() {
        for Provoked { id, object, facts } in all() {
            let diagnosis = diagnose(&facts);
            assert_eq!(diagnosis.id, id, "{diagnosis:?}");
            assert!(diagnosis.title.contains(object), "{id} does not name {object}: {}", diagnosis.title);
            assert!(!diagnosis.because.is_empty() && !diagnosis.next.is_empty(), "{diagnosis:?}");
        }
        let provoked: BTreeSet<_> = all().iter().map(|provoked| provoked.id).collect();
        let known: BTreeSet<_> = causes().collect();
        assert_eq!(provoked, known, "each cause has evidence that provokes it, and the other way round");
        assert_eq!(known.len(), causes().count(), "ids are there once");
        assert!(known.len() >= 20, "{}", known.len());
    }

    /// The facts of a claim about something else, made while requests of others are answered so.
    fn of_another_claim(word: &str, mut facts: Facts) -> Facts {
        let Claim { namespace, scenario_namespace, scenario_since, since, .. } =
            std::mem::take(&mut facts.claim);
        facts.claim = Claim {
            word: word.into(),
            namespace,
            scenario_namespace,
            scenario_since,
            since,
            ..Claim::default()
        };
        facts
    }

    #[test]
    fn what_others_were_answered_is_no_cause_of_a_claim_that_is_not_about_answers() {
        let of_answers: BTreeSet<_> =
            RULES.iter().filter(|rule| rule.of_answers).flat_map(|rule| rule.ids).collect();
        for word in ["status", "pods", "value", "event", "leads", "absent", "install", "apply"] {
            for Provoked { id, facts, .. } in all() {
                let diagnosis = diagnose(&of_another_claim(word, facts));
                assert!(!of_answers.contains(&diagnosis.id.as_str()), "{word}, {id}: {diagnosis:?}");
                let quoted = diagnosis.because.iter().find(|because| because.contains("the gateway's l"));
                assert_eq!(quoted, None, "{word}, {id}: {diagnosis:?}");
            }
        }
    }

    #[test]
    fn a_request_for_what_is_not_there_is_no_cause_of_a_wrong_status() {
        let mut facts = Facts::sample().answered(404, "no_route");
        facts.objects.get_mut("httproutes").unwrap()[0]["spec"]["parentRefs"] =
            serde_json::json!([{"name": "gateway-01"}]);
        assert_eq!(diagnose(&facts.clone().expecting(200)).id, "no-matching-rule");
        assert_eq!(diagnose(&of_another_claim("status", facts)).id, "unknown");
    }

    #[test]
    fn without_a_known_cause_it_says_where_to_look() {
        let diagnosis = diagnose(&Facts::default());
        assert_eq!(diagnosis.id, "unknown");
        assert!(diagnosis.next.contains("access-log.jsonl"));
    }

    #[test]
    fn an_unknown_cause_still_tells_the_gateways_last_word() {
        let facts = Facts::sample().expecting(200).answered(500, "overloaded");
        let diagnosis = diagnose(&facts);
        assert_eq!((diagnosis.id.as_str(), diagnosis.because.len()), ("unknown", 2));
        assert!(diagnosis.because[0].contains("500 (overloaded)"));
        assert!(
            diagnosis.because[1].contains("isto-example-namespace/default (spec.mtls.mode) makes port 8080")
        );
    }
}
