//! Which PeerAuthentication decides about a port of a pod, as Istio decides it.
//!
//! Of the policies without a selector the oldest of the root namespace speaks for the mesh, the oldest of the pod's
//! namespace for that; of those of the namespace whose selector takes the pod, the oldest for the workload. The narrower
//! one wins, `UNSET` leaves it to the wider one, and ports are told apart by the workload's policy alone
//! (Istio, `ComposePeerAuthentication`; its reference of PeerAuthentication).

use serde_json::Value;

use super::{
    Facts,
    facts::{name_of, text},
    selector,
};

/// What a sidecar does with connections to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Mutual TLS of the mesh, and nothing else.
    Strict,
    /// Clear text, and mutual TLS that carries an Istio ALPN.
    Permissive,
    /// Everything goes to the program as it is.
    Disable,
}

impl Mode {
    /// Istio's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Permissive => "PERMISSIVE",
            Self::Disable => "DISABLE",
        }
    }

    /// Nothing where the policy leaves it to a wider one.
    fn of(mtls: &Value) -> Option<Self> {
        match text(&mtls["mode"]) {
            "STRICT" => Some(Self::Strict),
            "PERMISSIVE" => Some(Self::Permissive),
            "DISABLE" => Some(Self::Disable),
            _ => None,
        }
    }
}

/// What a policy speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The whole mesh.
    Mesh,
    /// The pod's namespace.
    Namespace,
    /// The pods its selector takes.
    Workload,
    /// A port of those.
    Port,
}

/// The policy that decides, and where in it.
#[derive(Clone, Debug)]
pub(super) struct Decision<'a> {
    /// The PeerAuthentication.
    pub(super) policy: &'a Value,
    /// The field that says it, such as `spec.mtls.mode`.
    pub(super) field: String,
    /// Whom it speaks about.
    pub(super) reach: Reach,
}

impl Decision<'_> {
    /// `PeerAuthentication shop/default (spec.mtls.mode)`.
    pub(super) fn in_words(&self) -> String {
        format!("PeerAuthentication {} ({})", name_of(self.policy), self.field)
    }
}

/// What holds for a port of a pod, and who decided it: nobody where it is Istio's default.
#[derive(Clone, Debug)]
pub(super) struct Effective<'a> {
    /// What the sidecar does.
    pub(super) mode: Mode,
    /// Whose decision it is.
    pub(super) by: Option<Decision<'a>>,
}

/// What holds for a port of a pod; `port` is the pod's own, not the Service's.
pub(super) fn effective<'a>(facts: &'a Facts, pod: &'a Value, port: u64) -> Effective<'a> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let root = facts.mesh.root_namespace.as_str();
    let wide = |namespace: &'a str| oldest(policies(facts, namespace).filter(|policy| !has_selector(policy)));
    let selecting = |policy: &&Value| has_selector(policy) && takes(policy, pod);
    let (own, workload) = match namespace == root {
        true => (None, None),
        false => (wide(namespace), oldest(policies(facts, namespace).filter(selecting))),
    };
    let mut effective = Effective { mode: Mode::Permissive, by: None };
    for (policy, reach) in [(wide(root), Reach::Mesh), (own, Reach::Namespace), (workload, Reach::Workload)] {
        if let Some(policy) = policy
            && let Some(mode) = Mode::of(&policy["spec"]["mtls"])
        {
            let by = Decision { policy, field: "spec.mtls.mode".to_owned(), reach };
            effective = Effective { mode, by: Some(by) };
        }
    }
    if let Some(policy) = workload
        && let Some(mode) = Mode::of(&policy["spec"]["portLevelMtls"][port.to_string()])
    {
        let field = format!("spec.portLevelMtls[{port}].mode");
        effective = Effective { mode, by: Some(Decision { policy, field, reach: Reach::Port }) };
    }
    effective
}

/// Policies that look as if they made the port STRICT, and why they do not.
pub(super) fn without_effect(facts: &Facts, pod: &Value, port: u64) -> Vec<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let reasons = policies(facts, namespace).filter_map(|policy| {
        let name = format!("PeerAuthentication {}", name_of(policy));
        let strict = Mode::of(&policy["spec"]["mtls"]) == Some(Mode::Strict);
        let ports = policy["spec"]["portLevelMtls"].as_object();
        let mut strict_ports =
            ports.into_iter().flatten().filter(|(_, mtls)| Mode::of(mtls) == Some(Mode::Strict));
        let strict_port = strict_ports.next().map(|(port, _)| port.as_str());
        match strict_port {
            _ if strict && has_selector(policy) && !takes(policy, pod) => {
                Some(format!("{name} is STRICT, and its spec.selector does not select the pod"))
            }
            Some(_) if !has_selector(policy) => Some(format!(
                "{name} names ports (spec.portLevelMtls) without a selector, which Istio ignores"
            )),
            Some(other) if takes(policy, pod) && other != port.to_string() => Some(format!(
                "{name} is STRICT for port {other} (spec.portLevelMtls), and the pod's port is {port}: the \
                 workload's port counts, not the Service's"
            )),
            _ => None,
        }
    });
    reasons.collect()
}

/// Policies of a namespace that are not going away.
fn policies<'a>(facts: &'a Facts, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
    facts
        .of("peerauthentications", namespace)
        .filter(|policy| policy["metadata"]["deletionTimestamp"].is_null())
}

fn has_selector(policy: &Value) -> bool {
    policy["spec"]["selector"]["matchLabels"].as_object().is_some_and(|labels| !labels.is_empty())
}

fn takes(policy: &Value, pod: &Value) -> bool {
    selector::takes(&policy["spec"]["selector"], &pod["metadata"]["labels"])
}

/// The oldest; of those of the same second the one that is listed first.
fn oldest<'a>(policies: impl Iterator<Item = &'a Value>) -> Option<&'a Value> {
    policies.reduce(|oldest, policy| {
        let made = |policy: &Value| text(&policy["metadata"]["creationTimestamp"]).to_owned();
        if made(policy) < made(oldest) { policy } else { oldest }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(namespace: &str, name: &str, spec: Value) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "creationTimestamp": "2026-11-23T16:00:00Z"}, "spec": spec})
    }

    fn pod() -> Value {
        json!({"metadata": {"namespace": "shop", "name": "backend-6c8f9d7b54-q2w8z", "labels": {"app": "backend"}}})
    }

    /// Mode, field and name of the policy that decides about port 3000.
    fn decided(policies: Value) -> (Mode, Option<(String, String)>) {
        let facts = Facts::default().with("peerauthentications", policies);
        let pod = pod();
        let effective = effective(&facts, &pod, 3000);
        (effective.mode, effective.by.map(|by| (name_of(by.policy), by.field)))
    }

    fn by(policy: &str, field: &str) -> Option<(String, String)> {
        Some((policy.into(), field.into()))
    }

    #[test]
    fn without_a_policy_istio_is_permissive() {
        assert_eq!(decided(json!([])), (Mode::Permissive, None));
        let elsewhere = policy("other", "default", json!({"mtls": {"mode": "STRICT"}}));
        assert_eq!(decided(json!([elsewhere])), (Mode::Permissive, None));
    }

    #[test]
    fn the_narrower_policy_wins() {
        let mesh = policy("istio-system", "default", json!({"mtls": {"mode": "STRICT"}}));
        let namespace = policy("shop", "default", json!({"mtls": {"mode": "DISABLE"}}));
        let select = json!({"matchLabels": {"app": "backend"}});
        let workload = policy("shop", "backend", json!({"selector": select, "mtls": {"mode": "PERMISSIVE"}}));
        let ports = json!({"selector": select, "mtls": {"mode": "STRICT"}, "portLevelMtls": {"3000": {"mode": "DISABLE"}}});
        let port = policy("shop", "port", ports);
        assert_eq!(decided(json!([mesh])), (Mode::Strict, by("istio-system/default", "spec.mtls.mode")));
        assert_eq!(decided(json!([mesh, namespace])), (Mode::Disable, by("shop/default", "spec.mtls.mode")));
        assert_eq!(
            decided(json!([namespace, workload, mesh])),
            (Mode::Permissive, by("shop/backend", "spec.mtls.mode"))
        );
        assert_eq!(
            decided(json!([mesh, port])),
            (Mode::Disable, by("shop/port", "spec.portLevelMtls[3000].mode"))
        );
    }

    #[test]
    fn unset_leaves_it_to_the_wider_policy() {
        let mesh = policy("istio-system", "default", json!({"mtls": {"mode": "STRICT"}}));
        let select = json!({"matchLabels": {"app": "backend"}});
        for mtls in [json!({"mode": "UNSET"}), json!({}), Value::Null] {
            let spec = json!({"selector": select, "mtls": mtls, "portLevelMtls": {"3000": mtls}});
            let unset = policy("shop", "backend", spec);
            assert_eq!(
                decided(json!([mesh, unset])),
                (Mode::Strict, by("istio-system/default", "spec.mtls.mode"))
            );
        }
    }

    #[test]
    fn what_istio_does_not_apply_decides_nothing() {
        let other = json!({"selector": {"matchLabels": {"app": "other"}}, "mtls": {"mode": "STRICT"}});
        let no_selector = json!({"portLevelMtls": {"3000": {"mode": "STRICT"}}});
        let mut root_selector = policy(
            "istio-system",
            "some",
            json!({"selector": {"matchLabels": {"app": "backend"}},
            "mtls": {"mode": "STRICT"}}),
        );
        assert_eq!(decided(json!([policy("shop", "other", other.clone())])).0, Mode::Permissive);
        assert_eq!(decided(json!([policy("shop", "ports", no_selector.clone())])).0, Mode::Permissive);
        assert_eq!(
            decided(json!([root_selector])).0,
            Mode::Permissive,
            "it is about workloads of the root namespace"
        );
        root_selector = policy("shop", "default", json!({"mtls": {"mode": "STRICT"}}));
        root_selector["metadata"]["deletionTimestamp"] = "2026-11-23T16:00:01Z".into();
        assert_eq!(decided(json!([root_selector])).0, Mode::Permissive, "it is going away");
        let told = |spec: Value| {
            let facts = Facts::default().with("peerauthentications", json!([policy("shop", "p", spec)]));
            without_effect(&facts, &pod(), 3000).join("; ")
        };
        assert!(told(other).contains("spec.selector does not select the pod"));
        assert!(told(no_selector).contains("without a selector"));
        let service_port = json!({"selector": {"matchLabels": {"app": "backend"}}, "portLevelMtls": {"8080": {"mode": "STRICT"}}});
        assert!(told(service_port).contains("the workload's port counts"));
    }

    #[test]
    fn of_two_of_a_kind_the_older_decides() {
        let mut younger = policy("shop", "a", json!({"mtls": {"mode": "STRICT"}}));
        younger["metadata"]["creationTimestamp"] = "2026-11-23T17:00:00Z".into();
        let older = policy("shop", "b", json!({"mtls": {"mode": "DISABLE"}}));
        assert_eq!(decided(json!([younger, older])).1, by("shop/b", "spec.mtls.mode"));
    }
}
