//! Pods as claims see them, and some pods of a namespace.

use meshproof_model::implementation::{Implementation, about_gateway};
use serde::Serialize;
use serde_json::Value;

use super::sidecar;
use crate::matching::glob;
use crate::probe::deployment_of;

/// A pod as kubectl shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Changes when the pod is replaced.
    pub uid: String,
    /// E.g. `2/2`. Native sidecars, which are restartable init containers, count.
    pub ready: String,
    /// Phase, or what kubectl shows in its place.
    pub status: String,
    /// Of all containers that run on.
    pub restarts: u64,
    /// Names of the containers that `ready` counts, in order; nothing where nobody asked for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// Why a container called `istio-proxy` is none that Istio has injected; nothing if it is, or if there is none.
    #[serde(skip)]
    pub not_injected: Option<String>,
}

impl Pod {
    /// By workload first: between `web-` and `web-two-` the generated part of a name would decide, another one in each run.
    pub(crate) fn place(&self) -> (&str, &str) {
        (deployment_of(&self.name).unwrap_or(&self.name), &self.name)
    }

    /// Reads a pod the way `kubectl get pods` does.
    pub fn of(pod: &Value) -> Self {
        let list =
            |value: &'static str, of: &'static str| pod[of][value].as_array().map_or(&[][..], Vec::as_slice);
        let sidecars: Vec<_> = list("initContainers", "spec")
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .filter_map(|c| c["name"].as_str())
            .collect();
        let is_sidecar =
            |status: &&Value| status["name"].as_str().is_some_and(|name| sidecars.contains(&name));
        let containers = list("containerStatuses", "status").iter();
        let beside = list("initContainerStatuses", "status").iter().filter(is_sidecar);
        let total = list("containers", "spec").len() + sidecars.len();
        let ready = containers.clone().chain(beside.clone()).filter(|c| c["ready"] == true).count();
        let restarts = containers.clone().chain(beside).filter_map(|c| c["restartCount"].as_u64()).sum();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let waiting = containers
            .filter_map(|c| {
                c["state"]["waiting"]["reason"].as_str().or(c["state"]["terminated"]["reason"].as_str())
            })
            .next_back();
        let status = if !pod["metadata"]["deletionTimestamp"].is_null() {
            "Terminating".to_owned()
        } else {
            waiting.map_or_else(|| text(&pod["status"]["phase"]), str::to_owned)
        };
        let metadata = &pod["metadata"];
        let names = list("initContainers", "spec").iter().filter(|c| c["restartPolicy"] == "Always");
        let names = list("containers", "spec").iter().chain(names).map(|c| text(&c["name"]));
        Self {
            containers: names.collect(),
            not_injected: sidecar::not_injected(pod),
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            ready: format!("{ready}/{total}"),
            status,
            restarts,
        }
    }
}

/// Some pods of a namespace, or all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// The namespace.
    pub namespace: String,
    /// Which of its pods.
    pub which: Which,
}

/// Which pods of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// All.
    All,
    /// Those of this Deployment.
    Deployment(String),
    /// Those with labels that fit these patterns.
    Labelled(Vec<(String, String)>),
}

impl Share {
    /// All pods of a namespace.
    pub fn all(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), which: Which::All }
    }

    /// Whether a pod of the namespace belongs to it. One that has done its work, a Job's, runs no more and is none.
    pub(crate) fn has(&self, pod: &Value) -> bool {
        if pod["status"]["phase"] == "Succeeded" {
            return false;
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        match &self.which {
            Which::All => true,
            Which::Deployment(deployment) => deployment_of(name) == Some(deployment),
            Which::Labelled(labels) => labels.iter().all(|(key, pattern)| {
                pod["metadata"]["labels"][key].as_str().is_some_and(|value| glob(pattern, value))
            }),
        }
    }

    /// Where the pods of this gateway are, in a scenario whose Gateways are in `namespace`.
    pub(crate) fn of(implementation: &Implementation, namespace: &str) -> Vec<Self> {
        let mut shares: Vec<Self> = implementation.namespaces.iter().map(|own| Self::all(own)).collect();
        let mut add = |share: Self| {
            if !shares.iter().any(|known| *known == share || *known == Self::all(&share.namespace)) {
                shares.push(share);
            }
        };
        for release in &implementation.releases {
            for (namespace, deployment) in &release.deployments {
                let which = Which::Deployment(deployment.clone());
                add(Self { namespace: namespace.clone(), which });
            }
        }
        let applied = implementation.manifests.iter().flat_map(|manifests| &manifests.deployments);
        let installed = implementation.installed.iter().flat_map(|installed| &installed.deployments);
        for (namespace, deployment) in applied.chain(installed) {
            add(Self { namespace: namespace.clone(), which: Which::Deployment(deployment.clone()) });
        }
        add(Self::of_proxies(implementation, namespace));
        shares.sort();
        shares
    }

    /// Where the pods of its data plane are.
    pub(crate) fn of_proxies(implementation: &Implementation, namespace: &str) -> Self {
        let proxies = &implementation.proxies;
        let selector = about_gateway(&proxies.selector, namespace, "*");
        let labels = selector.split(',').filter_map(|label| label.split_once('='));
        let labels =
            labels.map(|(key, value)| (key.trim().to_owned(), value.trim_matches(['=', ' ']).to_owned()));
        let which = Which::Labelled(labels.collect());
        Self { namespace: about_gateway(&proxies.namespace, namespace, "*"), which }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.which {
            Which::All => write!(f, "{}", self.namespace),
            Which::Deployment(name) => write!(f, "{} ({name})", self.namespace),
            Which::Labelled(_) => write!(f, "{} (proxies)", self.namespace),
        }
    }
}
