//! Causes of an answer that should not have been given, or should have come from somebody else.
//!
//! An unexpected 200 has many parents: a policy that is still there, clear text, an Istio ALPN, a certificate that nobody
//! looked at, another backend, no backend at all. Which it was shows in who answered, how the request came to him, and what
//! his sidecar does; where these do not say, no cause is named.

use serde_json::Value;

use super::{
    Facts,
    account::account,
    diagnosis,
    facts::{Answerer, items, name_of, text},
    held,
    inbound::{self, Membership},
    peer::{Mode, Reach},
    towards::stale,
    wire::{self, How},
};
use crate::probe::{replayed::REPLAYED, request_id::untraced};
use meshproof_model::event::Diagnosis;

/// Something else than 200 was expected, and 200 came.
fn unexpected_success(facts: &Facts) -> bool {
    facts.claim.expected_status.is_some_and(|status| status != 200) && facts.claim.last_status == Some(200)
}

/// The pod that says it gave the last answer.
pub(super) fn answerer(facts: &Facts) -> Option<(&Answerer, Option<&Value>)> {
    let answerer = facts.claim.answered_by.as_ref()?;
    Some((answerer, facts.get("pods", &answerer.namespace, &answerer.pod)))
}

/// `gateway-sends-clear-text`: to a pod of a labelled namespace, whatever was answered.
pub(super) fn clear_text(facts: &Facts) -> Option<Diagnosis> {
    if inbound::membership(facts)? != Membership::Enabled {
        return None;
    }
    let came = wire::clear_text(facts)?;
    let answered = facts.claim.last_status.map(|status| format!("the client was answered {status} last"));
    Some(diagnosis(
        "gateway-sends-clear-text",
        format!(
            "Gateway {}/{} sends clear text to {}/{}, whose namespace is labelled istio-injection: enabled",
            facts.claim.namespace,
            facts.claim.gateway,
            facts.claim.namespace_of_backend(),
            facts.claim.backend
        ),
        [came.said].into_iter().chain(answered),
        "let the gateway speak mutual TLS to labelled namespaces and nothing else: answer 503 where that fails",
    ))
}

/// `answer-of-no-backend`: nobody behind the gateway can have given this answer.
pub(super) fn no_backend(facts: &Facts) -> Option<Diagnosis> {
    let claim = &facts.claim;
    if claim.last_status != Some(200) || claim.backend.is_empty() {
        return None;
    }
    let why = match answerer(facts) {
        _ if claim.against.as_deref() == Some(REPLAYED) => claim.seen.clone(),
        Some((answerer, None)) => invented(facts, answerer)?,
        Some((_, Some(pod))) => {
            let id = unheard_of(facts, &[pod])?;
            format!(
                "the answer says that pod {} gave it, and its program, which writes down each request, got none of id {id}",
                name_of(pod)
            )
        }
        None if facts.objects.contains_key("pods") && inbound::pods(facts).is_empty() => format!(
            "Service {}/{} has no pod that could have answered",
            claim.namespace_of_backend(),
            claim.backend
        ),
        None => {
            let id = unheard_of(facts, &inbound::pods(facts))?;
            format!(
                "the answer says nothing of a backend, and no program behind the Service, which write down each request, got one of id {id}"
            )
        }
    };
    Some(diagnosis(
        "answer-of-no-backend",
        format!("Gateway {}/{} answers 200 by itself", claim.namespace, claim.gateway),
        [why, account(facts)],
        "see what in the gateway answers in the backend's place: a cache, a page of its own, a test setting",
    ))
}

/// A pod that is not there, and of whose workload there is no trace, never was.
fn invented(facts: &Facts, answerer: &Answerer) -> Option<String> {
    let Answerer { namespace, pod, .. } = answerer;
    // Pods of namespaces that were not looked into are not known, and those of a ReplicaSet come and go.
    let looked = facts.of("pods", namespace).next().is_some();
    let of_known = |replica_set: &Value| {
        pod.strip_prefix(text(&replica_set["metadata"]["name"])).is_some_and(|rest| rest.starts_with('-'))
    };
    let told = facts.of("events", namespace).any(|event| event["involvedObject"]["name"] == pod.as_str());
    (looked && !told && !facts.of("replicasets", namespace).any(of_known))
        .then(|| format!("the answer says that pod {namespace}/{pod} gave it, and there is no such pod"))
}

/// A log with so many requests may be cut: who collects evidence keeps a thousand lines of each for the rules.
const MOST_LINES: usize = 900;

/// The id of the last request, if the programs of these pods, each of which writes down the requests it gets, have not got it.
fn unheard_of(facts: &Facts, pods: &[&Value]) -> Option<String> {
    let id = facts.claim.last_request.as_deref()?;
    let of = |pod: &Value| -> Vec<String> {
        let logs = facts.logs.iter().filter(|log| log.container != inbound::SIDECAR && log.is_of(pod));
        let requests = logs
            .flat_map(|log| &log.lines)
            .filter_map(|line| Some(wire::entry(line)?["request"].as_str()?.to_owned()));
        requests.map(|request| untraced(&request)).collect()
    };
    let got: Vec<Vec<String>> = pods.iter().map(|pod| of(pod)).collect();
    // Where a log may have lost its beginning, what it does not hold shows nothing.
    let all_write = !got.is_empty() && got.iter().all(|requests| (1..MOST_LINES).contains(&requests.len()));
    (all_write && !got.iter().flatten().any(|known| known == id)).then(|| id.to_owned())
}

/// Ids of [`strict_remains`].
pub(super) const STRICT: &[&str] = &["mesh-wide-strict", "strict-remains"];

/// A PeerAuthentication keeps the port STRICT where that was to end.
pub(super) fn strict_remains(facts: &Facts) -> Option<Diagnosis> {
    if !unexpected_success(facts) {
        return None;
    }
    let (pod, port) = answering_port(facts)?;
    let effective = super::peer::effective(facts, pod, port);
    let by = effective.by.filter(|_| effective.mode == Mode::Strict)?;
    // Under STRICT clear text is not understood: what was answered came as mutual TLS. But the sidecar must keep to it, and
    // the answer must have been meant to end with the policy.
    let keeps = held::held(facts, pod, port).is_none_or(|held| held.mode == Mode::Strict);
    let clear = wire::last(facts).is_some_and(|came| came.how == How::ClearText);
    let reason = facts.claim.expected_reason.as_deref();
    let deleted = facts.claim.deleted.iter().find(|object| object.starts_with("peerauthentication/"));
    let meant = match by.reach {
        Reach::Mesh => {
            reason.is_none_or(|reason| reason == "upstream_tls_handshake_failed") || deleted.is_some()
        }
        _ => reason == Some("upstream_tls_handshake_failed") || deleted.is_some(),
    };
    if !keeps || clear || !meant || super::backend::denying(facts).is_some() {
        return None;
    }
    let (id, reach) = match by.reach {
        Reach::Mesh => ("mesh-wide-strict", "the whole mesh".to_owned()),
        Reach::Namespace => ("strict-remains", "the namespace".to_owned()),
        Reach::Workload => ("strict-remains", format!("pod {}", name_of(pod))),
        Reach::Port => ("strict-remains", format!("port {port} of pod {}", name_of(pod))),
    };
    let mut because =
        vec!["under STRICT every mutual TLS of the mesh is accepted, whatever its ALPN".to_string()];
    because.extend(
        deleted.map(|deleted| format!("{deleted} was deleted before, and another policy decides now")),
    );
    because.extend(wire::last(facts).map(|came| came.said));
    let name = name_of(by.policy);
    Some(diagnosis(
        id,
        format!("{} still makes {reach} STRICT", by.in_words()),
        because,
        format!("delete PeerAuthentication {name} as well, or expect 200 to stay"),
    ))
}

/// The pod with a sidecar that gave the last answer, and its port that the sidecar took the request on.
fn answering_port(facts: &Facts) -> Option<(&Value, u64)> {
    let (_, pod) = answerer(facts)?;
    let pod = pod.filter(|pod| inbound::has_sidecar(pod))?;
    let port = inbound::ports(facts, pod).into_iter().find(|port| inbound::excluded(pod, *port).is_none())?;
    Some((pod, port))
}

/// `sidecar-out-of-date` of an answer that should have ended: the sidecar keeps a policy that is no more.
pub(super) fn keeps_old_policy(facts: &Facts) -> Option<Diagnosis> {
    let (pod, port) = answering_port(facts).filter(|_| unexpected_success(facts))?;
    let effective = super::peer::effective(facts, pod, port);
    stale(facts, pod, port, &effective).filter(|_| effective.mode != Mode::Strict)
}

/// `gateway-sends-istio-alpn`: 503 was expected, but a PERMISSIVE sidecar takes an Istio ALPN for the mesh's own mutual TLS.
pub(super) fn istio_alpn(facts: &Facts) -> Option<Diagnosis> {
    let (pod, port) = answering_port(facts).filter(|_| unexpected_success(facts))?;
    let effective = super::peer::effective(facts, pod, port);
    if effective.mode != Mode::Permissive {
        return None;
    }
    let held = held::held(facts, pod, port);
    if held.as_ref().is_some_and(|held| held.mode != Mode::Permissive) {
        return None;
    }
    let own = facts.accounts().rev().filter(|entry| entry.reason == "ok").find_map(|entry| {
        let alpn = entry.upstream_tls.as_ref()?.alpn.as_deref()?;
        let istio = alpn.split(',').any(|protocol| protocol.trim().starts_with("istio"));
        let pod = entry.upstream_pod.as_deref().unwrap_or("the backend");
        istio.then(|| format!("the gateway's log shows ALPN {alpn} with {pod}"))
    });
    // A connection that a PERMISSIVE sidecar took TLS off, and that began when it was PERMISSIVE, had an Istio ALPN.
    let by_sidecar = || {
        let since = held.as_ref().map(|held| held.since.as_str()).filter(|since| !since.is_empty())?;
        let all = wire::seen_by_sidecars(facts);
        let came =
            all.into_iter().rev().find(|came| came.how == How::MutualTls && came.time.as_str() > since)?;
        Some(format!(
            "{}, on a connection that began at {}, after its listener became PERMISSIVE at {since}",
            came.said, came.time
        ))
    };
    let mut because = vec![own.or_else(by_sidecar)?];
    because.push(match &effective.by {
        Some(by) => format!("{} makes port {port} of pod {} PERMISSIVE", by.in_words(), name_of(pod)),
        None => format!("no PeerAuthentication makes {} STRICT any more", facts.claim.namespace_of_backend()),
    });
    because.extend(
        test_flag(facts).map(|deployment| format!("Deployment {deployment} sets it by its test flag")),
    );
    Some(diagnosis(
        "gateway-sends-istio-alpn",
        format!(
            "Gateway {}/{} offers an Istio ALPN, which a PERMISSIVE sidecar still takes for the mesh's own mutual TLS",
            facts.claim.namespace, facts.claim.gateway
        ),
        because,
        "take the flag off the proxy (chart value dataPlane.testing.upstreamAlpn); for gateways that mean to offer it, \
         200 is the right expectation",
    ))
}

fn test_flag(facts: &Facts) -> Option<String> {
    let sets = |container: &Value| {
        let flags = items(&container["args"]).iter().any(|arg| text(arg).contains("upstream-alpn-for-tests"));
        let variables = items(&container["env"]).iter().any(|variable| {
            variable["name"] == "ALB_PROXY_UPSTREAM_ALPN_FOR_TESTS" && variable["value"] != ""
        });
        flags || variables
    };
    let deployments = facts.list("deployments").iter();
    let mut own = deployments
        .filter(|object| items(&object["spec"]["template"]["spec"]["containers"]).iter().any(sets));
    own.next().map(name_of)
}

/// `identity-not-checked`: the gateway was answered over TLS by a program of which it should have known that it is somebody
/// else. Only a pod that takes the gateway's TLS off itself can be that: for the others Istio has a certificate that is right.
pub(super) fn identity_not_checked(facts: &Facts) -> Option<Diagnosis> {
    let meant = facts.claim.expected_reason.as_deref();
    let about_identity = meant.is_none_or(|reason| {
        ["upstream_identity_mismatch", "upstream_tls_handshake_failed"].contains(&reason)
    });
    if !unexpected_success(facts) || !about_identity || inbound::membership(facts)? != Membership::Enabled {
        return None;
    }
    let (answerer, pod) = answerer(facts).filter(|(answerer, _)| answerer.over_tls)?;
    let pod = pod?;
    let own = !inbound::has_sidecar(pod)
        || inbound::ports(facts, pod).iter().any(|port| inbound::excluded(pod, *port).is_some());
    if !own {
        return None;
    }
    let service_account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let mounted: Vec<&str> = items(&pod["spec"]["volumes"])
        .iter()
        .filter_map(|volume| volume["secret"]["secretName"].as_str())
        .collect();
    let mut because = vec![format!(
        "the program of pod {} took the TLS off itself, without a sidecar, and its answer was passed on",
        name_of(pod)
    )];
    if !mounted.is_empty() {
        because.push(format!("its certificate is in Secret {}/{}", answerer.namespace, mounted.join(", ")));
    }
    Some(diagnosis(
        "identity-not-checked",
        format!(
            "Gateway {}/{} took pod {} for spiffe://{}/ns/{}/sa/{service_account} without a certificate that proves it",
            facts.claim.namespace,
            facts.claim.gateway,
            name_of(pod),
            facts.mesh.trust_domain,
            answerer.namespace
        ),
        because,
        "let the gateway verify the chain, the dates and the whole SPIFFE id of what the backend shows, and answer 503 else",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::diagnose;
    use crate::diagnosis::held::tests::dump;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "backend-v1-6c8f9d7b54-q2w8z";

    fn policy(namespace: &str) -> Value {
        json!([{"metadata": {"namespace": namespace, "name": "default"}, "spec": {"mtls": {"mode": "STRICT"}}}])
    }

    pub(in crate::diagnosis) fn answered_by(mut facts: Facts, pod: &str) -> Facts {
        facts.claim.last_status = Some(200);
        facts.claim.answered_by = Some(Answerer {
            namespace: "isto-example-namespace".into(),
            pod: pod.into(),
            ..Answerer::default()
        });
        facts
    }

    /// 503 was expected without the PeerAuthentication, and the backend answered 200.
    fn stayed(facts: Facts) -> Facts {
        let mut facts = answered_by(facts.expecting(503).answered(200, "ok"), POD);
        facts.claim.deleted = vec!["peerauthentication/default in isto-example-namespace".into()];
        facts
    }

    fn without_policy() -> Facts {
        Facts::sample().with("peerauthentications", json!([]))
    }

    fn tls_server() -> Facts {
        let mut facts = Facts::sample();
        facts.objects.get_mut("pods").unwrap()[0]["spec"] = json!({"containers": [{"name": "backend-v1"}],
            "volumes": [{"secret": {"secretName": "foreign-tls"}}]});
        let mut facts = answered_by(facts.expecting(503).answered(200, "ok").over(""), POD);
        facts.claim.answered_by.as_mut().unwrap().over_tls = true;
        facts.claim.expected_reason = Some("upstream_identity_mismatch".into());
        facts
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let name = "isto-example-namespace/gateway-01";
        let mut gone = Facts::sample().expecting(200);
        gone = answered_by(gone, "backend-v1-6c8f9d7b54-zzzzz");
        vec![
            provoked("gateway-sends-clear-text", name, stayed(without_policy()).over("clear text")),
            provoked("answer-of-no-backend", name, gone),
            provoked(
                "mesh-wide-strict",
                "istio-system/default",
                stayed(Facts::sample().with("peerauthentications", policy("istio-system"))),
            ),
            provoked(
                "strict-remains",
                "isto-example-namespace/default (spec.mtls.mode)",
                stayed(Facts::sample()).over(""),
            ),
            provoked("gateway-sends-istio-alpn", name, stayed(without_policy()).over("istio")),
            provoked("identity-not-checked", name, tls_server()),
        ]
    }

    #[test]
    fn a_policy_that_was_to_stay_is_not_to_blame() {
        // Refused for another reason than the want of mutual TLS: the document's own policy stands, as it should.
        let mut denied = answered_by(Facts::sample().expecting(503).answered(200, "ok").over(""), POD);
        denied.claim.expected_reason = Some("upstream_reset".into());
        assert_eq!(diagnose(&denied).id, "unknown");
        let mut nothing_deleted =
            answered_by(Facts::sample().expecting(503).answered(200, "ok").over(""), POD);
        assert_eq!(diagnose(&nothing_deleted).id, "unknown");
        nothing_deleted.claim.expected_reason = Some("no_client_certificate".into());
        assert_eq!(diagnose(&nothing_deleted).id, "unknown");
        assert_eq!(diagnose(&tls_server()).id, "identity-not-checked");
    }

    #[test]
    fn clear_text_beside_a_strict_policy_is_clear_text() {
        let mesh_wide = Facts::sample().with("peerauthentications", policy("istio-system"));
        assert_eq!(diagnose(&stayed(mesh_wide).over("clear text")).id, "gateway-sends-clear-text");
    }

    #[test]
    fn an_invented_answer_is_no_policys_fault() {
        let mut invented = stayed(Facts::sample().with("peerauthentications", policy("istio-system")));
        invented.access_log.clear();
        invented.claim.answered_by = None;
        assert_eq!(diagnose(&invented).id, "unknown", "nobody says who answered");
        invented.claim.answered_by = Some(Answerer {
            namespace: "isto-example-namespace".into(),
            pod: "backend-v1-1".into(),
            ..Answerer::default()
        });
        assert_eq!(diagnose(&invented).id, "answer-of-no-backend");
    }

    #[test]
    fn an_answer_in_the_name_of_a_pod_that_never_got_the_request_is_invented() {
        let mut facts = stayed(without_policy()).over("");
        facts.claim.last_request = Some("7".into());
        let log = |facts: Facts, line: &str| facts.logged("isto-example-namespace", POD, "backend-v1", line);
        let got = log(facts.clone(), r#"2026-11-23T16:00:00Z {"request": "7", "path": "/"}"#);
        assert_eq!(diagnose(&got).id, "unknown");
        let silent = log(facts.clone(), "2026-11-23T16:00:00Z listening");
        assert_eq!(diagnose(&silent).id, "unknown", "a program that writes nothing down");
        let other = log(facts, r#"2026-11-23T16:00:00Z {"request": "6", "path": "/"}"#);
        assert_eq!(diagnose(&other).id, "answer-of-no-backend");
        let mut nameless = other;
        nameless.claim.answered_by = None;
        assert_eq!(diagnose(&nameless).id, "answer-of-no-backend", "no backend says that it answered");
    }

    #[test]
    fn the_answer_of_a_pod_that_is_gone_since_is_no_invention() {
        let gone = answered_by(Facts::sample().expecting(200), "backend-v1-6c8f9d7b54-zzzzz");
        let of =
            json!([{"metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54"}}]);
        assert_eq!(diagnose(&gone).id, "answer-of-no-backend");
        assert_eq!(diagnose(&gone.with("replicasets", of)).id, "unknown");
    }

    #[test]
    fn a_port_that_another_policy_opens_is_not_strict() {
        let mut policies = policy("istio-system");
        policies.as_array_mut().unwrap().push(json!({"metadata": {"namespace": "isto-example-namespace", "name": "port"}, "spec":
            {"selector": {"matchLabels": {"app": "backend-v1"}}, "portLevelMtls": {"8080": {"mode": "PERMISSIVE"}}}}));
        let mut facts = Facts::sample().with("peerauthentications", policies);
        facts.objects.get_mut("pods").unwrap()[0]["metadata"]["labels"] = json!({"app": "backend-v1"});
        assert_eq!(diagnose(&stayed(facts)).id, "unknown", "clear text or an Istio ALPN: nothing tells");
    }

    #[test]
    fn without_a_gateways_log_a_connection_under_permissive_shows_the_alpn() {
        let mut facts = stayed(without_policy());
        facts.access_log.clear();
        facts.proxies = vec!["10.244.1.9".into()];
        facts.sidecars.insert(
            format!("isto-example-namespace/{POD}"),
            dump(8080, &[true, false], "2026-11-23T16:00:00.000Z"),
        );
        let line = |time: &str| {
            format!(r#"{time} {{"time": "{time}", "downstream_remote_address": "10.244.1.9:4000", "downstream_tls_version": "TLSv1.3",
                "downstream_peer_uri_san": "spiffe://cluster.local/ns/a/sa/b", "method": null}}"#).replace('\n', "")
        };
        let before = facts.clone().logged(
            "isto-example-namespace",
            POD,
            "istio-proxy",
            &line("2026-11-23T15:59:59.000Z"),
        );
        assert_eq!(diagnose(&before).id, "unknown", "a connection of before");
        let after =
            facts.logged("isto-example-namespace", POD, "istio-proxy", &line("2026-11-23T16:00:05.000Z"));
        assert_eq!(diagnose(&after).id, "gateway-sends-istio-alpn");
    }

    #[test]
    fn a_sidecar_that_keeps_the_deleted_policy_is_out_of_date() {
        let mut facts = stayed(without_policy()).over("");
        facts
            .sidecars
            .insert(format!("isto-example-namespace/{POD}"), dump(8080, &[true], "2026-11-23T15:00:00Z"));
        assert_eq!(diagnose(&facts).id, "sidecar-out-of-date");
    }

    #[test]
    fn without_an_istio_alpn_a_200_after_the_deletion_is_not_blamed_on_it() {
        for alpn in ["", "http/1.1", "h2"] {
            assert_eq!(diagnose(&stayed(without_policy()).over(alpn)).id, "unknown", "{alpn}");
        }
    }
}
