//! Which kinds of objects a cluster knows.

use kube::Client;
use kube::discovery::{ApiResource, Discovery, Scope, verbs};

use super::{ApiError, request};
use meshproof_model::scenario::kinds::learned::Told;

/// Every kind that can be read, each in its most stable version.
pub async fn all(client: &Client) -> Result<Vec<Told>, ApiError> {
    let discovery = match Discovery::new(client.clone()).run_aggregated().await {
        Ok(discovery) => discovery,
        // A server may not know the form that tells all at once.
        Err(_) => {
            let discovery = Discovery::new(client.clone()).run().await;
            discovery.map_err(request("asking for the kinds of objects"))?
        }
    };
    let kinds = discovery.groups().flat_map(|group| group.resources_by_stability());
    let readable = kinds.filter(|(_, can)| can.supports_operation(verbs::GET));
    let told = readable.map(|(kind, can)| Told {
        group: kind.group,
        version: kind.version,
        kind: kind.kind,
        plural: kind.plural,
        namespaced: can.scope == Scope::Namespaced,
    });
    Ok(told.collect())
}

/// Kinds whose objects live in namespaces and can be removed.
pub async fn kinds(client: &Client) -> Result<Vec<ApiResource>, ApiError> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = discovery.map_err(request("asking for the kinds of objects"))?;
    let kinds = discovery.groups().flat_map(|group| group.recommended_resources());
    let namespaced = kinds.filter(|(_, can)| {
        can.scope == Scope::Namespaced && can.supports_operation(verbs::DELETE_COLLECTION)
    });
    Ok(namespaced.map(|(kind, _)| kind).collect())
}
