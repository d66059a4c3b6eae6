//! Kinds of which nobody here knows more than their names: the cluster is asked when they are needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::api::ApiResource;
use serde_json::Value;

use super::KubeObjects;
use meshproof_lab::cluster::api;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::kinds::learned;
use meshproof_run::ports::{Objects, PortError, Query};
use meshproof_run::word::kinds::nearest;

/// Between two questions for a kind that the cluster does not know yet.
const PACE: Duration = Duration::from_secs(1);

/// What the cluster has told, by the words of the kinds.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<BTreeMap<&'static str, learned::Told>>>);

impl Told {
    /// Whether the cluster has told of a kind.
    pub(super) fn has(&self, kind: &Kind) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(kind.word)
    }

    /// Asks the cluster for a kind, unless it is known already.
    ///
    /// # Errors
    /// The cluster does not know it, or cannot be asked; or its objects live in no namespace, where that was not known when the
    /// scenario was read.
    pub(super) async fn ask(&self, client: &Client, kind: &'static Kind) -> Result<(), PortError> {
        if !kind.assumed || self.has(kind) {
            return Ok(());
        }
        let doing = || format!("looking for the kind {}", kind.word);
        let known = api::all_kinds(client).await.map_err(|error| PortError::new(doing(), error))?;
        let Some(told) = known.iter().find(|told| told.is(kind)) else {
            let unknown = PortError::new(doing(), format!("the cluster knows no kind {}", kind.word));
            return Err(match nearest(kind, &known) {
                Some(nearest) => unknown.next(format!("nearest: {nearest}")),
                None => unknown,
            });
        };
        if !told.namespaced {
            // Whose such an object is cannot be told by a namespace.
            let cluster_wide = PortError::new(doing(), "its objects live in no namespace");
            return Err(
                cluster_wide.next("have its definition in the cluster before the run, or apply it in a step")
            );
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.word, told.clone());
        Ok(())
    }

    /// Whether the cluster does not know a kind, as far as it can be asked.
    pub(super) async fn is_unknown(&self, client: &Client, kind: &'static Kind) -> bool {
        let asked = kind.assumed && !self.has(kind);
        let known = if asked { api::all_kinds(client).await.ok() } else { None };
        known.is_some_and(|known| !known.iter().any(|told| told.is(kind)))
    }

    /// Where objects of a kind are, in its own version or the one that is asked for.
    pub(super) fn resource(&self, kind: &Kind, version: Option<&str>) -> ApiResource {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.get(kind.word).filter(|_| kind.assumed);
        let own = told.map_or(kind.version, |told| told.version.as_str());
        let version = version.unwrap_or(own).to_owned();
        let group = kind.group.to_owned();
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        ApiResource {
            group,
            version,
            api_version,
            kind: told.map_or(kind.kind, |told| told.kind.as_str()).to_owned(),
            plural: told.map_or(kind.plural, |told| told.plural.as_str()).to_owned(),
        }
    }
}

impl KubeObjects {
    /// The objects of a kind as soon as the cluster knows it; until then that it does not, again and again.
    pub(super) fn once_told(&self, query: Query) -> BoxStream<'static, Result<Vec<Value>, PortError>> {
        let objects = self.clone();
        let asking = stream::unfold(Some(tokio::time::interval(PACE)), move |pace| {
            let (objects, query) = (objects.clone(), query.clone());
            async move {
                let mut pace = pace?;
                pace.tick().await;
                match objects.told.ask(&objects.client, query.kind).await {
                    Ok(()) => Some((objects.observe(&query), None)),
                    Err(unknown) => Some((stream::once(async { Err(unknown) }.boxed()).boxed(), Some(pace))),
                }
            }
        });
        asking.flatten().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_tells_stands_instead_of_what_was_taken_for_granted() {
        let kind = Kind::of_or_assumed("late.example/v1", "Ox").unwrap();
        assert!(kind.assumed);
        let told = Told::default();
        assert_eq!(told.resource(kind, None).plural, "oxes");
        let by_cluster = learned::Told {
            group: "late.example".into(),
            version: "v2".into(),
            kind: "Ox".into(),
            plural: "oxen".into(),
            namespaced: true,
        };
        told.0.lock().unwrap().insert(kind.word, by_cluster);
        let resource = told.resource(kind, None);
        assert_eq!((resource.plural.as_str(), resource.api_version.as_str()), ("oxen", "late.example/v2"));
        assert_eq!(told.resource(kind, Some("v1")).api_version, "late.example/v1");
    }
}
