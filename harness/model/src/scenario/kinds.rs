//! The kinds of objects the scenarios speak of. A new kind is one line here.

use super::node::{Node, Problem, closest};

/// A kind of object.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// How scenarios call it, as kubectl does: `gateway/gateway-01`.
    pub word: &'static str,
    /// API group; empty for the core.
    pub group: &'static str,
    /// Version to read; an object is written in the version its manifest names.
    pub version: &'static str,
    /// Kind as manifests spell it.
    pub kind: &'static str,
    /// Plural, as in URLs.
    pub plural: &'static str,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
}

macro_rules! kinds {
    ($($word:literal $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        &[$(Kind { word: $word, group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced }),*]
    };
}

/// Every kind that scenarios may apply, delete or look at.
#[rustfmt::skip]
pub static KINDS: &[Kind] = kinds! {
    "namespace"               ""                           "v1"      "Namespace"               "namespaces"                false;
    "pod"                     ""                           "v1"      "Pod"                     "pods"                      true;
    "service"                 ""                           "v1"      "Service"                 "services"                  true;
    "serviceaccount"          ""                           "v1"      "ServiceAccount"          "serviceaccounts"           true;
    "secret"                  ""                           "v1"      "Secret"                  "secrets"                   true;
    "configmap"               ""                           "v1"      "ConfigMap"               "configmaps"                true;
    "event"                   ""                           "v1"      "Event"                   "events"                    true;
    "node"                    ""                           "v1"      "Node"                    "nodes"                     false;
    "deployment"              "apps"                       "v1"      "Deployment"              "deployments"               true;
    "lease"                   "coordination.k8s.io"        "v1"      "Lease"                   "leases"                    true;
    "ingress"                 "networking.k8s.io"          "v1"      "Ingress"                 "ingresses"                 true;
    "endpointslice"           "discovery.k8s.io"           "v1"      "EndpointSlice"           "endpointslices"            true;
    "gatewayclass"            "gateway.networking.k8s.io"  "v1"      "GatewayClass"            "gatewayclasses"            false;
    "gateway"                 "gateway.networking.k8s.io"  "v1"      "Gateway"                 "gateways"                  true;
    "httproute"               "gateway.networking.k8s.io"  "v1"      "HTTPRoute"               "httproutes"                true;
    "referencegrant"          "gateway.networking.k8s.io"  "v1beta1" "ReferenceGrant"          "referencegrants"           true;
    "backendtlspolicy"        "gateway.networking.k8s.io"  "v1"      "BackendTLSPolicy"        "backendtlspolicies"        true;
    "peerauthentication"      "security.istio.io"          "v1"      "PeerAuthentication"      "peerauthentications"       true;
    "authorizationpolicy"     "security.istio.io"          "v1"      "AuthorizationPolicy"     "authorizationpolicies"     true;
    "applicationloadbalancer" "alb.networking.azure.io"    "v1"      "ApplicationLoadBalancer" "applicationloadbalancers"  true;
    "trafficcontroller"       "alb.networking.azure.io"    "v1"      "TrafficController"       "trafficcontrollers"        false;
};

impl Kind {
    /// The kind scenarios call by this word, in any case.
    pub fn by_word(word: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.word.eq_ignore_ascii_case(word))
    }

    /// The kind of a manifest.
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        KINDS.iter().find(|known| known.group == group && known.kind == kind)
    }

    /// Reads `kind/name`.
    ///
    /// # Errors
    /// Not of that form, or a kind that is not known.
    pub fn and_name(node: &Node) -> Result<(&'static Self, String), Problem> {
        let text = node.text()?;
        let Some((word, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
            return Err(node
                .problem(format!("expected kind/name, found `{text}`"))
                .help("e.g. gateway/gateway-01"));
        };
        let kind = Self::by_word(word).ok_or_else(|| {
            let words: Vec<_> = KINDS.iter().map(|kind| kind.word).collect();
            let problem = node.problem(format!("unknown kind `{word}`"));
            match closest(word, &words) {
                Some(close) => problem.help(format!("did you mean `{close}`?")),
                None => problem.help(format!("known kinds: {}", words.join(", "))),
            }
        })?;
        Ok((kind, name.to_owned()))
    }
}
