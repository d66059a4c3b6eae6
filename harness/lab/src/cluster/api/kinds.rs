//! Which kinds of objects a cluster knows.

use kube::Client;
use kube::discovery::{ApiResource, Discovery, Scope, verbs};

use super::{ApiError, request};

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
