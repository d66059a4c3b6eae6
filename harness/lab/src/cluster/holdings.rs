//! What a cluster of ours was last seen to hold that meshproof had not made: people try things on it, and lose them if it is
//! made again.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::{Client, ResourceExt};
use serde::{Deserialize, Serialize};

use super::api::{ApiError, request};
use super::state::{StateDir, StateError};
use meshproof_model::implementation::Implementation;
use meshproof_model::vantage::Vantage;

/// Namespaces that every cluster of ours has: Kubernetes', kind's, Istio's and the load balancer's.
const MADE_WITH_IT: [&str; 7] = [
    "default",
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "local-path-storage",
    "istio-system",
    "meshproof-system",
];
/// The namespace that is used where none is named. It is Kubernetes', but what is in it is somebody's.
const DEFAULT: &str = "default";
/// What Kubernetes and Istio put into it themselves.
const OF_DEFAULT: [&str; 4] = ["kubernetes", "kube-root-ca.crt", "istio-ca-root-cert", "istio-ca-crl"];
/// The file of [`Holdings`].
const FILE: &str = "namespaces.json";

/// What is known of a cluster's namespaces from one command to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holdings {
    /// When they were last looked at (RFC 3339); nothing if that was never.
    #[serde(default)]
    pub seen: Option<String>,
    /// Those that meshproof had not made, then.
    #[serde(default)]
    pub foreign: BTreeSet<String>,
    /// Those that scenarios and implementations make.
    #[serde(default)]
    pub made: BTreeSet<String>,
}

impl Holdings {
    /// What is written down. Of a file that cannot be read it is said, in the place of namespaces, that they are not known.
    pub fn read(state: &StateDir) -> Self {
        let path = state.path().join(FILE);
        let unknown = |why: &dyn std::fmt::Display| {
            let unknown = format!("(not known: {} cannot be read: {why})", path.display());
            Self { foreign: BTreeSet::from([unknown]), ..Self::default() }
        };
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| unknown(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => unknown(&error),
        }
    }

    fn write(&self, state: &StateDir) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        state.write_file(FILE, &text).map(|_| ())
    }

    /// Forgets everything: the cluster is a new one.
    pub fn forget(state: &StateDir) -> Result<(), StateError> {
        Self::default().write(state)
    }

    /// Writes down namespaces that are about to be made for scenarios.
    pub fn will_make(state: &StateDir, names: impl IntoIterator<Item = String>) -> Result<(), StateError> {
        let mut holdings = Self::read(state);
        let known = holdings.made.len();
        holdings.made.extend(names);
        if holdings.made.len() > known { holdings.write(state) } else { Ok(()) }
    }

    /// Looks at what a cluster holds, and writes it down.
    pub async fn look(client: &Client, state: &StateDir) -> Result<Self, super::ClusterError> {
        let made = Self::read(state).made;
        let names = names::<Namespace>(&Api::all(client.clone())).await?;
        let pods = names_in_default::<Pod>(client).await?;
        let services = names_in_default::<Service>(client).await?;
        let maps = names_in_default::<ConfigMap>(client).await?;
        let mut foreign = foreign(&names, &made);
        if uses_default([pods, services, maps].concat()) {
            foreign.insert(DEFAULT.to_owned());
        }
        let holdings = Self { seen: Some(jiff::Timestamp::now().to_string()), foreign, made };
        holdings.write(state)?;
        Ok(holdings)
    }

    /// The foreign namespaces in a sentence.
    pub fn in_words(&self) -> String {
        self.foreign.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

async fn names<K>(api: &Api<K>) -> Result<Vec<String>, ApiError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + kube::Resource,
{
    let doing = "looking at what the cluster holds";
    let list = api.list_metadata(&ListParams::default()).await.map_err(request(doing))?;
    Ok(list.items.iter().map(PartialObjectMeta::name_any).collect())
}

async fn names_in_default<K>(client: &Client) -> Result<Vec<String>, ApiError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    names::<K>(&Api::namespaced(client.clone(), DEFAULT)).await
}

/// Whether the default namespace has objects of these names that nobody but people put there.
fn uses_default(names: Vec<String>) -> bool {
    names.iter().any(|name| !OF_DEFAULT.contains(&name.as_str()))
}

/// Those of the namespaces that neither came with the cluster nor are `made`, nor the gateway's of this workspace.
fn foreign(names: &[String], made: &BTreeSet<String>) -> BTreeSet<String> {
    let vantages = [Vantage::Plain, Vantage::Mesh].into_iter().filter_map(Vantage::namespace);
    let mut ours: BTreeSet<String> = MADE_WITH_IT.into_iter().chain(vantages).map(str::to_owned).collect();
    // `up` installs it without any scenario.
    ours.extend(Implementation::built_in().into_iter().flat_map(|implementation| implementation.namespaces));
    names.iter().filter(|name| !ours.contains(*name) && !made.contains(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_neither_the_cluster_nor_a_scenario_brought_is_foreign() {
        let made = BTreeSet::from(["isto-example-namespace".to_owned()]);
        let names = owned(&[
            "default",
            "kube-system",
            "azure-alb-system",
            "isto-example-namespace",
            "mine",
            "istio-system",
        ]);
        assert_eq!(foreign(&names, &made), BTreeSet::from(["mine".to_owned()]));
        assert_eq!(foreign(&names, &BTreeSet::new()).len(), 2);
    }

    #[test]
    fn what_people_put_into_the_default_namespace_is_theirs() {
        assert!(!uses_default(owned(&["kubernetes", "kube-root-ca.crt", "istio-ca-root-cert"])));
        assert!(uses_default(owned(&["kubernetes", "web-1"])));
    }

    #[test]
    fn a_note_that_cannot_be_read_does_not_mean_that_there_is_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let state = StateDir::new(cache.path(), "m");
        assert_eq!(Holdings::read(&state), Holdings::default());
        Holdings::will_make(&state, owned(&["a"])).unwrap();
        assert_eq!(Holdings::read(&state).made, BTreeSet::from(["a".to_owned()]));
        state.write_file(FILE, b"{").unwrap();
        assert!(Holdings::read(&state).in_words().contains("not known"));
        Holdings::forget(&state).unwrap();
        assert_eq!(Holdings::read(&state), Holdings::default());
    }
}
