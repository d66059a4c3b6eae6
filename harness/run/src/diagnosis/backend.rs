//! Causes that lie with the backend: its Service, its pods' ports, policies about who may ask it.

use serde_json::Value;

use super::{
    Facts,
    account::{account, failed},
    diagnosis,
    facts::{items, name_of, text},
    inbound::{self, selected, service},
    peer, selector, wire,
};
use meshproof_model::event::Diagnosis;

fn reason_is(facts: &Facts, reasons: &[&str]) -> bool {
    facts.last_account().is_some_and(|entry| reasons.contains(&entry.reason.as_str()))
}

/// `backend-scaled-to-zero`: nobody wants a pod of the backend.
pub(super) fn scaled_to_zero(facts: &Facts) -> Option<Diagnosis> {
    let deployment = facts.get("deployments", facts.claim.namespace_of_backend(), &facts.claim.backend)?;
    (reason_is(facts, &["no_endpoint"]) && deployment["spec"]["replicas"] == 0).then(|| {
        diagnosis(
            "backend-scaled-to-zero",
            format!("Deployment {} is scaled to 0", name_of(deployment)),
            ["the gateway's log gives the reason no_endpoint".to_owned()],
            format!(
                "kubectl -n {} scale deployment/{} --replicas 1",
                facts.claim.namespace_of_backend(),
                facts.claim.backend
            ),
        )
    })
}

/// `selector-matches-nothing`: the Service selects labels that no pod carries.
pub(super) fn selector_matches_nothing(facts: &Facts) -> Option<Diagnosis> {
    let service = service(facts).filter(|_| reason_is(facts, &["no_endpoint"]))?;
    let selector = service["spec"]["selector"].as_object()?;
    let mut others = facts.of("pods", facts.claim.namespace_of_backend()).peekable();
    if selected(facts, service).next().is_some() || others.peek().is_none() {
        return None;
    }
    let shown = |labels: &serde_json::Map<String, Value>| {
        labels.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
    };
    let carried = others.filter_map(|pod| {
        let labels = pod["metadata"]["labels"].as_object()?;
        let same_keys = labels.iter().filter(|(key, _)| selector.contains_key(*key));
        let labels = same_keys.map(|(key, value)| (key.clone(), value.clone())).collect();
        Some(format!("pod {} carries {}", name_of(pod), shown(&labels)))
    });
    Some(diagnosis(
        "selector-matches-nothing",
        format!("Service {} selects {}, which no pod carries", name_of(service), shown(selector)),
        carried.take(3),
        "make the Service's spec.selector and the labels of the Deployment's pod template meet",
    ))
}

/// `wrong-port-name`: the Service sends to a named port that no container has.
pub(super) fn wrong_port_name(facts: &Facts) -> Option<Diagnosis> {
    let service = service(facts).filter(|_| reason_is(facts, &["no_endpoint"]))?;
    let names = |pod: &Value| -> Vec<String> {
        let containers =
            items(&pod["spec"]["containers"]).iter().chain(items(&pod["spec"]["initContainers"]));
        containers.flat_map(|c| items(&c["ports"])).map(|port| text(&port["name"]).to_owned()).collect()
    };
    let pod = selected(facts, service).next()?;
    let offered = names(pod);
    let (port, target) = items(&service["spec"]["ports"]).iter().find_map(|port| {
        let target = port["targetPort"].as_str()?;
        (!offered.iter().any(|name| name == target)).then_some((port, target))
    })?;
    let offered: Vec<_> = offered.into_iter().filter(|name| !name.is_empty()).collect();
    let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
    Some(diagnosis(
        "wrong-port-name",
        format!(
            "Service {} sends port {} to a port named {target}, which its pods do not have",
            name_of(service),
            port["port"]
        ),
        [format!("named ports of pod {}: {offered}", name_of(pod))],
        "correct targetPort in the Service, or name the container's port",
    ))
}

/// `nothing-listens`: the pod is there, and refuses connections to the port. A gateway that asks the program itself says so;
/// behind a sidecar that takes the connection, the sidecar does.
pub(super) fn nothing_listens(facts: &Facts) -> Option<Diagnosis> {
    let by_gateway = || {
        let last = facts.last_account().filter(|entry| entry.reason == "upstream_connect_failed")?;
        let detail = last.rest.get("detail").and_then(Value::as_str)?;
        let refused =
            detail.contains("Connection refused").then(|| format!("the gateway's log: {detail}"))?;
        Some((last.upstream_pod.clone()?, refused))
    };
    let by_sidecar = || {
        wire::entries(facts).take(20).find_map(|(pod, entry)| {
            let flags = text(&entry["response_flags"]).split(',').any(|flag| flag == "UF");
            let port =
                text(&entry["upstream_cluster"]).strip_prefix("inbound|")?.split('|').next()?.to_owned();
            let said = format!("its sidecar's log: nobody takes connections to port {port} (UF)");
            flags.then(|| (name_of(pod), said))
        })
    };
    let (pod, because) = match facts.last_account().map(|entry| entry.reason.as_str()) {
        Some("upstream_connect_failed") => by_gateway()?,
        Some("upstream_reset") => by_sidecar()?,
        None if failed(facts) => by_sidecar()?,
        _ => return None,
    };
    Some(diagnosis(
        "nothing-listens",
        format!("nothing listens on the port of pod {pod} that Service {} sends to", facts.claim.backend),
        [because],
        "correct targetPort in the Service, or make the program listen there, on all addresses of the pod",
    ))
}

/// What a sidecar of the backend says of a request that it refused by an AuthorizationPolicy, since the claim began.
pub(super) fn denial(facts: &Facts) -> Option<String> {
    wire::entries(facts).find_map(|(_, entry)| {
        let said =
            ["connection_termination_details", "response_code_details"].map(|field| text(&entry[field]));
        said.into_iter().find(|said| said.contains("rbac_access_denied")).map(str::to_owned)
    })
}

/// The policy that, as far as it can be told, keeps the gateway out, by what it is to show; and whether that is certain.
pub(super) fn denying(facts: &Facts) -> Option<(&Value, bool)> {
    let identity = facts
        .last_account()
        .and_then(|entry| entry.upstream_tls.as_ref()?.client_identity.as_deref())
        .unwrap_or(&facts.identity);
    let pods = inbound::pods(facts);
    let namespaces = [facts.claim.namespace_of_backend(), facts.mesh.root_namespace.as_str()];
    let reaches = |policy: &Value| {
        let namespace = text(&policy["metadata"]["namespace"]);
        let select = &policy["spec"]["selector"];
        namespaces.contains(&namespace)
            && pods.iter().any(|pod| selector::takes(select, &pod["metadata"]["labels"]))
    };
    let policies = facts.list("authorizationpolicies").iter().filter(|policy| reaches(policy));
    let mut allowing: Vec<(&Value, bool)> = Vec::new();
    let mut denies_it = Vec::new();
    let mut admitted = false;
    for policy in policies {
        match policy["spec"]["action"].as_str().unwrap_or("ALLOW") {
            // Whoever one of them admits is admitted.
            "ALLOW" => match denies(policy, identity) {
                true => allowing.push((policy, true)),
                false => admitted = true,
            },
            "DENY" if denies(policy, identity) => denies_it.push((policy, !has_further_conditions(policy))),
            _ => {}
        }
    }
    let by_absence = allowing.into_iter().filter(|_| !admitted);
    denies_it.into_iter().chain(by_absence).next()
}

/// `authorization-denied`: an AuthorizationPolicy does not admit the gateway.
pub(super) fn authorization_denied(facts: &Facts) -> Option<Diagnosis> {
    let refused = match facts.last_account() {
        Some(last) => last.reason == "upstream_reset" || last.status == 403,
        None => failed(facts),
    };
    let said = denial(facts);
    // A policy with conditions that nobody looked at is named only if a sidecar says that it refused.
    let (policy, _) = denying(facts).filter(|(_, certain)| refused && (*certain || said.is_some()))?;
    // A policy is about whom a sidecar has let in: where none insists on mutual TLS, there is nobody it could know.
    if said.is_none() && inbound::decided(facts, |mode| mode == peer::Mode::Strict).is_none() {
        return None;
    }
    let last = facts.last_account();
    let identity = last.and_then(|entry| entry.upstream_tls.as_ref()?.client_identity.as_deref());
    let who = match identity {
        Some(identity) => format!("the gateway is {identity}"),
        None if facts.identity.is_empty() => "a gateway without an identity".to_owned(),
        None => format!("the gateway is to be {}", facts.identity),
    };
    let action = policy["spec"]["action"].as_str().unwrap_or("ALLOW");
    let said = said.map(|said| format!("a sidecar's log: {said}"));
    Some(diagnosis(
        "authorization-denied",
        format!("AuthorizationPolicy {} ({action}) does not admit the gateway", name_of(policy)),
        [who, account(facts)].into_iter().chain(said),
        "name the extension's identity among its principals (source.principals, without spiffe://), or take the policy away",
    ))
}

/// Whether a rule of a policy has conditions other than about who asks.
fn has_further_conditions(policy: &Value) -> bool {
    let of_source = |source: &Value| {
        let fields = source.as_object().into_iter().flatten();
        fields.into_iter().all(|(field, _)| field == "principals" || field == "notPrincipals")
    };
    items(&policy["spec"]["rules"]).iter().any(|rule| {
        !items(&rule["to"]).is_empty()
            || !items(&rule["when"]).is_empty()
            || !items(&rule["from"]).iter().all(|from| of_source(&from["source"]))
    })
}

/// Whether a policy keeps this identity out, as far as its sources tell. Other conditions are taken for met.
fn denies(policy: &Value, identity: &str) -> bool {
    let principal = identity.strip_prefix("spiffe://").unwrap_or(identity);
    let matches = |pattern: &Value| match text(pattern) {
        "*" => !principal.is_empty(),
        pattern => match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => principal.ends_with(end),
            (_, Some(start)) => principal.starts_with(start),
            _ => principal == pattern,
        },
    };
    let source = |source: &Value| {
        let (principals, not) = (items(&source["principals"]), items(&source["notPrincipals"]));
        (principals.is_empty() || principals.iter().any(matches)) && !not.iter().any(matches)
    };
    let rule = |rule: &Value| {
        let from = items(&rule["from"]);
        from.is_empty() || from.iter().any(|from| source(&from["source"]))
    };
    let applies = items(&policy["spec"]["rules"]).iter().any(rule);
    match policy["spec"]["action"].as_str().unwrap_or("ALLOW") {
        "ALLOW" => !applies,
        "DENY" => applies,
        _ => false,
    }
}

/// `upstream-timeout`: the backend takes longer than the gateway waits.
pub(super) fn too_slow(facts: &Facts) -> Option<Diagnosis> {
    let last = facts.last_account().filter(|entry| entry.reason == "upstream_timeout")?;
    let pod = last.upstream_pod.as_deref().unwrap_or("the backend");
    let detail =
        last.rest.get("detail").and_then(Value::as_str).map(|detail| format!("the gateway's log: {detail}"));
    Some(diagnosis(
        "upstream-timeout",
        format!("pod {pod} did not answer in time"),
        detail,
        "see what it does meanwhile (its log, its CPU limit), or raise the rule's timeouts.backendRequest",
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::tests::{Provoked, provoked};

    const POD: &str = "isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z";
    const SERVICE: &str = "isto-example-namespace/backend-v1";
    const EXTENSION: &str = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";

    /// A Service with this in its spec, and a Ready pod with a port named `web`.
    fn service(spec: Value) -> Facts {
        let pod = json!([{
            "metadata": {"namespace": "isto-example-namespace", "name": "backend-v1-6c8f9d7b54-q2w8z",
                "labels": {"app": "backend-v1", "pod-template-hash": "6c8f9d7b54"}},
            "spec": {"containers": [{"name": "backend-v1", "ports": [{"name": "web", "containerPort": 3000}]}],
                "initContainers": [{"name": "istio-proxy"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }]);
        let service = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "backend-v1"}, "spec": spec}]);
        Facts::sample().with("pods", pod).with("services", service).expecting(200)
    }

    fn policy(spec: Value) -> Value {
        json!({"metadata": {"namespace": "isto-example-namespace", "name": "only-friends"}, "spec": spec})
    }

    fn sidecar(entry: &Value) -> Facts {
        let mut entry = entry.clone();
        entry["time"] = "2026-11-23T16:00:00.000Z".into();
        let line = format!("2026-11-23T16:00:00.000000000Z {entry}");
        let facts = Facts::sample().expecting(200).answered(503, "upstream_reset").over("");
        let mut facts =
            facts.logged("isto-example-namespace", "backend-v1-6c8f9d7b54-q2w8z", "istio-proxy", &line);
        if let Some(tls) = facts.access_log.last_mut().and_then(|entry| entry.upstream_tls.as_mut()) {
            tls.client_identity = Some(EXTENSION.into());
        }
        facts
    }

    pub(in crate::diagnosis) fn all() -> Vec<Provoked> {
        let ports = json!([{"port": 8080, "targetPort": "http-web", "protocol": "TCP"}]);
        let zero = json!([{"metadata": {"namespace": "isto-example-namespace", "name": "backend-v1"}, "spec": {"replicas": 0}}]);
        let denied = json!({"response_flags": "UAEX", "upstream_cluster": "inbound|3000||",
            "connection_termination_details": "rbac_access_denied_matched_policy[none]"});
        let allow = policy(
            json!({"rules": [{"from": [{"source": {"principals": ["cluster.local/ns/other/sa/default"]}}]}]}),
        );
        let slow = Facts::sample()
            .expecting(200)
            .answered(504, "upstream_timeout")
            .detailed("no response within 15s");
        vec![
            provoked(
                "backend-scaled-to-zero",
                SERVICE,
                Facts::sample()
                    .with("deployments", zero)
                    .with("pods", json!([]))
                    .expecting(200)
                    .answered(503, "no_endpoint"),
            ),
            provoked(
                "selector-matches-nothing",
                SERVICE,
                service(json!({"selector": {"app": "backend-one"}})).answered(503, "no_endpoint"),
            ),
            provoked(
                "wrong-port-name",
                SERVICE,
                service(json!({"selector": {"app": "backend-v1"}, "ports": ports}))
                    .answered(503, "no_endpoint"),
            ),
            provoked(
                "nothing-listens",
                POD,
                Facts::sample()
                    .expecting(200)
                    .answered(503, "upstream_connect_failed")
                    .detailed("connecting to 10.244.0.9:3000: Connection refused (os error 111)"),
            ),
            provoked(
                "authorization-denied",
                "isto-example-namespace/only-friends",
                sidecar(&denied).with("authorizationpolicies", json!([allow])),
            ),
            provoked("upstream-timeout", POD, slow),
        ]
    }

    #[test]
    fn behind_a_sidecar_its_own_log_tells_that_nothing_listens() {
        let facts = sidecar(&json!({"response_flags": "UF,URX", "upstream_cluster": "inbound|3000||"}));
        let diagnosis = nothing_listens(&facts).unwrap();
        assert!(diagnosis.because[0].contains("port 3000"), "{diagnosis:?}");
        let fine = sidecar(&json!({"response_flags": null, "upstream_cluster": "inbound|3000||"}));
        assert_eq!(nothing_listens(&fine), None);
    }

    #[test]
    fn a_policy_is_blamed_only_for_what_it_decides() {
        let other = json!({"response_flags": null, "upstream_cluster": "inbound|3000||"});
        let found = |spec: Value| {
            authorization_denied(&sidecar(&other).with("authorizationpolicies", json!([policy(spec)])))
        };
        let nobody = json!([{"from": [{"source": {"principals": ["cluster.local/ns/other/sa/x"]}}]}]);
        assert!(found(json!({"rules": nobody})).is_some());
        assert_eq!(
            found(json!({"selector": {"matchLabels": {"app": "other"}}, "rules": nobody})),
            None,
            "of other pods"
        );
        let paths = json!({"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]});
        assert_eq!(found(paths.clone()), None, "nobody looked at the path");
        let denied = json!({"connection_termination_details": "rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]"});
        let facts = sidecar(&denied).with("authorizationpolicies", json!([policy(paths)]));
        assert!(authorization_denied(&facts).is_some(), "the sidecar says so");
        let two = json!([policy(json!({"rules": nobody})), policy(json!({"rules": [{}]}))]);
        assert_eq!(
            authorization_denied(&sidecar(&other).with("authorizationpolicies", two)),
            None,
            "another one admits it"
        );
    }

    #[test]
    fn a_policy_is_read_as_istio_reads_it() {
        let from = |principals: Value| json!([{"from": [{"source": {"principals": principals}}]}]);
        let denied = |spec: Value| denies(&policy(spec), EXTENSION);
        assert!(denied(json!({})), "without a rule nobody is admitted");
        assert!(!denied(json!({"rules": [{}]})), "an empty rule admits everybody");
        assert!(!denied(json!({"rules": from(json!(["cluster.local/ns/azure-alb-system/*"]))})));
        assert!(!denied(json!({"rules": from(json!(["*/sa/alb-controller-istio-extension"]))})));
        assert!(denied(json!({"action": "DENY", "rules": from(json!(["*"]))})));
        assert!(!denied(json!({"action": "DENY", "rules": from(json!(["cluster.local/ns/other/sa/x"]))})));
        assert!(!denied(json!({"action": "AUDIT", "rules": from(json!(["*"]))})));
    }
}
