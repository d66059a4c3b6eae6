//! A cluster of ours as it is, for what only takes away: nothing is made, started or brought up to date for it.

use super::state::{Stage, StateDir};
use super::{ClusterError, Keeping, Target, owner};
use crate::cache::Cache;
use crate::supply::{self, ImageSource};
use meshproof_model::progress::Progress;
use meshproof_model::provider::Provider;

/// The cluster of this name; nothing if there is none, as far as is written down.
///
/// # Errors
/// kubectl and helm cannot be had.
pub async fn found(name: &str, progress: &dyn Progress) -> Result<Option<Target>, ClusterError> {
    let cache = Cache::open_default()?;
    let state = StateDir::new(cache.root(), name);
    let Some(record) = state.read().filter(|record| record.stage == Stage::Ready) else { return Ok(None) };
    let programs = supply::clients(&cache, ImageSource::Auto, progress).await?;
    Ok(Some(Target {
        name: name.to_owned(),
        provider: Provider::Kind,
        kubeconfig: state.kubeconfig(),
        kubernetes: record.definition.kubernetes,
        istio: record.istio.filter(|_| !record.istio_out),
        nodes: usize::from(record.definition.nodes),
        kubectl: programs.kubectl,
        helm: programs.helm,
        images: Vec::new(),
        proxy: None,
        local: true,
        keeping: Keeping::All,
        run: owner::UP.to_owned(),
        definitions: Vec::new(),
        state,
        own: None,
    }))
}
